"""Debug console: each byte written goes to a sink; reads give 0xE9, by which firmware detects it.

Bochs has it at port 0xE9, QEMU's isa-debugcon reads back 0xE9 wherever it sits; SeaBIOS and OVMF look at 0x402.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BOCHS_PORT = 0xE9
FIRMWARE_PORT = 0x402
READBACK = 0xE9


class DebugConsole:
    """One write-only console port without state."""

    def __init__(self, sink: Callable[[int], None]) -> None:
        self._sink = sink

    def reset(self) -> None:
        """Nothing to reset: the port has no state."""

    def port_read(self, port: int, size: int) -> int:
        return READBACK

    def port_write(self, port: int, size: int, value: int) -> None:
        self._sink(value)

    def save(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""
