"""RSDP, XSDT, FADT, FACS, MADT, HPET table and DSDT (ACPI specification 6.4, section 5.2; IA-PC HPET 1.0a, 3.2.4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from emu.acpi.dsdt import PCI_IRQS, dsdt_body
from emu.dev import acpipm, hpet, vtd
from emu.dev.acpipm import ApmControl
from emu.irq.ioapic import IOAPIC_BASE
from emu.irq.lapic import DEFAULT_BASE as LAPIC_BASE
from emu.pc import IRQ_SCI, IRQ_TIMER, TIMER_IOAPIC_PIN

ALIGNMENT = 64
FACS_AT = ALIGNMENT                     # it comes right after the RSDP
RSDP_SIZE, RSDP_SIZE_1 = 36, 20         # from ACPI 2.0 on, and before
HEADER, CHECKSUM = 36, 9                # size of the common header, where its checksum is
OEM, CREATOR = b"STRATA", b"STRT"
PM_BASE = 0x600                         # where PC firmware puts the power-management ports
RESET_PORT, RESET_VALUE = 0xCF9, 0x06
CENTURY = 0x32
FADT_FLAGS = 1 << 0 | 1 << 2 | 1 << 5 | 1 << 10     # WBINVD, C1 on all, no sleep button, reset register
BOOT_FLAGS = 1 << 0 | 1 << 1                        # ISA devices, 8042
PCAT_COMPATIBLE = 1
LEVEL_HIGH = 0x0D                       # MPS INTI flags: active high, level-triggered
NO_LATENCY_2, NO_LATENCY_3 = 101, 1001  # "no C2", "no C3"
SYSTEM_IO = 1
IO_APIC_SCOPE, IO_APIC_BUS, ALL_PCI = 3, 0xFF, 1    # DMAR: a bus where no PCI device can be
FADT_POINTERS = ((36, 4), (40, 4), (132, 8), (140, 8))  # FIRMWARE_CTRL, DSDT, X_FIRMWARE_CTRL, X_DSDT


def checksum(data: bytes | bytearray) -> int:
    """The byte that makes the sum of all bytes 0."""
    return -sum(data) & 0xFF


def table(signature: bytes, revision: int, body: bytes) -> bytes:
    """A table with the common header (5.2.6)."""
    head = struct.pack("<4sIBB6s8sI4sI", signature, HEADER + len(body), revision, 0, OEM, b"STRATAPC", 1, CREATOR, 1)
    data = bytearray(head + body)
    data[CHECKSUM] = checksum(data)
    return bytes(data)


def _address(port: int, bits: int) -> bytes:
    """Generic address structure of an I/O port (5.2.3.2); its access size is that of the register."""
    return struct.pack("<BBBBQ", SYSTEM_IO, bits, 0, bits.bit_length() - 3, port)


def fadt(facs: int, dsdt: int, pm_base: int) -> bytes:
    """Fixed hardware: PIIX4's power-management ports, from `pm_base` on (5.2.9), as of ACPI 3.0."""
    event, control, timer = (pm_base + n for n in (acpipm.PM1_STATUS, acpipm.PM1_CONTROL, acpipm.PM_TIMER))
    body = struct.pack("<IIBBHIBBBB", facs, dsdt, 0, 0, IRQ_SCI, ApmControl.COMMAND_PORT,
                       ApmControl.ACPI_ENABLE, ApmControl.ACPI_DISABLE, 0, 0)
    body += struct.pack("<8I", event, 0, control, 0, 0, timer, 0, 0)
    body += struct.pack("<8B", 4, 2, 0, 4, 0, 0, 0, 0)
    body += struct.pack("<HHHHBBBBBHBI", NO_LATENCY_2, NO_LATENCY_3, 0, 0, 0, 0, 0, 0, CENTURY, BOOT_FLAGS, 0,
                        FADT_FLAGS)
    body += _address(RESET_PORT, 8) + bytes((RESET_VALUE, 0, 0, 0)) + struct.pack("<QQ", facs, dsdt)
    absent = bytes(12)
    body += _address(event, 32) + absent + _address(control, 16) + absent + absent + _address(timer, 32)
    return table(b"FACP", 3, body + absent + absent)


def facs() -> bytes:
    """Firmware control structure, version 1 (5.2.10)."""
    return struct.pack("<4sIIIIIQB", b"FACS", 64, 0, 0, 0, 0, 0, 1).ljust(64, b"\0")


def madt(cpus: int) -> bytes:
    """Interrupt controllers (5.2.12): a local APIC for each vCPU, one I/O APIC, the timer on its input 2, and LINT1."""
    body = struct.pack("<II", LAPIC_BASE, PCAT_COMPATIBLE)
    for index in range(cpus):
        body += struct.pack("<BBBBI", 0, 8, index, index, 1)
    body += struct.pack("<BBBBII", 1, 12, 0, 0, IOAPIC_BASE, 0)
    body += struct.pack("<BBBBIH", 2, 10, 0, IRQ_TIMER, TIMER_IOAPIC_PIN, 0)
    for irq in sorted({IRQ_SCI, *PCI_IRQS}):
        body += struct.pack("<BBBBIH", 2, 10, 0, irq, irq, LEVEL_HIGH)
    return table(b"APIC", 3, body + struct.pack("<BBBHB", 4, 6, 0xFF, 0, 1))


