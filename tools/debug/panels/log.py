"""What the debugger has said."""

from __future__ import annotations

from rich.text import Text

from tools.debug.panels.panel import Panel
from tools.debug.session import Session

KEPT = 1000


class LogPanel(Panel):
    """The latest line is the last one."""

    TITLE = "Log"
    WRAP = True

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session, name)
        self._lines: list[tuple[str, bool]] = []

    def add(self, text: str, error: bool = False) -> None:
        """One or more lines."""
        self._lines += [(line, error) for line in text.splitlines()]
        del self._lines[:-KEPT]
        self.top = 1 << 30
        self.reload()

    def draw(self, width: int, height: int) -> list[Text]:
        return [Text(line, self.palette.bad if error else "") for line, error in self._lines]
