"""A plane switch in stages: cause, saved state, permission set, entry context, first instruction."""

from __future__ import annotations

from rich.text import Text

from emu.disassembly import instruction_text
from tools.debug import stages
from tools.debug.panels.panel import Panel, row
from tools.debug.panels.registers import flags

MARK = "► "


class SwitchPanel(Panel):
    """Step keys go through the stages before they execute the first instruction."""

    TITLE = "Switch"
    WRAP = True

    def reload(self) -> None:
        """What the stage says is at the top."""
        super().reload()
        if self.session.stage and not self.debugger.busy:
            marked = (n for n, line in enumerate(self.shown) if line.plain.startswith(MARK))
            self.top = max(0, min(next(marked, 0), len(self.shown) - self.content_size.height))

    def draw(self, width: int, height: int) -> list[Text]:
        session, palette = self.session, self.palette
        found = stages.crossing(session.machine)
        if found is None:
            self.border_title = self.TITLE
            return [row(("no plane switch right before this instruction", palette.dim)),
                    row(("] goes to the next one, [ to the one before", palette.dim))]
        machine = session.machine
        names = machine.plane_name(found.source.number), machine.plane_name(found.target.number)
        self.border_title = f"{self.TITLE} · {names[0]} → {names[1]}, {found.switch.cause}"
        makers = (self._cause, self._saved, self._permissions, self._entry, self._first)
        rows: list[Text] = []
        for number, (title, make) in enumerate(zip(stages.STAGES, makers, strict=True), 1):
            if session.stage and number > session.stage:
                rows.append(row((f"  {number} {title}", palette.dim)))
                continue
            now = number == session.stage
            mark, style = (MARK, palette.here) if now else ("  ", "bold")
            rows.append(row((mark, palette.good), (f"{number} {title}", style)))
            rows += make(found, width)
        return rows

    def _cause(self, found: stages.Crossing, width: int) -> list[Text]:
        machine, palette = self.session.machine, self.palette
        facts = stages.cause(machine, found)
        plane = found.source._plane()
        name = self.session.listing.name(facts["rip"])
        rows = [row("    ", (facts["cause"], "bold"), f" at {facts['rip']:#x} ", (name, palette.symbol),
                    (f"  {instruction_text(machine, plane, facts['rip'])}", palette.mnemonic))]
        if "intercept" in facts:
            rows.append(row("    intercept  ", facts["intercept"]))
        if facts["irr"] or facts["pending"]:
            vectors = " ".join(f"{vector:#x}" for vector in facts["irr"])
            waiting = ", ".join((*facts["pending"], f"IRR {vectors or 'empty'}"))
            rows.append(row(f"    waiting for the entered plane: {waiting}"))
        return rows

    def _saved(self, found: stages.Crossing, width: int) -> list[Text]:
        """What was put aside, and what was carried over."""
        palette, values = self.palette, stages.saved(self.session.machine, found)
        carried = stages.shared(self.session.machine, found)
        cells = [(name, f"{value:x}") for name, value in values.items()]
        place = stages.saved_to(self.session.machine)
        head = row(("    put aside by ", palette.dim), found.source.name, f", in its {place}" if place else "")
        rows = [head, *_table(cells, width, palette.dim)]
        rows.append(row(("    carried over: ", palette.dim), " ".join(carried) if carried else "nothing"))
        return rows

    def _permissions(self, found: stages.Crossing, width: int) -> list[Text]:
        """What the entered plane must not do, beside the one that was left."""
        rows = []
        total = stages.pages(self.session.machine)
        for plane in (found.source, found.target):
            denied = stages.permissions(self.session.machine, plane)
            text = ", ".join(f"no {name} {count:,}" for name, count in denied.items() if count)
            rows.append(row("    ", (f"{plane.name:<8}", self.palette.plane(plane.number)),
                            (text or "everything allowed", self.palette.bad if text else self.palette.good),
                            (f" of {total:,} pages", self.palette.dim)))
        return rows

    def _entry(self, found: stages.Crossing, width: int) -> list[Text]:
        regs = found.target.regs
        cells = [(name, f"{regs[name]:x}") for name in stages.ENTRY]
        return [*_table(cells, width, self.palette.dim), row(("    flags ", self.palette.dim), flags(regs.rflags))]

    def _first(self, found: stages.Crossing, width: int) -> list[Text]:
        plane = found.target
        text = instruction_text(self.session.machine, plane._plane(), plane.rip)
        name = self.session.listing.name(plane.rip)
        return [row("    ", (f"{plane.rip:#x} ", self.palette.address), (f"{name}  ", self.palette.symbol),
                    (text, "bold"))]


def _table(cells: list[tuple[str, str]], width: int, style: str) -> list[Text]:
    """Names and values in as many columns as fit."""
    column = 32
    per = max(1, (width - 4) // column)
    rows = []
    for n in range(0, len(cells), per):
        text = row("    ")
        for name, value in cells[n:n + per]:
            text.append(f"{name:<15}", style)
            text.append(f"{value:<{column - 15}}")
        rows.append(text)
    return rows
