"""Interrupt controllers: 8259A pair, local APIC, I/O APIC."""
