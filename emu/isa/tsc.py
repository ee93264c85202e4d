"""IA32_TIME_STAMP_COUNTER as an MSR; RDTSC itself is compiled (jit/run.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jit import layout

if TYPE_CHECKING:
    from emu.vcpu import VCpu

IA32_TIME_STAMP_COUNTER = 0x10
MASK64 = (1 << 64) - 1


class TimeStampCounter:
    """The TSC of one vCPU: the machine's clock plus an offset that WRMSR sets (SDM Vol. 3B 17.17)."""

    def __init__(self, vcpu: VCpu) -> None:
        self.vcpu = vcpu

    def owns(self, index: int) -> bool:
        """Whether the index is the TSC's."""
        return index == IA32_TIME_STAMP_COUNTER

    def msr_read(self, index: int) -> int:
        """The counter now."""
        return self.vcpu.machine.clock.tsc + self.vcpu.plane.get(layout.TSC_OFFSET) & MASK64

    def msr_write(self, index: int, value: int) -> None:
        """Make the counter read `value` now."""
        offset = value - self.vcpu.machine.clock.tsc
        self.vcpu.plane.set(layout.TSC_OFFSET, offset)
        self.vcpu.lapic.timer.tsc_offset = offset
