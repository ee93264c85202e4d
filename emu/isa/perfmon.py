"""AMD's four performance counters, which RDPMC reads (APM Vol. 2 13.2.1).

They count retired instructions, and cycles as one an instruction, which is what the clock makes of them: so a count is
a function of the run alone. Other events count nothing, which is reported once. A counter that overflows interrupts
through the local APIC right after the instruction that made it do so; unlike Intel's, its LVT entry stays unmasked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.lapic import LVT_PERF
from emu.irq.lapic_msr import GeneralProtection
from emu.isa.msr_table import PERF_COUNTERS, PERF_CTL0, PERF_CTL_WRITABLE, PERF_CTR0

if TYPE_CHECKING:
    from emu.vcpu import VCpu

CYCLES_NOT_IN_HALT, RETIRED_INSTRUCTIONS = 0x76, 0xC0           # events (Family 19h PPR, PMCx076 and PMCx0C0)
EVENT, USER, SYSTEM, INTERRUPT, ENABLE = 0xF_0000_00FF, 1 << 16, 1 << 17, 1 << 20, 1 << 22
INVERT, CMASK_SHIFT = 1 << 23, 24               # cycles with at least, or fewer than, so many events
WIDTH = (1 << 48) - 1


class PerformanceCounters:
    """PERF_CTL and PERF_CTR of one vCPU. What the MSRs' plain values hold of a counter that counts is its value less
    the instructions retired, so that they are all the state there is."""

    def __init__(self, vcpu: VCpu) -> None:
        self._vcpu = vcpu
        self._reported: set[str] = set()
        self.due: int | None = None     # instructions that the vCPU will have retired when a counter next interrupts

    def refresh(self) -> None:
        """Find out when a counter next interrupts, after MSRs or the count of instructions have changed."""
        values, now, self.due = self._vcpu.msrs.values, self._vcpu.retired(), None
        for n in range(PERF_COUNTERS):
            control = values.get(PERF_CTL0 + n, 0)
            if control & INTERRUPT and self._counts(control):
                at = now + WIDTH + 1 - self.msr_read(PERF_CTR0 + n)
                self.due = at if self.due is None else min(self.due, at)

    def overflow(self) -> None:
        """A counter has overflowed; two at once are one interrupt."""
        self._vcpu.lapic.raise_local(LVT_PERF)
        self.refresh()

    def owns(self, index: int) -> bool:
        """Whether the index is one of theirs."""
        return PERF_CTL0 <= index < PERF_CTL0 + PERF_COUNTERS or PERF_CTR0 <= index < PERF_CTR0 + PERF_COUNTERS

    def msr_read(self, index: int) -> int:
        """A control register, or what a counter says now."""
        values = self._vcpu.msrs.values
        if index < PERF_CTR0:
            return values[index]
        counted = self._vcpu.retired() if self._counts(values[index - PERF_CTR0 + PERF_CTL0]) else 0
        return values[index] + counted & WIDTH

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
            counts = self._counts(self._vcpu.msrs.values[index - PERF_CTR0 + PERF_CTL0])
            self._vcpu.msrs.values[index] = value - (self._vcpu.retired() if counts else 0) & WIDTH
            self.refresh()

    @staticmethod
    def _counts(control: int) -> bool:
        """Whether each instruction, which is a cycle, adds one: there is never more than one event in a cycle."""
        threshold = control >> CMASK_SHIFT & 0xFF
        compared = not threshold or (threshold > 1) == bool(control & INVERT)
        return bool(control & ENABLE and control & (USER | SYSTEM) and compared
                    and control & EVENT in (CYCLES_NOT_IN_HALT, RETIRED_INSTRUCTIONS))

    def _explain(self, control: int) -> None:
        """Tell what of an enabled counter is not as on a processor."""
        if not control & ENABLE:
            return
        if control & EVENT not in (CYCLES_NOT_IN_HALT, RETIRED_INSTRUCTIONS):
            self._once(f"performance event {control & EVENT:#x} counts nothing")
        elif control & (USER | SYSTEM) not in (0, USER | SYSTEM):
            self._once("a performance counter of one privilege level counts at all of them")

    def _once(self, text: str) -> None:
        if text not in self._reported:
            self._reported.add(text)
            self._vcpu.machine.report(text)
