"""What PC firmware leaves behind, for kernels that a loader starts in its place: chipset registers, ACPI and MP tables;
and the ACPI tables for firmware that installs them itself."""

from __future__ import annotations

from collections.abc import Callable

from emu import bios_data, bios_services, mp_tables
from emu.acpi import dsdt, linker, tables
from emu.bios_services import FIRST_IRQ_VECTOR, SECOND_IRQ_VECTOR
from emu.dev import piix
from emu.dev.pci_function import BAR0, COMMAND, COMMAND_MEMORY, INTERRUPT_LINE, INTERRUPT_PIN
from emu.dev.pit import PIT_BASE
from emu.irq.pic import ELCR_MASTER, MASTER_COMMAND, MASTER_DATA, SLAVE_COMMAND, SLAVE_DATA
from emu.isa.msr import Msrs
from emu.isa.msr_table import MTRR_DEF_TYPE, MTRR_FIXED, MTRR_VARIABLE, PHYSICAL
from emu.load.model import FirmwareTables, Image, Segment
from emu.load.ram import DEVICE_HOLE, FOUR_GIB
from emu.mem.ram import PhysicalMemory
from emu.pc import IRQ_SCI, PC

KINDS = ("linux", "multiboot", "multiboot2", "pvh")     # boot protocols whose kernels expect a PC
MULTIBOOT = ("multiboot", "multiboot2")
TABLES_BASE = 0xF0000           # where an RSDP is looked for (ACPI 5.2.5.1), in a range reported as reserved
OPEN_IRQS = 0b111               # timer, keyboard, cascade
UNCACHEABLE, WRITE_PROTECTED, WRITE_BACK = 0, 5, 6              # memory types (SDM Vol. 3A table 11-2)
FIX_16K_A0000, MTRR_VALID, MTRR_ENABLED = 0x259, 1 << 11, 0b11 << 10
FIRST_BAR = 0xFE000000          # in the range that the DSDT says the host bridge passes on
ISA_BRIDGE, POWER_MANAGEMENT = (1, 0), (1, 3)           # PCI device and function


def stand_in(pc: PC, memory: PhysicalMemory, cpus: int, identity: tuple[int, int], image: Image, size: int,
             reserved: int, report: Callable[[str], None]) -> None:
    """Prepare the machine for an image whose boot protocol presumes firmware; others find it as after RESET.
    `identity`: EAX and EDX of CPUID leaf 1. `size`, `reserved`: as for ram.address_map."""
    if image.kind not in KINDS:
        return
    set_up_chipset(pc)
    bios_data.leave(memory, pc.low_ram, image.segments)
    if image.kind in MULTIBOOT:
        set_up_interrupts(pc)
        bios_services.leave(memory, size, reserved, image.segments)
    piece = tables_for(pc, cpus, identity, image.segments)
    if piece is None:
        report("no ACPI and MP tables: the image has a segment where they would be")
    elif memory.backed(piece.gpa, piece.size):
        memory.write(piece.gpa, piece.data)


def memory_types() -> list[tuple[int, int]]:
    """(MSR, value) of the MTRRs as POST leaves them: memory is write-back, the holes below 1 MiB and 4 GiB uncacheable,
    firmware's shadow write-protected (SDM Vol. 3A 11.11)."""
    fixed = [(index, WRITE_BACK if index < FIX_16K_A0000 else WRITE_PROTECTED if index > FIX_16K_A0000 else UNCACHEABLE)
             for index in MTRR_FIXED]
    return [*((index, int.from_bytes(bytes((kind,)) * 8)) for index, kind in fixed),
            (MTRR_VARIABLE, DEVICE_HOLE | UNCACHEABLE),
            (MTRR_VARIABLE + 1, MTRR_VALID | -(FOUR_GIB - DEVICE_HOLE) & PHYSICAL),
            (MTRR_DEF_TYPE, MTRR_ENABLED | WRITE_BACK)]


