"""Registers of a vCPU's planes side by side: what is shared stands once, what each plane has for itself in columns,
what changed since the last stop is marked, and so is what the last switch put aside."""

from __future__ import annotations

from rich.text import Text

from emu.api.views import PlaneView
from emu.state_names import REGISTERS
from tools.debug import stages
from tools.debug.changes import FPU, GENERAL, SYSTEM
from tools.debug.panels.panel import Panel, row

SHORT = {"kernel_gs_base": "kgsbase", "sysenter_cs": "sysencs", "sysenter_esp": "sysensp", "sysenter_eip": "sysenip",
         "gdtr_base": "gdtr", "gdtr_limit": "gdtrlim", "idtr_base": "idtr", "idtr_limit": "idtrlim",
         "tsc_offset": "tscoffs"}
NAME, VALUE = 8, 17
FLAGS = ((0, "CF"), (2, "PF"), (4, "AF"), (6, "ZF"), (7, "SF"), (8, "TF"), (9, "IF"), (10, "DF"), (11, "OF"),
         (14, "NT"), (16, "RF"), (17, "VM"), (18, "AC"))


def flags(value: int) -> str:
    """The names of the flags that are set."""
    return " ".join(name for bit, name in FLAGS if value >> bit & 1)


class RegistersPanel(Panel):
    """One table for all."""

    TITLE = "Registers"

    def draw(self, width: int, height: int) -> list[Text]:
        session, palette = self.session, self.palette
        view = session.machine.vcpu[session.plane.vcpu]
        planes = self._columns(max(1, (width - NAME) // VALUE))
        crossing = stages.crossing(session.machine)
        saved = set(stages.saved(session.machine, crossing)) if crossing is not None else set()
        heads: list[tuple[str, str] | str] = [f"{'':<{NAME}}"]
        for plane in planes:
            mark = ("►" if plane.active else "") + plane.name
            heads.append((f"{mark:>{VALUE - 1}} ", f"bold {palette.plane(plane.number)}"))
        rows = [row(*heads)]
        for name in ("rip", "rflags", *GENERAL, *SYSTEM[2:]):
            rows.append(self._row(name, planes, name in view.shared, crossing, name in saved))
            if name == "rflags":
                rows.append(row((f"{'':<{NAME}}", ""), (flags(session.plane.regs.rflags), palette.dim)))
        rows += [self._vector(name) for name in FPU]
        legend = "" if len(planes) == 1 else "  = shared" + ("  ▾ saved" if crossing is not None else "")
        self.border_title = f"{self.TITLE} · vCPU {session.plane.vcpu}{legend}"
        return rows

    def _columns(self, room: int) -> list[PlaneView]:
        """The planes that there is room for: the one looked at, the one that runs, the one left last, the others."""
        session = self.session
        last = session.machine.vcpu[session.plane.vcpu].last_switch
        first = [session.plane.number, *(plane.number for plane in session.planes if plane.active),
                 *(() if last is None else (last.source,))]
        ranked = sorted(session.planes, key=lambda p: first.index(p.number) if p.number in first else len(first))
        return sorted(ranked[:room], key=lambda p: p.number)

    def _row(self, name: str, planes: list[PlaneView], shared: bool, crossing: stages.Crossing | None,
             saved: bool) -> Text:
        palette, changes = self.palette, self.session.changes
        text = row((f"{SHORT.get(name, name):<{NAME - 1}}", palette.dim), ("=" if shared else " ", palette.dim))
        if shared:
            planes = [plane for plane in planes if plane.active] or planes[:1]
        for plane in planes:
            changed = changes.changed(plane.vcpu, plane.number, name)
            left = crossing is not None and crossing.source.number == plane.number and saved
            style = palette.changed if changed else palette.plane(plane.number) if left else ""
            text.append(f"{plane.regs[name]:>{VALUE - 1}x}", style)
            text.append("▾" if left else " ", palette.dim)
        return text

    def _vector(self, name: str) -> Text:
        plane = self.session.plane
        changed = self.session.changes.changed(plane.vcpu, plane.number, name)
        value = f"{plane.regs[name]:>{max(VALUE - 1, REGISTERS[name].bits // 4)}x}"
        return row((f"{name:<{NAME}}", self.palette.dim), (value, self.palette.changed if changed else ""))
