"""The planes of every vCPU: which runs, which are put aside, what waits for each; and the last switches."""

from __future__ import annotations

from rich.text import Text

from emu.api.views import PlaneView, VCpuView
from jit.group_layout import CAUSE_NAMES
from tools.debug.panels.panel import Panel, row
from tools.debug.panels.registers import flags

SWITCHES = 50


class PlanesPanel(Panel):
    """Highest plane first, as on a stack."""

    TITLE = "Planes"
    WRAP = True

    def draw(self, width: int, height: int) -> list[Text]:
        rows = []
        for vcpu in self.session.machine.vcpu:
            if len(self.session.machine.vcpu) > 1:
                rows.append(row((f"vCPU {vcpu.index}", "bold"), (f"  {vcpu.icount:,} instructions", self.palette.dim)))
            for plane in reversed(vcpu.plane):
                rows += self._plane(vcpu, plane)
            if vcpu.suspended:
                names = " < ".join(self.session.machine.plane_name(n) for n in vcpu.suspended)
                rows.append(row(("put aside: ", self.palette.dim), names))
        return rows + self._switches()

    def _plane(self, vcpu: VCpuView, plane: PlaneView) -> list[Text]:
        palette, session = self.palette, self.session
        runs = plane.active
        chosen = plane.vcpu == session.plane.vcpu and plane.number == session.plane.number
        state = ("runs" if runs else "waits to go on" if plane.runnable and plane.enabled else
                 "enabled" if plane.enabled else "not enabled")
        if plane.halted:
            state += ", halted"
        name = session.listing.name(plane.rip) or f"{plane.rip:#x}"
        head = row(("►" if runs else " ", palette.plane(plane.number)),
                   (f"{plane.name:<8}", f"bold {palette.plane(plane.number)}{' underline' if chosen else ''}"),
                   f"{state}  ", (f"{name}  {plane.bits}-bit CPL {plane.regs.cpl} cr3 {plane.regs.cr3:x}", palette.dim))
        return [head, row("         ", *self._pending(plane))]

    def _pending(self, plane: PlaneView) -> list[tuple[str, str] | str]:
        palette, apic, regs = self.palette, plane.apic, plane.regs
        waits: list[str] = []
        if plane.pending["nmi"]:
            waits.append("NMI")
        vector = apic.pending_vector()
        if vector is not None:
            waits.append(f"vector {vector:#x}")
        elif plane.pending["interrupt"]:
            waits.append("interrupt")
        held = "" if not waits or regs.rflags >> 9 & 1 else ", held back by RFLAGS.IF = 0"
        waiting = apic.irr.bit_count()
        busy = waiting or apic.isr or apic.tpr
        rest = f"  IRR {waiting}, ISR {apic.isr.bit_count()}, TPR {apic.tpr:#x}" if busy else ""
        return [("pending: ", palette.dim), (", ".join(waits) or "nothing", palette.some if waits else palette.dim),
                (f"{held}{rest}  flags {flags(regs.rflags)}", palette.dim)]

    def _switches(self) -> list[Text]:
        machine, palette = self.session.machine, self.palette
        if machine.plane_model is None:
            return []
        table = machine.vcpu[self.session.plane.vcpu].switch_table()[-SWITCHES:][::-1].tolist()
        rows = [row(("last switches, latest first", palette.dim))] if table else []
        for icount, source, target, cause, _, rip in table:
            rows.append(row((f"{icount:>13,}  ", palette.dim), (machine.plane_name(source), palette.plane(source)),
                            " → ", (machine.plane_name(target), palette.plane(target)),
                            f"  {CAUSE_NAMES.get(cause, '?'):<12}", (self.session.listing.name(rip), palette.symbol)))
        return rows