def set_up_memory_types(kind: str, msrs: Msrs) -> None:
    """Write the MTRRs for kernels, which take MTRRs that are off for a reason not to use the PAT."""
    if kind in KINDS:
        for index, value in memory_types():
            msrs.write(index, value)


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
    place_bars(pc)


def place_bars(pc: PC) -> None:
    """Give every memory BAR an address, and switch its decoder on."""
    base = FIRST_BAR
    for function in pc.pci.functions().values():
        for index, size in function.memory_bars():
            base = -(-base // size) * size
            function.write(BAR0 + 4 * index, 4, base)
            base += size
            function.write(COMMAND, 2, function.register(COMMAND, 2) | COMMAND_MEMORY)


def set_up_interrupts(pc: PC) -> None:
    """The 8259A pair and the timer as POST leaves them: Multiboot wants other machine state "in normal working order,
    i.e. as initialized by the BIOS" (0.6.96, 3.2)."""
    for port, values in ((MASTER_COMMAND, (0x11,)), (MASTER_DATA, (FIRST_IRQ_VECTOR, 4, 1)),
                         (SLAVE_COMMAND, (0x11,)), (SLAVE_DATA, (SECOND_IRQ_VECTOR, 2, 1)),
                         (MASTER_DATA, (OPEN_IRQS ^ 0xFF,)), (SLAVE_DATA, (0xFF,)),
                         (PIT_BASE + 3, (0x34,)), (PIT_BASE, (0, 0))):          # channel 0: mode 2, every 65,536 ticks
        for value in values:
            pc.bus.port_write(port, 1, value)


def tables_to_come(pc: PC, cpus: int) -> FirmwareTables:
    """What `stand_in` will put into RAM, for loaders that tell their image where it is."""
    data = _tables(pc, cpus, (0, 0))
    rsdp = data[:tables.RSDP_SIZE]
    return FirmwareTables(TABLES_BASE, len(data), rsdp, tables.rsdp_of_version_1(rsdp))


def _tables(pc: PC, cpus: int, identity: tuple[int, int]) -> bytes:
    data = tables.build(TABLES_BASE, cpus, pc.low_ram, pc.iommu is not None)
    data += bytes(-len(data) % mp_tables.ALIGNMENT)
    return data + mp_tables.build(TABLES_BASE + len(data), cpus, identity, pci_functions(pc))


def tables_for(pc: PC, cpus: int, identity: tuple[int, int], used: tuple[Segment, ...]) -> Segment | None:
    """ACPI and MP tables as a piece of RAM, or None where the image has something of its own in their place."""
    data = _tables(pc, cpus, identity)
    if any(segment.overlaps(TABLES_BASE, len(data)) for segment in used):
        return None
    return Segment(TABLES_BASE, data, len(data))


def waking_vector(memory: PhysicalMemory) -> int:
    """Where an OS wants to go on after S3, from the FACS of the tables here; 0: nowhere below 1 MiB, or it is gone."""
    at = TABLES_BASE + tables.FACS_AT
    facs = memory.read(at, 16) if memory.backed(at, 16) else b""
    vector = int.from_bytes(facs[12:], "little")
    return vector if facs[:4] == b"FACS" and vector < 1 << 20 else 0


def pci_functions(pc: PC) -> list[tuple[int, int]]:
    """(device, pin) of the PCI functions that can interrupt; pin 0 is INTA#."""
    found = ((device, function.register(INTERRUPT_PIN, 1)) for (device, _), function in pc.pci.functions().items())
    return [(device, pin - 1) for device, pin in found if pin]


def offer_tables(pc: PC, cpus: int) -> None:
    """Let firmware find the ACPI tables in fw_cfg, with the power-management ports where it will have put them."""
    for name in (linker.RSDP, linker.TABLES, linker.SCRIPT):
        def contents(name: str = name) -> bytes:
            return linker.files(cpus, pc.low_ram, pc.acpi_pm.base or tables.PM_BASE,
                                pc.iommu is not None)[name]
        pc.fwcfg.add_file(name, contents)
