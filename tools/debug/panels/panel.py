"""What all panels have in common: a title, lines that fit, scrolling, and content made anew at each stop."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.widget import Widget

from tools.debug.palette import DARK, Palette
from tools.debug.session import Session

if TYPE_CHECKING:
    from tools.debug.app import DebugApp


INDENT = 6              # of what is wrapped


class Panel(Widget, can_focus=True):
    """`draw` gives the lines, from the top, for a width and height; while the guest runs they stay as they are."""

    TITLE: ClassVar[str] = ""
    WRAP: ClassVar[bool] = False            # whether lines that are too long go on in the next
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "line(-1)", "up", show=False), Binding("down", "line(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False), Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "edge(-1)", "start", show=False), Binding("end", "edge(1)", "end", show=False),
    ]

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(id=name, classes="panel")
        self.session = session
        self.border_title = self.TITLE
        self.top = 0
        self.shown: list[Text] = []

    @property
    def debugger(self) -> DebugApp:
        """The application."""
        from tools.debug.app import DebugApp
        assert isinstance(self.app, DebugApp)
        return self.app

    @property
    def palette(self) -> Palette:
        """The colours."""
        return getattr(self.app, "palette", DARK)

    def draw(self, width: int, height: int) -> list[Text]:
        """The lines."""
        raise NotImplementedError

    def reload(self) -> None:
        """Look again, unless the guest runs."""
        width, height = self.content_size
        if width <= 0 or height <= 0 or self.debugger.busy:
            return
        try:
            self.shown = self.draw(width, height)
            if self.WRAP:
                self.shown = [part for line in self.shown for part in self._wrapped(line, width)]
        except Exception as error:      # a plane that is not there at this instruction; a mistake of ours ends nothing
            kind = "" if isinstance(error, LookupError | ValueError) else f"internal error: {type(error).__name__}: "
            self.shown = [Text(kind + " ".join(str(error.args[0] if error.args else "").split()), self.palette.bad)]
        self.top = max(0, min(self.top, len(self.shown) - height))
        self.refresh()

    def _wrapped(self, line: Text, width: int) -> list[Text]:
        if line.cell_len <= width or width <= 2 * INDENT:
            return [line]
        line = line.copy()
        line.no_wrap, line.overflow = False, "fold"
        first, *others = line.wrap(self.app.console, width - INDENT)
        return [first, *(row(" " * INDENT).append_text(part) for part in others)]

    def render(self) -> Text:
        """What is visible."""
        height = max(1, self.content_size.height)
        return Text("\n", no_wrap=True, overflow="crop", end="").join(self.shown[self.top:self.top + height])

    def on_resize(self, _: events.Resize) -> None:
        self.reload()

    def on_show(self, _: events.Show) -> None:
        self.reload()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.action_line(3)
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.action_line(-3)
        event.stop()

    def scroll_lines(self, by: int) -> None:
        """Show other lines."""
        self.top = max(0, min(self.top + by, len(self.shown) - self.content_size.height))
        self.refresh()

    def action_line(self, by: int) -> None:
        """A line up or down."""
        self.scroll_lines(by)

    def action_page(self, by: int) -> None:
        """A page up or down."""
        self.action_line(by * max(1, self.content_size.height - 1))

    def action_edge(self, which: int) -> None:
        """The start or the end."""
        self.scroll_lines(which * len(self.shown))


def strip(cells: Iterable[tuple[str, str]]) -> Text:
    """A line of many cells, each text and style; neighbours of one style become one piece."""
    text = Text(no_wrap=True, overflow="crop", end="")
    for style, group in groupby(cells, key=lambda cell: cell[1]):
        text.append("".join(cell[0] for cell in group), style)
    return text


def row(*parts: tuple[Any, str] | str) -> Text:
    """A line of pieces, each text, or text and style."""
    text = Text(no_wrap=True, overflow="crop", end="")
    for part in parts:
        if isinstance(part, str):
            text.append(part)
        else:
            text.append(str(part[0]), part[1])
    return text
