"""Permissions as a map: guest-physical memory from left to right, for each plane what of it may be read, written and
executed. The cursor names a page; its layers are below."""

from __future__ import annotations

import numpy as np
from rich.text import Text
from textual.binding import Binding

from emu.mem.ram import PAGE
from jit.guards import DENY_EXECUTE, DENY_READ, DENY_WRITE
from tools.debug.panels.panel import Panel, row, strip
from tools.debug.panels.walk import rights, size
from tools.debug.verdict import backing

BITS = (("r", DENY_READ), ("w", DENY_WRITE), ("x", DENY_EXECUTE))
NAME = 8
ALL, SOME, NONE = "█", "▒", "·"


class HeatPanel(Panel):
    """+ and - zoom at the cursor, Enter shows the page in the memory panel."""

    TITLE = "Map"
    BINDINGS = [
        Binding("left", "cursor(-1)", "left", show=False), Binding("right", "cursor(1)", "right", show=False),
        Binding("plus,equals_sign", "zoom(1)", "zoom in", show=False), Binding("minus", "zoom(-1)", show=False),
        Binding("enter", "look", "show the page", show=False),
    ]

    def __init__(self, *args: object) -> None:
        super().__init__(*args)     # type: ignore[arg-type]
        self.first, self.pages = 0, 0           # what is shown; 0 pages: as many as RAM has
        self.page = 0                           # under the cursor

    @property
    def total(self) -> int:
        """Pages of the guest-physical space."""
        return self.session.machine.map.space // PAGE

    def draw(self, width: int, height: int) -> list[Text]:
        palette, columns = self.palette, max(1, width - NAME)
        if not self.pages:
            self.pages = max(1, self.session.machine.memory_size // PAGE)
        self.pages = min(self.pages, self.total)
        self.first = max(0, min(self.first, self.total - self.pages))
        self.page = max(self.first, min(self.page, self.first + self.pages - 1))
        edges = np.linspace(self.first, self.first + self.pages, columns + 1).astype(int)
        cursor = int(np.searchsorted(edges, self.page, "right")) - 1
        start, end = f"{self.first * PAGE:#x}", f"{(self.first + self.pages) * PAGE:#x}"
        rows = [row((f"{'':<{NAME}}{start}{end:>{max(0, columns - len(start))}}", palette.dim))]
        words = np.frombuffer(self.session.machine.memory.map, np.uint64)
        backed = words[self.first:self.first + self.pages] != 0
        for plane in self.session.planes:
            table = np.frombuffer(plane.denials(self.first, self.pages), np.uint8)
            for letter, bit in BITS:
                name = plane.name if letter == "r" else ""
                text = row((f"{name:<{NAME - 2}}", palette.plane(plane.number)), f"{letter} ")
                cells = self._cells((table & bit) != 0, backed, edges - self.first, cursor)
                rows.append(text.append_text(strip(cells)))
        gpa = self.page * PAGE
        rows.append(row((f"{gpa:#x}", "bold"), (f"  {backing(self.session.machine, gpa)}; a column is "
                         f"{size(max(1, self.pages // columns) * PAGE)}; ←→ move, + − zoom, Enter shows", palette.dim)))
        for plane in self.session.planes:
            for layer in plane.layers(gpa):
                by = "" if layer.origin is None else f"  set at instruction {layer.origin.icount:,}"
                rows.append(row((f"{plane.name:<{NAME}}", palette.plane(plane.number)), f"{layer.name} ",
                                (rights(layer.denied), palette.bad if layer.denied else palette.good),
                                (by, palette.dim)))
        self.border_title = f"{self.TITLE} · {ALL} allowed {SOME} in part {NONE} denied"
        return rows

    def _cells(self, denied: np.ndarray, backed: np.ndarray, edges: np.ndarray, cursor: int) -> list[tuple[str, str]]:
        """One row of the map."""
        cells = []
        for n, (start, end) in enumerate(zip(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1), strict=True)):
            part = denied[start:end][backed[start:end]]
            if not len(part):
                glyph, style = " ", ""
            elif not part.any():
                glyph, style = ALL, self.palette.good
            elif part.all():
                glyph, style = NONE, self.palette.bad
            else:
                glyph, style = SOME, self.palette.some
            cells.append((glyph, f"{style} reverse" if n == cursor else style))
        return cells

    def action_cursor(self, by: int) -> None:
        """A column left or right."""
        step = max(1, self.pages // max(1, self.content_size.width - NAME))
        self.page = max(0, min(self.page + by * step, self.total - 1))
        if not self.first <= self.page < self.first + self.pages:
            self.first += by * max(1, self.pages // 2)
        self.reload()

    def action_zoom(self, by: int) -> None:
        """Show a quarter as much, or four times."""
        columns = max(1, self.content_size.width - NAME)
        self.pages = max(min(columns, self.total), min(self.total, self.pages // 4 if by > 0 else self.pages * 4))
        self.first = self.page - self.pages // 2
        self.reload()

    def action_look(self) -> None:
        """Show the page under the cursor in the memory panel."""
        self.session.memory_at, self.session.memory_physical = self.page * PAGE, True
        self.debugger.action_panel("memory")
