"""The coprocessor error line of the PC: FERR# of the processor to IRQ 13 (SDM Vol. 1 8.7.2, D.2; Intel 82371SB PIIX3,
"coprocessor error register").

With CR0.NE = 0 an unmasked x87 exception asserts FERR#; the chipset latches it on IRQ 13. A write to port 0xF0 clears
the latch. IGNNE# is not modelled: the handler clears the exception with instructions that do not wait (FNCLEX, FNSAVE,
FNINIT), as handlers do, before it executes others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

COPROCESSOR_PORT, COPROCESSOR_PORTS = 0xF0, 2


class CoprocessorError:
    """The latch. `line` drives IRQ 13."""

    def __init__(self, line: Callable[[bool], None]) -> None:
        self._line = line
        self._error = False

    def signal(self) -> None:
        """The processor asserts FERR#."""
        self._drive(True)

    def reset(self) -> None:
        self._drive(False)

    def port_read(self, port: int, size: int) -> int:
        return (1 << 8 * size) - 1

    def port_write(self, port: int, size: int, value: int) -> None:
        if port == COPROCESSOR_PORT:
            self._drive(False)

    def save(self) -> dict[str, Any]:
        return {"error": self._error}

    def load(self, state: dict[str, Any]) -> None:
        self._drive(state["error"])

    def _drive(self, level: bool) -> None:
        self._error = level
        self._line(level)
