"""The help screen: keys and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tools.debug import commands
from tools.debug.keys import KEYS, LOOK, OTHER, RUN, written

if TYPE_CHECKING:
    from tools.debug.palette import Palette

ABOUT = """\
Positions are instruction counts; going back executes again from a snapshot. Where a step crosses a plane switch, the
step keys go through its five stages first. Addresses are numbers, symbols, registers, u64(ADDRESS) and sums of these.
A number before N, [N] and so on may be left out; commands may be shortened. Keys in the console go to the guest."""


def text(palette: Palette) -> Text:
    """All of it."""
    found = Text()
    for group in (RUN, LOOK, OTHER):
        found.append(f"{group}\n", palette.title)
        for key in KEYS:
            if key.group == group and key.help:
                found.append(f"  {written(key.keys):<16}", palette.symbol)
                found.append(f"{key.help}\n")
        found.append("\n")
    found.append("Commands\n", palette.title)
    for command in dict.fromkeys(commands.table().values()):
        names = f" ({', '.join(command.names)})" if command.names else ""
        found.append(f"  {command.usage}{names}\n", palette.symbol)
        found.append(f"      {command.help}\n")
    found.append("\n" + ABOUT, palette.dim)
    return found


class HelpScreen(ModalScreen[None]):
    """Any of Escape, q, ? and F1 leaves it."""

    BINDINGS = [Binding("escape,q,question_mark,f1", "dismiss", "leave")]

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self._palette = palette

    def compose(self) -> ComposeResult:
        """One text that scrolls."""
        with VerticalScroll(id="help") as scroll:
            scroll.border_title = "Help · Escape leaves"
            yield Static(text(self._palette))

    def on_mount(self) -> None:
        self.query_one("#help").focus()
