"""8237A DMA controllers of the PC as register state (Intel 8237A datasheet; IBM AT page registers 0x81-0x8F).

No device of this machine asks for DMA, so nothing is transferred; firmware and kernels still program and read back
addresses, counts, masks and pages.
"""

from __future__ import annotations

from typing import Any

SLAVE_BASE, MASTER_BASE, PAGE_BASE = 0x00, 0xC0, 0x81
STATUS_COMMAND, REQUEST, SINGLE_MASK, MODE, CLEAR_FLIP_FLOP, MASTER_CLEAR, CLEAR_MASK, ALL_MASK = range(8, 16)


class DmaController:
    """One 8237A at `base`; registers are `stride` ports apart (1 for channels 0-3, 2 for channels 4-7)."""

    def __init__(self, base: int, stride: int) -> None:
        self._base, self._stride = base, stride
        self.reset()

    def reset(self) -> None:
        """The same as a master clear, and address and count registers to 0."""
        self._current = [0] * 8  # address and count of channels 0 to 3, interleaved as the ports are
        self._master_clear()

    def _master_clear(self) -> None:
        self._high = False
        self._command = self._requests = self._temporary = 0
        self._mask = 0x0F
        self._modes = [0] * 4

    def port_read(self, port: int, size: int) -> int:
        register = (port - self._base) // self._stride
        if register < 8:
            high, self._high = self._high, not self._high
            return self._current[register] >> 8 if high else self._current[register] & 0xFF
        if register == STATUS_COMMAND:
            return self._requests << 4
        if register == MASTER_CLEAR:
            return self._temporary
        return self._mask | 0xF0 if register == ALL_MASK else 0xFF

    def port_write(self, port: int, size: int, value: int) -> None:
        register = (port - self._base) // self._stride
        channel = 1 << (value & 3)
        if register < 8:
            old, high = self._current[register], self._high
            self._current[register] = old & 0x00FF | value << 8 if high else old & 0xFF00 | value
            self._high = not high
        elif register == STATUS_COMMAND:
            self._command = value
        elif register == REQUEST:
            self._requests = self._requests | channel if value & 4 else self._requests & ~channel
        elif register == SINGLE_MASK:
            self._mask = self._mask | channel if value & 4 else self._mask & ~channel
        elif register == MODE:
            self._modes[value & 3] = value
        elif register == CLEAR_FLIP_FLOP:
            self._high = False
        elif register == MASTER_CLEAR:
            self._master_clear()
        elif register == CLEAR_MASK:
            self._mask = 0
        else:
            self._mask = value & 0x0F

    _PLAIN = ("_high", "_command", "_requests", "_temporary", "_mask")

    def save(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: getattr(self, name) for name in self._PLAIN}
        return state | {"current": list(self._current), "modes": list(self._modes)}

    def load(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state[name])
        self._current, self._modes = list(state["current"]), list(state["modes"])


class DmaPages:
    """The page registers, ports 0x81 to 0x8F: fifteen bytes of storage."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._pages = bytearray(15)

    def port_read(self, port: int, size: int) -> int:
        return self._pages[port - PAGE_BASE]

    def port_write(self, port: int, size: int, value: int) -> None:
        self._pages[port - PAGE_BASE] = value

    def save(self) -> dict[str, Any]:
        return {"pages": bytes(self._pages)}

    def load(self, state: dict[str, Any]) -> None:
        self._pages = bytearray(state["pages"])
