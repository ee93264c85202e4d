"""Where the memory BARs of PCI functions are on the bus: they move when software programs them."""

from __future__ import annotations

from collections.abc import Callable

from emu.dev.pci_function import PciFunction
from emu.mem.bus import Bus, MmioDevice


class PciMemory:
    """Maps functions that answer in one BAR of memory."""

    def __init__(self, bus: Bus, report: Callable[[str], None]) -> None:
        self._bus, self._report = bus, report
        self._places: dict[str, int] = {}

    def follow(self, name: str, function: PciFunction, bar: int, device: MmioDevice) -> Callable[[], None]:
        """What is to be called when BAR `bar` of the function may have moved. Where it would cover something it is
        reported and stays unmapped."""
        size = dict(function.memory_bars())[bar]

        def moved() -> None:
            old, new = self._places.get(name, 0), function.bar(bar) or 0
            if new == old:
                return
            if old:
                self._bus.remove_mmio(old)
            try:
                if new:
                    self._bus.add_mmio(new, size, device, name)
            except ValueError as error:
                self._report(f"{error}; not mapped")
                new = 0
            self._places[name] = new
        return moved
