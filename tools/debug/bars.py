"""The one-line parts of the screen: status, tabs, command line, hints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from tools.debug import commands
from tools.debug.keys import KEYS, written
from tools.debug.panels.panel import row
from tools.debug.stages import STAGES

if TYPE_CHECKING:
    from tools.debug.app import DebugApp

TABS = (("memory", "Memory"), ("walk", "Walk"), ("planes", "Planes"), ("apic", "APIC"), ("map", "Map"),
        ("console", "Console"), ("breaks", "Breaks"), ("switch", "Switch"), ("log", "Log"))
HISTORY = 200


class StatusBar(Static):
    """Where the guest stands, or what is being done."""

    def show(self, app: DebugApp, activity: str, image: str) -> None:
        """Say it."""
        session, palette = app.session, app.palette
        machine = session.machine
        if activity:
            self.update(row((" ▶ ", f"reverse {palette.some}"), (f" {activity}", f"bold {palette.some}"),
                            (f"  instruction {machine.icount:,}  Ctrl-C stops", palette.dim)))
            return
        plane = session.plane
        runs = machine.current
        parts: list[tuple[str, str] | str] = [
            (" ■ ", f"reverse {palette.good}"), (f" {image} ", "bold"),
            (f"{runs.name}", f"bold {palette.plane(runs.number)}"), f" vCPU {runs.vcpu} ",
            (f"instruction {machine.icount:,} ", palette.title)]
        if session.stage:
            parts += [(f" switch {session.stage}/{len(STAGES)}: {STAGES[session.stage - 1]} ", palette.here), " "]
        parts.append((session.listing.name(runs.code_address) or f"{runs.rip:#x}", palette.symbol))
        if (plane.vcpu, plane.number) != (runs.vcpu, runs.number):
            parts.append((f"  looking at {plane.name} of vCPU {plane.vcpu}", f"reverse {palette.plane(plane.number)}"))
        if runs.halted:
            parts.append(("  halted", palette.some))
        self.update(row(*parts))


class TabStrip(Static):
    """The lower panels by number; a click chooses."""

    def show(self, front: str) -> None:
        """Mark the one in front."""
        parts = []
        for number, (name, title) in enumerate(TABS, 1):
            style = "bold reverse" if name == front else "dim"
            parts.append(f"[{style} @click=app.panel('{name}')] {number} {title} [/]")
        self.update(Content.from_markup("".join(parts)))


class Hints(Static):
    """Keys, or, while a command is typed, what it may become."""

    def keys(self) -> None:
        """The most used keys; a click presses them."""
        parts = []
        for key in KEYS:
            if key.footer:
                first = [written(each) for each in key.keys.split(",")]
                action = key.action if "(" in key.action else f"{key.action}()"
                shown = first[-1].replace("[", r"\[")
                parts.append(f"[@click=app.{action}][bold]{shown}[/bold] {key.footer}[/]")
        self.update(Content.from_markup(" " + "  ".join(parts)))

    def candidates(self, found: list[str], usage: str) -> None:
        """What the word may become, or the usage of the command."""
        self.update(Text(" " + ("  ".join(found) if found else usage), no_wrap=True, overflow="ellipsis"))


class CommandLine(Input):
    """Enter executes, Tab completes, the up and down keys go through what was typed before, Escape leaves."""

    BINDINGS = [Binding("escape", "leave", show=False), Binding("up", "older(1)", show=False),
                Binding("down", "older(-1)", show=False)]

    class Left(Message):
        """The user has gone back to the panels."""

    def __init__(self, app: DebugApp) -> None:
        super().__init__(id="command", compact=True, select_on_focus=False)
        self._debugger = app
        self._old: list[str] = []
        self._at = 0
        self.offered: list[str] = []        # while Tab goes through them

    def open(self, text: str) -> None:
        """Start with a text."""
        self.value, self._at, self.offered = text, 0, []
        self.cursor_position = len(text)
        self.display = True
        self.focus()

    def remember(self, line: str) -> None:
        """A line was executed."""
        if line and self._old[-1:] != [line]:
            self._old = [*self._old, line][-HISTORY:]

    def action_older(self, by: int) -> None:
        """Another line of the past."""
        self._at = max(0, min(self._at + by, len(self._old)))
        self.value = self._old[-self._at] if self._at else ""
        self.cursor_position = len(self.value)

    def action_leave(self) -> None:
        """Back to the panels."""
        self.post_message(self.Left())

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "tab":
            event.stop()
            event.prevent_default()
            self._complete()
            return
        self.offered = []
        await super()._on_key(event)

    def _complete(self) -> None:
        """The longest common beginning first, then one candidate after the other."""
        before, space, word = self.value.rpartition(" ")
        if not self.offered:
            self.offered = commands.complete(self._debugger, self.value)
            common = _common(self.offered)
            if len(common) <= len(word):
                common = ""
        else:
            self.offered = [*self.offered[1:], self.offered[0]]
            common = ""
        if self.offered:
            self.value = before + space + (common or self.offered[0]) + (" " if len(self.offered) == 1 else "")
            self.cursor_position = len(self.value)


def _common(words: list[str]) -> str:
    """The longest beginning that all have."""
    first, last = min(words, default=""), max(words, default="")
    length = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:length]
