"""The physical address space: buses and memory."""
