"""PCI interrupt pins on an i440FX board: four PIRQ inputs of the south bridge, each routed to an ISA interrupt."""

from __future__ import annotations

from collections.abc import Callable

from emu.dev.piix import IsaBridge

PINS = 4
ROUTABLE = frozenset((3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15))    # Intel 82371SB PIIX3 datasheet, PIRQRC


def pirq(device: int, pin: int) -> int:
    """Which PIRQ input (0 to 3) pin 0 to 3 (INTA# to INTD#) of a PCI slot reaches: the board rotates pins by slot."""
    return (device - 1 + pin) % PINS


class PirqRouter:
    """Wires several functions' pins to each input. `line(irq, level)` drives an ISA interrupt."""

    def __init__(self, bridge: IsaBridge, line: Callable[[int, bool], None]) -> None:
        self._bridge, self._line = bridge, line
        self._asserted: dict[tuple[int, int], bool] = {}        # (device, pin): level
        self._driven: set[int] = set()
        bridge.routes_changed = self.update

    def pin(self, device: int, pin: int) -> Callable[[bool], None]:
        """What a function in slot `device` drives as its pin 0 to 3."""
        def drive(level: bool) -> None:
            if self._asserted.get((device, pin), False) != level:
                self._asserted[device, pin] = level
                self.update()
        return drive

    def update(self) -> None:
        """Drive the interrupts that the routing registers now name."""
        if not self._asserted:
            return
        routes = (self._bridge.pirq_route(pirq(*at)) for at, level in sorted(self._asserted.items()) if level)
        now = {irq for irq in routes if irq in ROUTABLE}
        for irq in self._driven - now:
            self._line(irq, False)
        for irq in now - self._driven:
            self._line(irq, True)
        self._driven = now
