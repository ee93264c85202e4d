"""A PS/2 keyboard as the keyboard controller sees it (IBM PS/2 Technical Reference, "Keyboards (101- and 102-Key)")."""

from __future__ import annotations

from typing import Any

ACK, RESEND, SELF_TEST_PASSED, ECHO = 0xFA, 0xFE, 0xAA, 0xEE
ID_101_KEY = (0xAB, 0x83)
_WITH_ARGUMENT = {0xED: "indicators", 0xF0: "scan-code set", 0xF3: "typematic rate"}


class Ps2Keyboard:
    """Answers commands; `write` returns the bytes that the keyboard sends back."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.enabled = True
        self.indicators = 0
        self.scan_set = 2
        self._command = 0
        self._last = 0

    def write(self, byte: int) -> list[int]:
        """A byte from the host: a command, or the argument of the one before."""
        reply = self._argument(byte) if self._command else self._execute(byte)
        if reply and byte != 0xFE:
            self._last = reply[-1]
        return reply

    def _argument(self, byte: int) -> list[int]:
        command, self._command = self._command, 0
        if command == 0xED:
            self.indicators = byte & 7
        elif command == 0xF0:
            if byte == 0:
                return [ACK, self.scan_set]
            if byte > 3:
                return [RESEND]
            self.scan_set = byte
        return [ACK]

    def _execute(self, byte: int) -> list[int]:
        if byte == 0xFF:
            self.reset()
            return [ACK, SELF_TEST_PASSED]
        if byte == 0xFE:
            return [self._last]
        if byte == 0xEE:
            return [ECHO]
        if byte == 0xF2:
            return [ACK, *ID_101_KEY]
        if byte in _WITH_ARGUMENT:
            self._command = byte
            return [ACK]
        if byte in (0xF4, 0xF5, 0xF6):
            # F6 sets defaults and keeps scanning; F5 sets defaults and stops it.
            self.enabled = byte != 0xF5
            if byte != 0xF4:
                self.scan_set = 2
            return [ACK]
        return [RESEND]

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("enabled", "indicators", "scan_set", "_command", "_last")}

    def load(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