def hpet_table() -> bytes:
    """The event timer block; its identifier is the low half of the capability register."""
    identifier = hpet.CAPABILITIES & 0xFFFFFFFF
    return table(b"HPET", 1, struct.pack("<IBBBBQBHB", identifier, 0, 64, 0, 0, hpet.HPET_BASE, 0, 0, 0))


@dataclass(frozen=True)
class Linked:
    """All tables but the RSDP, each with a checksum byte of 0, as they are before it is known where they will lie:
    `pointers` are the (offset, size) of addresses, which count from the first byte; `tables` (offset, size) of what has
    a checksum; `rsdt` and `xsdt` are offsets."""

    data: bytes
    pointers: tuple[tuple[int, int], ...]
    tables: tuple[tuple[int, int], ...]
    rsdt: int
    xsdt: int


def dmar() -> bytes:
    """The IOMMU, which has all PCI devices and the I/O APIC behind it (VT-d 4.1, 8.1): 48 bits of address, and
    interrupts are remapped."""
    io_apic = struct.pack("<BBHBBBB", IO_APIC_SCOPE, 8, 0, 0, IO_APIC_BUS, 0, 0)
    unit = struct.pack("<HHBBHQ", 0, 16 + len(io_apic), ALL_PCI, 0, 0, vtd.BASE) + io_apic
    return table(b"DMAR", 1, struct.pack("<BB10x", 47, 1) + unit)


def linked(cpus: int, low_ram: int, pm_base: int = PM_BASE, iommu: bool = False) -> Linked:
    """The tables of a PC with `low_ram` bytes of RAM below 4 GiB, whose power-management ports begin at `pm_base`."""
    blob, pointers, found = bytearray(), list[tuple[int, int]](), list[tuple[int, int]]()

    def put(data: bytes, *addresses: tuple[int, int]) -> int:
        blob.extend(bytes(-len(blob) % ALIGNMENT))
        at = len(blob)
        blob.extend(data)
        pointers.extend((at + offset, size) for offset, size in addresses)
        return at

    def put_table(data: bytes, *addresses: tuple[int, int]) -> int:
        at = put(data[:CHECKSUM] + b"\0" + data[CHECKSUM + 1:], *addresses)
        found.append((at, len(data)))
        return at

    firmware_control, definitions = put(facs()), put_table(table(b"DSDT", 2, dsdt_body(low_ram)))
    entries = [put_table(fadt(firmware_control, definitions, pm_base), *FADT_POINTERS), put_table(madt(cpus)),
               put_table(hpet_table())]
    if iommu:
        entries.append(put_table(dmar()))
    roots = [put_table(table(name, 1, struct.pack(f"<{len(entries)}{code}", *entries)),
                       *((HEADER + size * n, size) for n in range(len(entries))))
             for name, code, size in ((b"RSDT", "I", 4), (b"XSDT", "Q", 8))]
    return Linked(bytes(blob), tuple(pointers), tuple(found), *roots)


def build(base: int, cpus: int, low_ram: int, iommu: bool = False) -> bytes:
    """All tables as they lie from `base` on (a multiple of 64, below 4 GiB); the RSDP comes first."""
    parts, start = linked(cpus, low_ram, iommu=iommu), base + ALIGNMENT
    data = bytearray(parts.data)
    for at, size in parts.pointers:
        data[at:at + size] = (int.from_bytes(data[at:at + size], "little") + start).to_bytes(size, "little")
    for at, size in parts.tables:
        data[at + CHECKSUM] = checksum(data[at:at + size])
    return rsdp(start + parts.rsdt, start + parts.xsdt).ljust(ALIGNMENT, b"\0") + bytes(data)


def rsdp(rsdt: int, xsdt: int) -> bytes:
    """Root system description pointer (5.2.5.3): a checksum over the part of ACPI 1.0, and one over all."""
    first = bytearray(struct.pack("<8sB6sBI", b"RSD PTR ", 0, OEM, 2, rsdt))
    first[8] = checksum(first)
    data = bytearray(bytes(first) + struct.pack("<IQB3x", RSDP_SIZE, xsdt, 0))
    data[32] = checksum(data)
    return bytes(data)


def rsdp_of_version_1(pointer: bytes) -> bytes:
    """The same as ACPI 1.0 has it: revision 0, and an RSDT only."""
    first = bytearray(pointer[:RSDP_SIZE_1])
    first[8] = first[15] = 0
    first[8] = checksum(first)
    return bytes(first)
