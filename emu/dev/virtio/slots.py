"""Plugs virtio and other devices into PCI slots, from the first that the chipset leaves free."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from emu.dev.pci import PciBus
from emu.dev.pci_memory import PciMemory
from emu.dev.pirq import PirqRouter
from emu.dev.virtio.blk import VirtioBlk
from emu.dev.virtio.console import VirtioConsole
from emu.dev.virtio.disk import Disk
from emu.dev.virtio.transport import BAR, VirtioFunction

if TYPE_CHECKING:
    from emu.dev.edu import Edu
    from emu.dev.vtd import Iommu

FIRST_SLOT, SLOTS = 3, 32
MAX_DISKS = SLOTS - FIRST_SLOT - 1


class VirtioSlots:
    """`read`, `write`: guest memory, ValueError outside RAM. `report`: gets one-line messages."""

    def __init__(self, pci: PciBus, pirqs: PirqRouter, memory: PciMemory, read: Callable[[int, int], bytes],
                 write: Callable[[int, bytes], None], report: Callable[[str], None]) -> None:
        self._pci, self._pirqs, self._memory = pci, pirqs, memory
        self._read, self._write, self._report = read, write, report
        self._free: Iterator[int] = iter(range(FIRST_SLOT, SLOTS))

    def add_disks(self, disks: Sequence[Disk]) -> None:
        """A block device for each. ValueError: too many."""
        if len(disks) > MAX_DISKS:
            raise ValueError(f"{len(disks)} disks: at most {MAX_DISKS}")
        for number, disk in enumerate(disks):
            slot = next(self._free)
            self._plug(slot, VirtioBlk(disk, number, self._read, self._write, self._pirqs.pin(slot, 0), self._report))

    def add_console(self, output: Callable[[int], None]) -> VirtioConsole:
        """A console, whose output goes to `output`."""
        slot = next(self._free)
        console = VirtioConsole(output, self._read, self._write, self._pirqs.pin(slot, 0), self._report)
        self._plug(slot, console)
        return console

    def add_edu(self, iommu: Iommu | None, msi: Callable[[int, int], int]) -> None:
        """The educational device, behind the IOMMU where there is one; `msi` delivers messages without it."""
        from emu.dev.edu import Edu  # few machines have one
        slot = next(self._free)
        source = slot << 3
        read, write = (self._read, self._write) if iommu is None else iommu.access(source)

        def message(address: int, data: int) -> None:
            if iommu is None:
                msi(address, data)
            else:
                iommu.msi(source, address, data)
        self._plug(slot, Edu(read, write, self._pirqs.pin(slot, 0), message, self._report))

    def _plug(self, slot: int, function: VirtioFunction | Edu) -> None:
        self._pci.add(slot, 0, function)
        function.bars_changed = self._memory.follow(f"{function.NAME} 00:{slot:02x}.0", function, BAR, function)
