"""The guest's serial port: what it writes, and, while the panel has the focus, what is typed to it."""

from __future__ import annotations

import threading

from rich.text import Text
from textual import events

from tools.cli.terminal import ESCAPE, Escape
from tools.debug.panels.panel import Panel
from tools.debug.session import Session
from tools.debug.terminal import Terminal

# What terminals send for keys without a character (ECMA-48, xterm).
KEYS = {"enter": b"\r", "tab": b"\t", "escape": b"\x1b", "backspace": b"\x7f", "up": b"\x1b[A", "down": b"\x1b[B",
        "right": b"\x1b[C", "left": b"\x1b[D", "home": b"\x1b[H", "end": b"\x1b[F", "delete": b"\x1b[3~",
        "pageup": b"\x1b[5~", "pagedown": b"\x1b[6~", "shift+tab": b"\x1b[Z"}


def encoded(event: events.Key) -> bytes | None:
    """The bytes of a key, None if it is none of the guest's."""
    if event.key in KEYS:
        return KEYS[event.key]
    if event.key.startswith("ctrl+") and len(event.key) == 6 and event.key[5].isalpha():
        return bytes((ord(event.key[5]) & 0x1F,))
    if event.character and event.is_printable:
        return event.character.encode()
    return None


class ConsolePanel(Panel):
    """Keys go to the guest, but for function keys; Ctrl-A x gives them back, Ctrl-A Ctrl-A sends Ctrl-A."""

    TITLE = "Console"

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session, name)
        self.terminal = Terminal()
        self._lock = threading.Lock()
        self._new = bytearray()
        self._escape = Escape(self._leave)

    def put(self, data: bytes) -> None:
        """Bytes from the guest, from any thread."""
        with self._lock:
            self._new += data

    def poll(self) -> None:
        """Show what has come."""
        with self._lock:
            data, self._new = bytes(self._new), bytearray()
        if data:
            bottom = self.top >= len(self.shown) - self.content_size.height
            self.terminal.feed(data)
            self._show(bottom)

    def _show(self, bottom: bool) -> None:
        width, height = self.content_size
        if height:
            self.shown = self.draw(width, height)
            self.top = max(0, len(self.shown) - height if bottom else self.top)
            self.refresh()

    def reload(self) -> None:
        """Does not wait for the guest to stop."""
        self._show(True)

    def draw(self, width: int, height: int) -> list[Text]:
        lines = [Text(line) for line in self.terminal.lines]
        if self.has_focus:
            lines[-1].pad_right(max(0, self.terminal.column + 1 - len(lines[-1])))
            lines[-1].stylize("reverse", self.terminal.column, self.terminal.column + 1)
        return lines

    def _leave(self) -> None:
        self.debugger.action_panel("code")

    def on_focus(self) -> None:
        self.border_title = f"{self.TITLE} · keys go to the guest; Ctrl-A x leaves"
        self.reload()

    def on_blur(self) -> None:
        self.border_title = self.TITLE
        self.reload()

    def on_key(self, event: events.Key) -> None:
        data = encoded(event)
        if data is None:
            return
        event.stop()
        event.prevent_default()
        typed = self._escape.filter(data)
        if typed:
            self.session.machine.feed_serial(typed, more=True)

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        pasted = event.text.replace("\n", "\r").encode().replace(bytes((ESCAPE,)), b"")
        self.session.machine.feed_serial(pasted, more=True)
