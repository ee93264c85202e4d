"""Devices that a PC has by name only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emu.dev.virtio.slots import VirtioSlots
from emu.irq.ioapic import REMAPPABLE_WRITABLE
from emu.pc_config import DEVICES, EDU, IOMMU

if TYPE_CHECKING:
    from emu.dev.vtd import Iommu
    from emu.pc import PC


def plug(pc: PC, slots: VirtioSlots, names: Sequence[str]) -> Iommu | None:
    """Add them, whose PCI functions get slots. Gives the IOMMU, if there is one. ValueError: one does not exist."""
    unknown = sorted(set(names) - set(DEVICES))
    if unknown:
        raise ValueError(f"device {unknown[0]!r}: not one of {', '.join(DEVICES)}")
    iommu = None
    if IOMMU in names:
        from emu.dev.vtd import BASE, SIZE, Iommu  # few machines have one
        hooks, bus = pc.hooks, pc.apic_bus
        iommu = Iommu(hooks.read_memory, hooks.write_memory, bus.send, bus.send_msi)
        pc.bus.add_mmio(BASE, SIZE, iommu, "IOMMU")
        pc.ioapic.remap, pc.ioapic.writable = iommu.io_apic_entry, REMAPPABLE_WRITABLE
    for _ in range(names.count(EDU)):
        slots.add_edu(iommu, pc.apic_bus.send_msi)
    return iommu
