"""Disassembly with symbols, and source lines where the image has DWARF."""

from __future__ import annotations

from rich.text import Text

from tools.debug.listing import Line
from tools.debug.panels.panel import Panel, row

ROOMY = 12              # rows from which source lines stand in front of all instructions, not only the one looked at


class CodePanel(Panel):
    """Follows the plane that is looked at; the cursor is moved with the arrow keys."""

    TITLE = "Code"

    @property
    def focus_address(self) -> int:
        """The instruction under the cursor."""
        at = self.session.code_at
        return self.session.plane.code_address if at is None else at

    def draw(self, width: int, height: int) -> list[Text]:
        plane = self.session.plane
        before = height // 3
        lines = self.session.listing.around(plane, self.focus_address, before, height)
        rows: list[Text] = []
        focus, shown = 0, None
        for line in lines:
            if line.label:
                rows.append(row((f"{line.label}:", self.palette.symbol)))
            place = self.session.source.at(line.address)
            if place is not None and place[:2] != shown and (height >= ROOMY or line.address == self.focus_address):
                shown = place[:2]
                rows.append(row((f"{place.file.rsplit('/', 1)[-1]}:{place.line} ", self.palette.dim),
                                (place.text, f"italic {self.palette.dim}")))
            if line.address == self.focus_address:
                focus = len(rows)
            rows.append(self._row(line, width))
        if not any(line.address == self.focus_address for line in lines):
            rows.append(row((f"{self.focus_address:x} is not mapped in {plane.name}", self.palette.bad)))
            focus = len(rows) - 1
        self.border_title = f"{self.TITLE} · {plane.name} {plane.bits}-bit {self._where()}"
        return rows[max(0, focus - before):][:height]

    def _where(self) -> str:
        name = self.session.listing.name(self.focus_address)
        place = self.session.source.at(self.focus_address)
        return name + (f" · {place.file.rsplit('/', 1)[-1]}:{place.line}" if place is not None else "")

    def _row(self, line: Line, width: int) -> Text:
        palette, plane = self.palette, self.session.plane
        point = self.session.breakpoint_at(line.address)
        here = line.address == plane.code_address
        mark = ("●", palette.bad if point.enabled else palette.dim) if point is not None else (" ", "")
        arrow = ("►", palette.plane(plane.number)) if here else (" ", "")
        target = f" {line.target}" if line.target else ""
        text = row(mark, arrow, (f"{line.address:x} ", palette.address), (f"{line.mnemonic:<6} ", palette.mnemonic),
                   line.operands, (target, palette.symbol))
        if here:
            text.stylize("bold")
        if self.session.code_at == line.address:
            text.stylize(palette.cursor)
        text.truncate(width, overflow="crop")
        return text

    def action_line(self, by: int) -> None:
        """The cursor to another instruction."""
        if self.debugger.busy:
            return
        around = self.session.listing.around(self.session.plane, self.focus_address, max(0, -by), max(0, by))
        at = next((n for n, line in enumerate(around) if line.address == self.focus_address), None)
        if at is not None:
            self.session.code_at = around[max(0, min(at + by, len(around) - 1))].address
        self.reload()

    def action_edge(self, which: int) -> None:
        """Back to where the plane stands."""
        self.session.code_at = None
        self.reload()
