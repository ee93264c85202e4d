"""isa-debug-exit: a guest ends the run by writing V; the exit status is (V << 1) | 1 (QEMU, hw/misc/debugexit)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

DEBUG_EXIT_PORT = 0xF4


class DebugExit:
    """Four ports that end the run. `request_exit` receives the status; `requested_exit` keeps the last one."""

    port_width = 4

    def __init__(self, request_exit: Callable[[int], None]) -> None:
        self._request_exit = request_exit
        self.requested_exit: int | None = None

    def reset(self) -> None:
        self.requested_exit = None

    def port_read(self, port: int, size: int) -> int:
        return 0

    def port_write(self, port: int, size: int, value: int) -> None:
        self.requested_exit = value << 1 | 1
        self._request_exit(self.requested_exit)

    def save(self) -> dict[str, Any]:
        return {"requested_exit": self.requested_exit}

    def load(self, state: dict[str, Any]) -> None:
        self.requested_exit = state["requested_exit"]
