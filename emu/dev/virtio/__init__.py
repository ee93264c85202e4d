"""Virtio devices on PCI, version 1 without its transitional interface (Virtual I/O Device specification 1.2)."""
