"""The help screen: keys and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
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

KEYS_WIDTH = 18
ABOUT = """\
Positions are instruction counts; going back executes again from a snapshot. Where a step leads across a plane switch, \
the step keys go through its five stages first. Addresses are numbers, symbols, registers, u64(ADDRESS) and sums of \
these. What stands in brackets may be left out; names of commands may be shortened. Keys typed in the console go to \
the guest."""


def content(palette: Palette) -> Table:
    """All of it."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=KEYS_WIDTH)
    for group in (RUN, LOOK, OTHER):
        table.add_row(Text(group, palette.title))
        for key in KEYS:
            if key.group == group and key.help:
                table.add_row(Text(f"  {written(key.keys)}", palette.symbol), key.help)
        table.add_row()
    table.add_row(Text("Commands", palette.title))
    for command in dict.fromkeys(commands.table().values()):
        names = f"  or {', '.join(command.names)}" if command.names else ""
        table.add_row(Text(f"  {command.name}", palette.symbol),
                      Text(f"{command.usage}{names}\n", palette.dim).append(command.help, "default"))
    table.add_row()
    table.add_row(Text("Notes", palette.title), Text(ABOUT))
    return table


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
            yield Static(content(self._palette))

    def on_mount(self) -> None:
        self.query_one("#help").focus()
