"""IA32_TIME_STAMP_COUNTER and IA32_TSC_ADJUST as MSRs; RDTSC itself is compiled (jit/run.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jit import layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.vcpu import VCpu

IA32_TIME_STAMP_COUNTER, IA32_TSC_ADJUST = 0x10, 0x3B
MASK64 = (1 << 64) - 1


def counter(plane: Plane, machine_tsc: int) -> int:
    """What RDTSC gives on a plane when the machine's counter is at `machine_tsc`."""
    return (machine_tsc * plane.get(layout.TSC_RATIO) >> 32) + plane.get(layout.TSC_OFFSET) & MASK64


class TimeStampCounter:
    """The TSC of one vCPU: the machine's clock plus IA32_TSC_ADJUST, to which WRMSR to either register comes down (SDM
    Vol. 3B 17.17.3): a write to the counter adds the difference that it made to IA32_TSC_ADJUST."""

    def __init__(self, vcpu: VCpu) -> None:
        self.vcpu = vcpu

    def owns(self, index: int) -> bool:
        """Whether the index is the TSC's."""
        return index == IA32_TIME_STAMP_COUNTER or (
            index == IA32_TSC_ADJUST and self.vcpu.machine.cpu.offers("tsc_adjust"))

    def msr_read(self, index: int) -> int:
        """The counter now, or what was added to it."""
        offset = self.vcpu.plane.get(layout.TSC_OFFSET)
        return offset if index == IA32_TSC_ADJUST else counter(self.vcpu.plane, self.vcpu.machine.clock.tsc)

    def msr_write(self, index: int, value: int) -> None:
        """Make the counter read `value` now, or what the clock says plus `value`."""
        offset = value if index == IA32_TSC_ADJUST else value - self.vcpu.machine.clock.tsc & MASK64
        self.vcpu.plane.set(layout.TSC_OFFSET, offset)
        self.vcpu.lapic.timer.set_tsc_offset(offset)
