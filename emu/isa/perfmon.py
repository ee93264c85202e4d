"""AMD's four performance counters, which RDPMC reads (APM Vol. 2 13.2.1).

They count retired instructions, cycles as one an instruction, which is what the clock makes of them, and retired
branches: so a count is a function of the run alone. Other events count nothing, which is reported once. A branch is
mispredicted after each barrier of indirect branches (IA32_PRED_CMD), and otherwise never. A counter that overflows
interrupts through the local APIC right after the instruction that made it do so; unlike Intel's, its LVT entry stays
unmasked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.lapic import LVT_PERF
from emu.irq.lapic_msr import GeneralProtection
from emu.isa.msr_table import PERF_COUNTERS, PERF_CTL0, PERF_CTL_WRITABLE, PERF_CTR0, PRED_CMD
from jit import layout

if TYPE_CHECKING:
    from emu.vcpu import VCpu

# Events (Family 19h PPR, PMCx076 ff.)
CYCLES_NOT_IN_HALT, RETIRED_INSTRUCTIONS, RETIRED_BRANCHES, MISPREDICTED_BRANCHES = 0x76, 0xC0, 0xC2, 0xC3
EVENTS = (CYCLES_NOT_IN_HALT, RETIRED_INSTRUCTIONS, RETIRED_BRANCHES, MISPREDICTED_BRANCHES)
EVENT, USER, SYSTEM, INTERRUPT, ENABLE = 0xF_0000_00FF, 1 << 16, 1 << 17, 1 << 20, 1 << 22
INVERT, CMASK_SHIFT = 1 << 23, 24               # cycles with at least, or fewer than, so many events
WIDTH = (1 << 48) - 1


class PerformanceCounters:
    """PERF_CTL and PERF_CTR of one vCPU. What the MSRs' plain values hold of a counter that counts is its value less
    the instructions or branches retired, so that they are all the state there is."""

    def __init__(self, vcpu: VCpu) -> None:
        self._vcpu = vcpu
        self._reported: set[str] = set()
        self._overflows: list[tuple[int, int]] = []     # event, and how many retired when its counter next interrupts
        self.counts_branches = False
        self.due: int | None = None     # instructions that the vCPU will have retired before a counter next interrupts

    def refresh(self) -> None:
        """Find out when a counter next interrupts, after MSRs or what has retired have changed."""
        values = self._vcpu.msrs.values
        counting = [n for n in range(PERF_COUNTERS) if self._counts(values.get(PERF_CTL0 + n, 0))]
        events = {n: values[PERF_CTL0 + n] & EVENT for n in counting}
        self._let_branches_count(RETIRED_BRANCHES in events.values())
        self._overflows = [(event, self._retired(event) + WIDTH + 1 - self.msr_read(PERF_CTR0 + n))
                           for n, event in events.items() if values[PERF_CTL0 + n] & INTERRUPT]
        self._look_ahead()

    def _let_branches_count(self, wanted: bool) -> None:
        self.counts_branches, machine = wanted, self._vcpu.machine
        if machine.engine.translator.count_branches(any(vcpu.counters.counts_branches for vcpu in machine.vcpus)):
            machine.flush_all()

    def _look_ahead(self) -> None:
        """No more branches retire than instructions."""
        left = [at - self._retired(event) for event, at in self._overflows]
        self.due = self._vcpu.retired() + max(min(left), 1) if left else None

    def reached(self) -> None:
        """The instructions of `due` have retired. Two counters that overflow at once are one interrupt."""
        if any(self._retired(event) >= at for event, at in self._overflows):
            self._vcpu.lapic.raise_local(LVT_PERF)
            self.refresh()
        else:
            self._look_ahead()

    def _retired(self, event: int) -> int:
        """How many of what an event counts the vCPU has retired."""
        if event == RETIRED_BRANCHES:
            return sum(plane.get(layout.BRANCHES) for plane in self._vcpu.planes)
        if event == MISPREDICTED_BRANCHES:
            return self._vcpu.msrs.values.get(PRED_CMD, 0)
        return self._vcpu.retired()

    def owns(self, index: int) -> bool:
        """Whether the index is one of theirs."""
        return PERF_CTL0 <= index < PERF_CTL0 + PERF_COUNTERS or PERF_CTR0 <= index < PERF_CTR0 + PERF_COUNTERS

    def msr_read(self, index: int) -> int:
        """A control register, or what a counter says now."""
        values = self._vcpu.msrs.values
        if index < PERF_CTR0:
            return values[index]
        control = values[index - PERF_CTR0 + PERF_CTL0]
        return values[index] + (self._retired(control & EVENT) if self._counts(control) else 0) & WIDTH

    def msr_write(self, index: int, value: int) -> None:
        """Counters keep 48 bits; a control register's change leaves its counter as it is now."""
        if index < PERF_CTR0:
            if value & ~PERF_CTL_WRITABLE:
                raise GeneralProtection
            counter = index - PERF_CTL0 + PERF_CTR0
            now = self.msr_read(counter)
            self._vcpu.msrs.values[index] = value
            self._explain(value)
            self.msr_write(counter, now)
        else:
            control = self._vcpu.msrs.values[index - PERF_CTR0 + PERF_CTL0]
            counted = self._retired(control & EVENT) if self._counts(control) else 0
            self._vcpu.msrs.values[index] = value - counted & WIDTH
            self.refresh()

    @staticmethod
    def _counts(control: int) -> bool:
        """Whether events add to a counter: there is never more than one in a cycle."""
        threshold = control >> CMASK_SHIFT & 0xFF
        compared = not threshold or (threshold > 1) == bool(control & INVERT)
        return bool(control & ENABLE and control & (USER | SYSTEM) and compared
                    and control & EVENT in EVENTS)

    def _explain(self, control: int) -> None:
        """Tell what of an enabled counter is not as on a processor."""
        if not control & ENABLE:
            return
        if control & EVENT not in EVENTS:
            self._once(f"performance event {control & EVENT:#x} counts nothing")
        elif control & (USER | SYSTEM) not in (0, USER | SYSTEM):
            self._once("a performance counter of one privilege level counts at all of them")

    def _once(self, text: str) -> None:
        if text not in self._reported:
            self._reported.add(text)
            self._vcpu.machine.report(text)
