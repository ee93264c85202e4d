"""Floating pointer and configuration table of the MultiProcessor Specification 1.4, chapter 4, for kernels that know no
ACPI or are told not to use it."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from emu.acpi.dsdt import PCI_IRQS, pci_irq
from emu.acpi.tables import CREATOR, OEM, checksum
from emu.irq.ioapic import IOAPIC_BASE
from emu.irq.ioapic import VERSION_VALUE as IOAPIC_VERSION
from emu.irq.lapic import DEFAULT_BASE as LAPIC_BASE
from emu.irq.lapic import VERSION_VALUE as LAPIC_VERSION
from emu.pc import IRQ_SCI, IRQ_TIMER, TIMER_IOAPIC_PIN

ALIGNMENT, POINTER_SIZE, HEADER_SIZE = 16, 16, 44
REVISION = 4                                        # 1.4
PROCESSOR, BUS, IOAPIC, IO_INTERRUPT, LOCAL_INTERRUPT = range(5)
ENABLED, BOOT_PROCESSOR = 1, 2
INT, NMI, SMI, EXTINT = range(4)
CONFORMS, LEVEL_HIGH = 0b0000, 0b1101               # po and el of interrupt entries, 4.3.4
PCI_BUS, ISA_BUS, IOAPIC_ID, ALL = 0, 1, 0, 0xFF
CASCADE, ISA_IRQS = 2, 16
HEADER_CHECKSUM, POINTER_CHECKSUM = 7, 10


def _entries(cpus: int, identity: tuple[int, int], functions: Iterable[tuple[int, int]]) -> list[bytes]:
    signature, features = identity
    found = [struct.pack("<BBBBII8x", PROCESSOR, n, LAPIC_VERSION & 0xFF, ENABLED | (0 if n else BOOT_PROCESSOR),
                         signature, features) for n in range(cpus)]
    found += [struct.pack("<BB6s", BUS, number, name) for number, name in ((PCI_BUS, b"PCI   "), (ISA_BUS, b"ISA   "))]
    found.append(struct.pack("<BBBBI", IOAPIC, IOAPIC_ID, IOAPIC_VERSION & 0xFF, ENABLED, IOAPIC_BASE))

    def interrupt(bus: int, source: int, pin: int, flags: int = CONFORMS) -> bytes:
        return struct.pack("<BBHBBBB", IO_INTERRUPT, INT, flags, bus, source, IOAPIC_ID, pin)
    found += [interrupt(PCI_BUS, device << 2 | pin, pci_irq(device, pin), LEVEL_HIGH)
              for device, pin in sorted(set(functions))]
    for irq in range(ISA_IRQS):
        if irq != CASCADE and irq not in PCI_IRQS:
            found.append(interrupt(ISA_BUS, irq, TIMER_IOAPIC_PIN if irq == IRQ_TIMER else irq,
                                   LEVEL_HIGH if irq == IRQ_SCI else CONFORMS))
    found += [struct.pack("<BBHBBBB", LOCAL_INTERRUPT, kind, CONFORMS, ISA_BUS, 0, apic, lint)
              for kind, apic, lint in ((EXTINT, 0, 0), (NMI, ALL, 1))]
    return found


def build(base: int, cpus: int, identity: tuple[int, int], functions: Iterable[tuple[int, int]]) -> bytes:
    """The floating pointer, at `base` (a multiple of 16, below 1 MiB), and the table right after it. `identity`: EAX
    and EDX of CPUID leaf 1. `functions`: (device, pin) of PCI functions that can interrupt, pin 0 to 3."""
    entries = _entries(cpus, identity, functions)
    body = b"".join(entries)
    table = bytearray(struct.pack("<4sHBB8s12sIHHIHBx", b"PCMP", HEADER_SIZE + len(body), REVISION, 0, OEM, CREATOR, 0,
                                  0, len(entries), LAPIC_BASE, 0, 0) + body)
    table[HEADER_CHECKSUM] = checksum(table)
    pointer = bytearray(struct.pack("<4sIBBB5x", b"_MP_", base + POINTER_SIZE, 1, REVISION, 0))
    pointer[POINTER_CHECKSUM] = checksum(pointer)
    return bytes(pointer + table)
