"""Small ports of the PC's chipset: 0x61, 0x92, POST code, delay port (Intel 82371SB PIIX3 datasheet; IBM PS/2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.clock import Clock

SPEAKER_PORT, PORT_A, POST_PORT, DELAY_PORT = 0x61, 0x92, 0x80, 0xED
REFRESH_NS = 15_085  # the refresh request toggles bit 4 of port 0x61 (IBM AT Technical Reference)


class SpeakerControl:
    """Port 0x61, "NMI status and control": counter 2's gate and output, the speaker, the refresh toggle."""

    def __init__(self, clock: Clock, set_gate: Callable[[bool], None], out: Callable[[], bool]) -> None:
        self._clock, self._set_gate, self._out = clock, set_gate, out
        self._control = 0

    def reset(self) -> None:
        self._control = 0
        self._set_gate(False)

    def port_read(self, port: int, size: int) -> int:
        refresh = self._clock.now // REFRESH_NS & 1
        return self._control | refresh << 4 | self._out() << 5

    def port_write(self, port: int, size: int, value: int) -> None:
        self._control = value & 0x0F
        self._set_gate(bool(value & 0x01))

    def save(self) -> dict[str, Any]:
        return {"control": self._control}

    def load(self, state: dict[str, Any]) -> None:
        self._control = state["control"]


class SystemControlA:
    """Port 0x92: bit 1 gates A20, a 0-to-1 change of bit 0 resets the CPU."""

    def __init__(self, a20: Callable[[bool], None], fast_reset: Callable[[], None]) -> None:
        self._a20, self._fast_reset = a20, fast_reset
        self._value = 0x02

    def reset(self) -> None:
        self._value = 0x02

    def set_a20(self, enabled: bool) -> None:
        """The gate was changed elsewhere (keyboard controller): what reading shows."""
        self._value = self._value & ~0x02 | enabled << 1

    def port_read(self, port: int, size: int) -> int:
        return self._value

    def port_write(self, port: int, size: int, value: int) -> None:
        was, self._value = self._value, value & 0xFF
        self._a20(bool(value & 0x02))
        if value & ~was & 0x01:
            self._fast_reset()

    def save(self) -> dict[str, Any]:
        return {"value": self._value}

    def load(self, state: dict[str, Any]) -> None:
        self._value = state["value"]


class Latch:
    """A port that remembers its last byte: POST code (0x80), delay port (0xED). `seen` gets each write."""

    def __init__(self, seen: Callable[[int], None] = lambda _: None) -> None:
        self._seen = seen
        self.value = 0xFF

    def reset(self) -> None:
        self.value = 0xFF

    def port_read(self, port: int, size: int) -> int:
        return self.value

    def port_write(self, port: int, size: int, value: int) -> None:
        self.value = value
        self._seen(value)

    def save(self) -> dict[str, Any]:
        return {"value": self.value}

    def load(self, state: dict[str, Any]) -> None:
        self.value = state["value"]


class Absent:
    """A well-known device that this machine lacks: probing it reads `value` and is not reported as unknown."""

    def __init__(self, name: str, value: int = 0xFF) -> None:
        self.name = name
        self._value = value

    def reset(self) -> None:
        """Nothing to reset."""

    def port_read(self, port: int, size: int) -> int:
        return self._value

    def port_write(self, port: int, size: int, value: int) -> None:
        """Dropped: nothing is there."""

    def mmio_read(self, offset: int, size: int) -> int:
        return int.from_bytes(bytes([self._value]) * size, "little")

    def mmio_write(self, offset: int, size: int, value: int) -> None:
        """Dropped: nothing is there."""

    def save(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""
