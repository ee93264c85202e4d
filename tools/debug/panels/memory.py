"""Memory as a plane sees it, or guest-physical: bytes, what changed since the last stop, who may use the page."""

from __future__ import annotations

from rich.text import Text
from textual.binding import Binding

from tools.debug.panels.panel import Panel, strip

MASK = (1 << 64) - 1
PRINTABLE = range(0x20, 0x7F)


class MemoryPanel(Panel):
    """Starts at the stack until an address is chosen."""

    TITLE = "Memory"
    BINDINGS = [Binding("space", "space", "linear or guest-physical", show=False)]

    def __init__(self, *args: object) -> None:
        super().__init__(*args)         # type: ignore[arg-type]
        self._seen: dict[tuple[str, int], int] = {}     # (space, address) -> byte, at the stop before
        self._now: dict[tuple[str, int], int] = {}

    def stopped(self) -> None:
        """The machine stands elsewhere: what was seen until now is what changes are told from."""
        self._seen, self._now = self._now, {}

    @property
    def address(self) -> int:
        """Of the first byte shown."""
        at = self.session.memory_at
        return self.session.plane.regs.rsp & ~0xF if at is None else at

    def draw(self, width: int, height: int) -> list[Text]:
        session, plane = self.session, self.session.plane
        memory = session.machine.physical if session.memory_physical else plane.memory
        space = "guest-physical" if session.memory_physical else f"{plane.name} linear"
        digits = max(8, len(f"{self.address + 16 * height:x}"))
        per = 16 if width >= digits + 2 + 16 * 4 else 8
        gpa = self.address if session.memory_physical else plane.walk(self.address).gpa
        name = "" if session.memory_physical else session.listing.name(self.address)
        self.border_title = f"{self.TITLE} · {space} {name or f'{self.address:#x}'} {self._rights(gpa)}"
        rows = []
        for n in range(height):
            at = self.address + n * per & MASK
            data: list[int | None] = list(memory.most(at, per))
            data += [None] * (per - len(data))
            cells = [(f"{at:0{digits}x}  ", self.palette.address)]
            for offset, byte in enumerate(data):
                gap = "  " if offset == 7 and per == 16 else " "
                cells.append((("??" if byte is None else f"{byte:02x}") + gap, self._style(space, at + offset, byte)))
            cells.append((" " + "".join("." if byte not in PRINTABLE else chr(byte or 0) for byte in data), ""))
            rows.append(strip(cells))
        return rows

    def _style(self, space: str, at: int, byte: int | None) -> str:
        if byte is None:
            return self.palette.dim
        self._now[space, at] = byte
        return self.palette.changed if self._seen.get((space, at), byte) != byte else ""

    def _rights(self, gpa: int | None) -> str:
        """What each plane may do with the page."""
        if gpa is None:
            return "not mapped"
        found = [(plane, plane.denied(gpa) & 0b111) for plane in self.session.planes]
        return " ".join(f"{plane.name}:" + "".join(letter if not denied >> n & 1 else "-"
                                                   for n, letter in enumerate("rwx"))
                        for plane, denied in found) if any(denied for _, denied in found) else ""

    def action_line(self, by: int) -> None:
        """A row up or down."""
        per = 16 if self.content_size.width >= 82 else 8
        self.session.memory_at = self.address + by * per & MASK
        self.reload()

    def action_edge(self, which: int) -> None:
        """Back to the stack."""
        self.session.memory_at = None
        self.reload()

    def action_space(self) -> None:
        """Linear addresses of the plane, or guest-physical ones."""
        self.session.memory_physical = not self.session.memory_physical
        self.reload()
