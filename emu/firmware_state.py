"""What PC firmware leaves behind, for kernels that a loader starts in its place: chipset registers and ACPI tables."""

from __future__ import annotations

from collections.abc import Callable

from emu.acpi import dsdt, tables
from emu.dev import piix
from emu.dev.pci_function import INTERRUPT_LINE, INTERRUPT_PIN
from emu.irq.pic import ELCR_MASTER
from emu.load.model import Image, Segment
from emu.mem.ram import PhysicalMemory
from emu.pc import IRQ_SCI, PC

KINDS = ("linux", "multiboot", "multiboot2", "pvh")     # boot protocols whose kernels expect a PC
TABLES_BASE = 0xF0000           # where an RSDP is looked for (ACPI 5.2.5.1), in a range reported as reserved
ISA_BRIDGE, POWER_MANAGEMENT = (1, 0), (1, 3)           # PCI device and function


def stand_in(pc: PC, memory: PhysicalMemory, cpus: int, image: Image, report: Callable[[str], None]) -> None:
    """Prepare the machine for an image whose boot protocol presumes firmware; others find it as after RESET."""
    if image.kind not in KINDS:
        return
    set_up_chipset(pc)
    piece = acpi_tables(cpus, image.segments)
    if piece is None:
        report("no ACPI tables: the image has a segment where they would be")
    elif memory.backed(piece.gpa, piece.size):
        memory.write(piece.gpa, piece.data)


def set_up_chipset(pc: PC) -> None:
    """Power-management ports at their usual place, PCI interrupts routed, and level-triggered in the 8259A pair."""
    functions = pc.pci.functions()
    power = functions[POWER_MANAGEMENT]
    power.write(piix.PM_BASE, 4, tables.PM_BASE)
    power.write(piix.PM_REG_MISC, 1, 1)
    functions[ISA_BRIDGE].write(piix.PIRQ_ROUTE_A, 4, int.from_bytes(bytes(dsdt.PCI_IRQS), "little"))
    levels = sum(1 << irq for irq in {IRQ_SCI, *dsdt.PCI_IRQS})
    for half in (0, 1):
        pc.bus.port_write(ELCR_MASTER + half, 1, levels >> 8 * half & 0xFF)
    for (device, _), function in functions.items():
        pin = function.register(INTERRUPT_PIN, 1)
        if pin:
            function.write(INTERRUPT_LINE, 1, dsdt.pci_irq(device, pin - 1))


def acpi_tables(cpus: int, used: tuple[Segment, ...]) -> Segment | None:
    """The tables as a piece of RAM, or None where the image has something of its own in their place."""
    data = tables.build(TABLES_BASE, cpus)
    end = TABLES_BASE + len(data)
    if any(piece.gpa < end and TABLES_BASE < piece.gpa + piece.size for piece in used):
        return None
    return Segment(TABLES_BASE, data, len(data))
