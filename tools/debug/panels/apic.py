"""The local APIC of the plane that is looked at (SDM Vol. 3A chapter 11)."""

from __future__ import annotations

from rich.text import Text

from emu.irq import lapic
from emu.irq.lapic_timer import DIVIDE_SHIFT, ONE_SHOT, PERIODIC, TSC_DEADLINE
from tools.debug.panels.panel import Panel, row

ENTRIES = ((lapic.LVT_TIMER, "timer"), (lapic.LVT_LINT0, "LINT0"), (lapic.LVT_LINT1, "LINT1"),
           (lapic.LVT_ERROR, "error"), (lapic.LVT_PERF, "perf"), (lapic.LVT_THERMAL, "thermal"),
           (lapic.LVT_CMCI, "CMCI"))
MODES = {0: "fixed", 2: "SMI", 4: "NMI", 5: "INIT", 7: "ExtINT"}
TIMERS = {ONE_SHOT: "one-shot", PERIODIC: "periodic", TSC_DEADLINE: "TSC deadline"}


def vectors(bits: int) -> str:
    """The vectors of a 256-bit register."""
    return " ".join(f"{vector:02x}" for vector in range(255, -1, -1) if bits >> vector & 1) or "none"


def entry(offset: int, value: int) -> str:
    """A local vector table entry in words."""
    if value & lapic.LVT_MASKED:
        return f"{value:05x} masked"
    mode = "fixed" if offset in (lapic.LVT_TIMER, lapic.LVT_ERROR) else MODES.get(value >> 8 & 7, "reserved")
    level = ", level" if value & lapic.LVT_LEVEL else ""
    return f"{value:05x} {mode}{level}, vector {value & 0xFF:#x}"


class ApicPanel(Panel):
    """Priorities, the three vector registers, the local vector table, the timer."""

    TITLE = "APIC"
    WRAP = True

    def draw(self, width: int, height: int) -> list[Text]:
        plane, palette = self.session.plane, self.palette
        apic = plane.apic
        mode = "x2APIC" if apic.x2apic else "xAPIC" if apic.enabled else "disabled"
        self.border_title = f"{self.TITLE} · {plane.name} of vCPU {plane.vcpu}, {mode}"
        software = "" if apic.software_enabled else "  software-disabled"
        vector = apic.pending_vector()
        rows = [
            row(("id ", palette.dim), f"{apic.apic_id}", ("  base ", palette.dim), f"{apic.base & -4096:#x}",
                ("  SVR ", palette.dim), f"{apic.svr:#x}", (software, palette.bad)),
            row(("TPR ", palette.dim), f"{apic.tpr:#04x}", ("  PPR ", palette.dim), f"{apic.priority:#04x}",
                ("  next to deliver ", palette.dim), ("none" if vector is None else f"{vector:#x}",
                                                      palette.dim if vector is None else palette.some)),
        ]
        for name in ("irr", "isr", "tmr"):
            bits = getattr(apic, name)
            rows.append(row((f"{name.upper()} ", palette.dim), (vectors(bits), palette.some if bits else palette.dim)))
        timer = apic.timer
        rows.append(row(("timer ", palette.dim), f"{TIMERS.get(timer.mode, '?')}, {timer.current():#x} of "
                        f"{timer.initial:#x}, divided by {1 << DIVIDE_SHIFT.get(timer.divide & 0xB, 0)}"))
        for offset, name in ENTRIES:
            value = apic.lvt[offset]
            rows.append(row((f"LVT {name:<8}", palette.dim),
                            (entry(offset, value), palette.dim if value & lapic.LVT_MASKED else "")))
        rows.append(row(("ICR ", palette.dim), f"{apic.icr:#x}", ("  ESR ", palette.dim), f"{apic.esr:#x}",
                        ("  LDR ", palette.dim), f"{apic.ldr:#x}", ("  DFR ", palette.dim), f"{apic.dfr:#x}"))
        return rows
