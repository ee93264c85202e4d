"""What a machine says while it runs, kept for the screen: from whichever thread, taken by the one that shows it."""

from __future__ import annotations

from collections import deque


class Wires:
    """The callbacks of a machine. Serial bytes are kept until they are taken; so are reports, as lines."""

    def __init__(self) -> None:
        self._serial: deque[bytes] = deque()
        self._reports: deque[str] = deque()
        self.activity = ""              # what is being compiled, "" for nothing

    def serial(self, data: bytes) -> None:
        """The guest wrote to its serial port."""
        self._serial.append(data)

    def report(self, line: str) -> None:
        """Something is not implemented."""
        self._reports.append(line)

    def progress(self, text: str) -> None:
        """What is being done that takes long."""
        self.activity = text

    def take_serial(self) -> bytes:
        """What has come since the last time."""
        found = []
        while self._serial:
            found.append(self._serial.popleft())
        return b"".join(found)

    def take_reports(self) -> list[str]:
        """The same for reports."""
        found = []
        while self._reports:
            found.append(self._reports.popleft())
        return found
