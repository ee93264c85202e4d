"""Breakpoints, watchpoints and what else ends a run."""

from __future__ import annotations

from rich.text import Text
from textual.binding import Binding

from emu import Breakpoint
from emu.debug.condition import Condition
from tools.debug.panels.panel import Panel, row


def filters(found: Breakpoint) -> str:
    """What a breakpoint is restricted to."""
    parts = [] if found.plane is None else [f"plane {found.plane}"]
    parts += [] if found.vcpu is None else [f"vCPU {found.vcpu}"]
    parts += [f"if {found.condition.text}"] if isinstance(found.condition, Condition) else []
    parts += [f"ignores {found.ignore}"] if found.ignore else []
    return ", ".join(parts)


class BreaksPanel(Panel):
    """The arrow keys choose one."""

    TITLE = "Breaks"
    WRAP = True
    BINDINGS = [
        Binding("space", "switch", "on or off", show=False), Binding("delete,backspace", "remove", show=False),
        Binding("enter", "look", "show its code", show=False),
    ]

    def __init__(self, *args: object) -> None:
        super().__init__(*args)     # type: ignore[arg-type]
        self.chosen = 0

    def draw(self, width: int, height: int) -> list[Text]:
        found, palette = self.session.breakpoints, self.palette
        self.chosen = max(0, min(self.chosen, len(found) - 1))
        rows = []
        for n, each in enumerate(found):
            text = row(("● " if each.enabled else "○ ", palette.bad), (f"{each.number:>3}  ", palette.dim), each.what,
                       (f"  {filters(each)}", palette.symbol), (f"  {each.hits} hits", palette.dim))
            if n == self.chosen and self.has_focus:
                text.stylize(palette.cursor)
            rows.append(text)
        keys = "space: on or off, Delete: remove, Enter: show" if found else "none; F9 in the code, or :break WHERE"
        return [*rows, row((keys, palette.dim))]

    def on_focus(self) -> None:
        self.reload()

    def on_blur(self) -> None:
        self.reload()

    def _selected(self) -> Breakpoint | None:
        found = self.session.breakpoints
        return found[self.chosen] if self.chosen < len(found) and not self.debugger.busy else None

    def action_line(self, by: int) -> None:
        """Choose another."""
        self.chosen += by
        self.reload()

    def action_switch(self) -> None:
        """Switch it on or off."""
        found = self._selected()
        if found is not None:
            found.enabled = not found.enabled
            self.debugger.reload()

    def action_remove(self) -> None:
        """Take it away."""
        found = self._selected()
        if found is not None:
            found.remove()
            self.debugger.reload()

    def action_look(self) -> None:
        """Show its code."""
        found = self._selected()
        if found is not None and found.address is not None:
            self.session.code_at = found.address
            self.debugger.reload()
