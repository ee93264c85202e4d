"""Which plane ran when, over the whole run as far as it is known. The cursor goes to an instruction count."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.binding import Binding

from tools.debug.panels.panel import Panel, row, strip
from tools.debug.session import Session

NAME = 8
MOST = 4                # planes that have a line
BLOCKS = " ▁▂▃▄▅▆▇█"
SMALLEST = 64           # instructions that a whole line shows at least


class TimelinePanel(Panel):
    """Arrow keys move the cursor, Enter goes there (a click does both); + and - zoom at it."""

    TITLE = "Timeline"
    BINDINGS = [
        Binding("left", "cursor(-1)", "left", show=False), Binding("right", "cursor(1)", "right", show=False),
        Binding("shift+left", "cursor(-10)", show=False), Binding("shift+right", "cursor(10)", show=False),
        Binding("plus,equals_sign", "zoom(1)", "zoom in", show=False), Binding("minus", "zoom(-1)", show=False),
        Binding("enter", "go", "go there", show=False),
    ]

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session, name)
        self.start, self.span = 0, 0            # what is shown; span 0: everything
        self.cursor: int | None = None          # an instruction count; None: the present

    @property
    def end(self) -> int:
        """One past the last instruction count shown."""
        return self.start + (self.span or max(SMALLEST, self.session.residency.end))

    def stopped(self) -> None:
        """The machine stands elsewhere: so does the cursor, and what is shown contains it."""
        self.cursor = None
        now = self.session.machine.icount
        if self.span and not self.start <= now < self.end:
            self.start = max(0, now - self.span // 2)

    def draw(self, width: int, height: int) -> list[Text]:
        session, palette = self.session, self.palette
        planes = session.residency.planes(session.plane.vcpu)[::-1][:MOST]
        self.styles.height = len(planes) + 2
        columns = max(1, width - NAME)
        at = self._column(session.machine.icount if self.cursor is None else self.cursor, columns)
        now = self._column(session.machine.icount, columns)
        shares = session.residency.shares(session.plane.vcpu, self.start, self.end, columns)
        rows = []
        for plane in planes:
            style = palette.plane(plane)
            cells = []
            for column, share in enumerate(shares):
                part = share.get(plane, 0.0)
                level = 0 if part == 0 else max(1, round(part * (len(BLOCKS) - 1)))
                cells.append((BLOCKS[level], f"{style} reverse" if column == at else style))
            rows.append(strip([(f"{session.machine.plane_name(plane):<{NAME}}", f"bold {style}"), *cells]))
        rows.append(self._ruler(columns, now, at))
        count = len(session.residency.switches(session.plane.vcpu))
        self.border_title = f"{self.TITLE} · {count:,} switches known"
        return rows

    def _column(self, icount: int, columns: int) -> int:
        return max(0, min((icount - self.start) * columns // (self.end - self.start), columns - 1))

    def _ruler(self, columns: int, now: int, at: int) -> Text:
        marks = ["─"] * columns
        for kept in (history := self.session.machine.debugger.history) and history.kept or ():
            if self.start <= kept.icount < self.end:
                marks[self._column(kept.icount, columns)] = "┴"
        marks[now] = "▲"
        left, right = f"{self.start:,}", f"{self.end:,}"
        middle = "" if self.cursor is None else f" {self.cursor:,} Enter goes "
        line = "".join(marks)
        for text, place in ((left, 0), (right, columns - len(right)), (middle, min(at, columns - len(middle)))):
            if text and not (place <= now < place + len(text)):
                line = line[:place] + text + line[place + len(text):]
        return row((f"{'':<{NAME}}", ""), (line[:columns], self.palette.dim))

    # --- keys and mouse ----------------------------------------------------------------------------------------------

    def _step(self) -> int:
        return max(1, (self.end - self.start) // max(1, self.content_size.width - NAME))

    def action_cursor(self, by: int) -> None:
        """Columns left or right."""
        here = self.session.machine.icount if self.cursor is None else self.cursor
        self.cursor = max(0, min(here + by * self._step(), self.session.residency.end))
        if self.span and not self.start <= self.cursor < self.end:
            self.start = max(0, self.cursor - self.span // 2)
        self.reload()

    def action_zoom(self, by: int) -> None:
        """A quarter as many instructions, or four times, around the cursor."""
        whole = max(SMALLEST, self.session.residency.end)
        here = self.session.machine.icount if self.cursor is None else self.cursor
        span = self.end - self.start
        span = max(SMALLEST, span // 4) if by > 0 else span * 4
        self.span = 0 if span >= whole else span
        self.start = max(0, min(here - span // 2, whole - span)) if self.span else 0
        self.reload()

    def action_go(self) -> None:
        """Go to the cursor."""
        if self.cursor is not None:
            self.debugger.go(self.cursor)

    def action_line(self, by: int) -> None:
        """Up and down zoom."""
        self.action_zoom(-by)

    def on_click(self, event: events.Click) -> None:
        columns = max(1, self.content_size.width - NAME)
        x = event.get_content_offset(self)
        if x is None or x.x < NAME:
            return
        self.cursor = min(self.start + (x.x - NAME) * (self.end - self.start) // columns, self.session.residency.end)
        self.action_go()
