"""The test device that bare-metal suites written for QEMU expect (QEMU, hw/misc/pc-testdev.c), built in by option.

Ports 0xE0-0xE3 keep what is written; 0xE4-0xE7 take the number of a page that a hypervisor should map anew, which means
nothing here; 0x2000 + n drives interrupt line n; 64 KiB at 0xFF000000 are memory that is reached as a device.

Suites raise and lower a line with two OUTs and expect an edge-triggered interrupt afterwards. An 8259A wants the
request to stay until it is acknowledged (datasheet, "Edge Triggered Mode"), so it sees the line fall HOLD ns late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.clock import Clock, Event

SetLine = Callable[[int, bool], None]

SCRATCH_PORT, FLUSH_PORT, PORTS = 0xE0, 0xE4, 8
LINE_PORT, LINES = 0x2000, 24
PIC_LINES = frozenset(range(16)) - {2}     # 2 is the cascade
MMIO_BASE, MMIO_SIZE = 0xFF000000, 0x10000
HOLD = 2_000


def _not_driven(number: int, level: bool) -> None:
    """A controller without such a line."""


class TestDevice:
    """Scratch ports, interrupt lines and device memory. `set_apic` and `set_pic` take (line, level) to the I/O APIC and
    to the 8259A pair, which has PIC_LINES."""

    __test__ = False        # not a test case
    port_width = 4

    def __init__(self, clock: Clock, set_apic: SetLine = _not_driven, set_pic: SetLine = _not_driven) -> None:
        self._clock, self._set_apic, self._set_pic = clock, set_apic, set_pic
        self._falling: dict[int, Event] = {}
        self._scratch = bytearray(4)
        self._memory = bytearray(MMIO_SIZE)

    def reset(self) -> None:
        self._scratch[:] = bytes(4)
        for line in range(LINES):
            self._set_apic(line, False)
        for line in PIC_LINES:
            self._set_pic(line, False)
        self._memory[:] = bytes(MMIO_SIZE)

    def port_read(self, port: int, size: int) -> int:
        """What the scratch ports hold, which ends at 0xE3; elsewhere zero."""
        if SCRATCH_PORT <= port < FLUSH_PORT:
            return int.from_bytes(self._scratch[port - SCRATCH_PORT:][:size], "little")
        return 0

    def port_write(self, port: int, size: int, value: int) -> None:
        """Keep a byte, word or doubleword, or set a line to the lowest bit."""
        if port >= LINE_PORT:
            self._drive(port - LINE_PORT, bool(value & 1))
        elif port < FLUSH_PORT:
            first = port - SCRATCH_PORT
            kept = min(size, 4 - first)
            self._scratch[first:first + kept] = value.to_bytes(size, "little")[:kept]

    def _drive(self, line: int, level: bool) -> None:
        self._set_apic(line, level)
        if line not in PIC_LINES:
            return
        self._clock.cancel(self._falling.pop(line, None))
        if level:
            self._set_pic(line, True)
        else:
            self._falling[line] = self._clock.schedule(
                self._clock.now + HOLD, lambda: self._set_pic(line, False), "test device's line")

    def mmio_read(self, offset: int, size: int) -> int:
        return int.from_bytes(self._memory[offset:offset + size], "little")

    def mmio_write(self, offset: int, size: int, value: int) -> None:
        self._memory[offset:offset + size] = value.to_bytes(size, "little")

    def save(self) -> dict[str, Any]:
        return {"scratch": bytes(self._scratch), "memory": bytes(self._memory),
                "falling": [line for line, event in self._falling.items() if event.active]}

    def load(self, state: dict[str, Any]) -> None:
        self._scratch[:] = state["scratch"]
        self._memory[:] = state["memory"]
        self._falling.clear()
        for line in state["falling"]:
            self._drive(line, False)
