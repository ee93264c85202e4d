"""The definition block of the PC: what its bridges pass on, its ISA devices, PCI interrupts, and how to power off."""

from __future__ import annotations

from emu.acpi import aml, resources
from emu.dev.acpipm import SOFT_OFF, SUSPEND_TO_RAM
from emu.dev.hpet import HPET_BASE, HPET_SIZE
from emu.dev.pirq import pirq
from emu.pc_config import GIB

PCI_MEMORY_END = 0xFEBFFFFF     # below the I/O APIC
# What PIRQ A to D are routed to, as PC firmware does; the MADT says that they are level-triggered and active high.
PCI_IRQS = (10, 10, 11, 11)
ANY_FUNCTION = 0xFFFF


def pci_irq(device: int, pin: int) -> int:
    """The interrupt of pin `pin` (0 to 3: INTA# to INTD#) of PCI device 0 to 31: the board rotates pins by slot."""
    return PCI_IRQS[pirq(device, pin)]


def _isa(name: str, identifier: str, *descriptors: bytes) -> bytes:
    return aml.device(name, (aml.name("_HID", aml.eisa_id(identifier)),
                             aml.name("_CRS", resources.template(descriptors))))


def _isa_devices() -> bytes:
    ports, irq = resources.ports, resources.irq
    return aml.device("ISA_", (
        aml.name("_ADR", aml.integer(0x00010000)),
        _isa("RTC_", "PNP0B00", ports(0x70, 8), irq(8)),
        _isa("KBD_", "PNP0303", ports(0x60, 1), ports(0x64, 1), irq(1)),
        _isa("MOU_", "PNP0F13", irq(12)),
        _isa("DMAC", "PNP0200", ports(0x00, 16), ports(0x80, 16), ports(0xC0, 32)),
        _isa("TMR_", "PNP0100", ports(0x40, 4)),
        _isa("SPKR", "PNP0800", ports(0x61, 1)),
        aml.device("COM1", (aml.name("_HID", aml.eisa_id("PNP0501")), aml.name("_UID", aml.integer(1)),
                            aml.name("_CRS", resources.template((ports(0x3F8, 8), irq(4)))))),
    ))


def _routing() -> bytes:
    """_PRT: every pin of every slot, connected to a global system interrupt (section 6.2.13)."""
    return aml.package([
        aml.package([aml.integer(device << 16 | ANY_FUNCTION), aml.integer(pin), aml.integer(0),
                     aml.integer(pci_irq(device, pin))])
        for device in range(32) for pin in range(4)])


def dsdt_body(low_ram: int) -> bytes:
    """The terms of the DSDT of a PC with `low_ram` bytes of RAM below 4 GiB. PCI memory follows, from 2 GiB on."""
    windows = resources.template((
        resources.bus_numbers(0, 255), resources.ports(0xCF8, 8), resources.port_window(0x0000, 0x0CF7),
        resources.port_window(0x0D00, 0xFFFF), resources.memory_window(0xA0000, 0xBFFFF),
        resources.memory_window(max(low_ram, 2 * GIB), PCI_MEMORY_END)))
    bridge = aml.device("PCI0", (
        aml.name("_HID", aml.eisa_id("PNP0A03")), aml.name("_ADR", aml.integer(0)), aml.name("_UID", aml.integer(0)),
        aml.name("_CRS", windows), aml.name("_PRT", _routing()), _isa_devices()))
    hpet = _isa("HPET", "PNP0103", resources.memory(HPET_BASE, HPET_SIZE))
    sleeps = (("_S3_", SUSPEND_TO_RAM), ("_S5_", SOFT_OFF))
    return aml.scope("\\_SB_", (bridge, hpet)) + b"".join(
        aml.name(name, aml.package([aml.integer(kind)] * 2 + [aml.integer(0)] * 2)) for name, kind in sleeps)
