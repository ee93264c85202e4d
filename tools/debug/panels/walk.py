"""The page walk explained: each level, each permission layer, who denies what, and which instruction decided so."""

from __future__ import annotations

from rich.text import Text
from textual.binding import Binding

from emu.api.views import PlaneView
from emu.mem.ram import PAGE
from emu.planes.layers import Origin
from emu.walk import ACCESSED, DIRTY, GLOBAL, LARGE, NX, PRESENT, USER, WRITABLE, Level, Walk
from tools.debug.panels.panel import Panel, row
from tools.debug.verdict import Verdict, backing, verdicts

WORDS = ((PRESENT, "present", "not present"), (WRITABLE, "writable", "read-only"), (USER, "user", "supervisor"),
         (ACCESSED, "accessed", ""), (DIRTY, "dirty", ""), (LARGE, "page", ""), (GLOBAL, "global", ""),
         (NX, "no execute", ""))


def rights(denied: int) -> str:
    """`rwx` with what is denied left out, and a note where only user-mode fetches are."""
    letters = "".join("-" if denied >> n & 1 else letter for n, letter in enumerate("rwx"))
    return letters + ("" if bool(denied & 4) == bool(denied & 8) else " (x differs for user mode)")


class WalkPanel(Panel):
    """The next instruction's address until another is chosen; Enter goes to the instruction that denied."""

    TITLE = "Walk"
    WRAP = True
    BINDINGS = [Binding("enter", "origin", "go to what set it", show=False)]

    def __init__(self, *args: object) -> None:
        super().__init__(*args)     # type: ignore[arg-type]
        self.origin: Origin | None = None
        self.entry: Level | None = None

    def draw(self, width: int, height: int) -> list[Text]:
        session, plane = self.session, self.session.plane
        address, physical = session.walk_at, session.walk_physical
        if address is None and session.denied is not None:
            (plane, address), physical = session.denied, True
        if address is None:
            address, physical = plane.code_address, False
        if physical:
            return self._physical(plane, address)
        return self._linear(plane, address)

    def _physical(self, plane: PlaneView, gpa: int) -> list[Text]:
        """What is decided about an address without a walk."""
        self.border_title = f"{self.TITLE} · {plane.name} guest-physical {gpa:#x}"
        found = Walk(gpa, (), gpa, PAGE, True, True, True, gpa)
        return [row(("guest-physical ", ""), (f"{gpa:#x}", "bold"),
                    (f"  {backing(self.session.machine, gpa)}", self.palette.dim)),
                *self._layers(gpa), *self._verdicts(verdicts(plane, found, paging=False))]

    def _linear(self, plane: PlaneView, linear: int) -> list[Text]:
        """Each level of the walk, then the page."""
        session, palette = self.session, self.palette
        found = plane.walk(linear)
        self.border_title = f"{self.TITLE} · {plane.name} {session.listing.name(linear) or f'{linear:#x}'}"
        rows = [row((f"linear {linear:#x}", "bold"), (f"  cr3 {plane.regs.cr3:#x}", palette.dim))]
        if not found.levels:
            rows.append(row("paging is off: linear is guest-physical"))
        rows += [self._level(level, found) for level in found.levels]
        if found.gpa is not None:
            rows.append(row(("guest-physical ", ""), (f"{found.gpa:#x}", "bold"),
                            (f"  {size(found.page_size)} page, {backing(session.machine, found.gpa)}", palette.dim)))
            rows += self._layers(found.gpa)
        rows += self._verdicts(verdicts(plane, found))
        return rows

    def _level(self, level: Level, found: Walk) -> Text:
        present = bool(level.entry & PRESENT)
        leaf = level is found.levels[-1]
        words = [yes if level.entry & bit else no for bit, yes, no in WORDS
                 if (bit not in (DIRTY, LARGE, GLOBAL) or leaf) and (bit, level.name) != (LARGE, "PTE")]
        text = ", ".join(word for word in words if word) if present else "not present: #PF"
        return row((f"{level.name:<7}", "bold"), (f"at {level.gpa:<8x} ", self.palette.address),
                   (f"{level.entry:016x}", self.palette.address), "  ", (text, "" if present else self.palette.bad))

    def _layers(self, gpa: int) -> list[Text]:
        """The design's decisions about the page, for each plane that it decides about."""
        rows = []
        for plane in self.session.planes:
            for layer in plane.layers(gpa):
                rows.append(row((f"{plane.name:<7}", self.palette.plane(plane.number)), (f"{layer.name}: ", ""),
                                (rights(layer.denied), self.palette.bad if layer.denied else self.palette.good),
                                (self._origin(layer.origin), self.palette.dim)))
        return rows

    def _origin(self, origin: Origin | None) -> str:
        if origin is None:
            return ""
        machine = self.session.machine
        name = self.session.listing.name(origin.rip)
        return (f"  set by {machine.plane_name(origin.plane)}, vCPU {origin.vcpu}, instruction {origin.icount:,} "
                f"at {origin.rip:#x} {name}").rstrip()

    def _verdicts(self, found: list[Verdict]) -> list[Text]:
        palette, rows = self.palette, []
        self.origin = next((each.origin for each in found if each.origin is not None), None)
        self.entry = next((each.entry for each in found if each.entry is not None), None)
        for user in (False, True):
            parts: list[tuple[str, str] | str] = [("user        " if user else "supervisor  ", "bold")]
            reasons: dict[tuple[str, Origin | None], list[str]] = {}
            for each in found:
                if each.user == user:
                    parts.append((f"{each.access}: {'no' if each.denied_by else 'yes'}  ",
                                  palette.bad if each.denied_by else palette.good))
                    if each.denied_by:
                        reasons.setdefault((each.denied_by, each.origin), []).append(each.access)
            rows.append(row(*parts))
            rows += [row(f"  no {', '.join(accesses)}: ", (why, palette.bad), (self._origin(origin), palette.dim))
                     for (why, origin), accesses in reasons.items()]
        if self.origin is not None:
            rows.append(row(("Enter goes to the instruction that set it", palette.dim)))
        elif self.entry is not None:
            rows.append(row((f"Enter goes to the instruction that wrote the {self.entry.name} last", palette.dim)))
        return rows

    def action_origin(self) -> None:
        """Go to the instruction that decided against an access."""
        if self.origin is not None:
            self.debugger.go(self.origin.icount)
        elif self.entry is not None:
            entry = self.entry
            self.debugger.start(f"looking for the last write of the {entry.name} at {entry.gpa:#x}",
                                lambda m: m.goto(m.last(physical=entry.gpa)), 1)


def size(count: int) -> str:
    """4096 as 4 KiB."""
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << shift:
            return f"{count >> shift} {unit}"
    return f"{count} bytes"
