"""What MSRs say about MONITOR, MWAIT and UMWAIT (SDM Vol. 4 table 2-2; APM Vol. 2 appendix A)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jit import layout

if TYPE_CHECKING:
    from emu.vcpu import VCpu

IA32_UMWAIT_CONTROL, IA32_MISC_ENABLE, HWCR = 0xE1, 0x1A0, 0xC0010015
ENABLE_MONITOR = 1 << 18                                # of IA32_MISC_ENABLE
MON_MWAIT_DIS, MON_MWAIT_USER_EN = 1 << 9, 1 << 10      # of HWCR
LONGEST = 0xFFFFFFFC                                    # of IA32_UMWAIT_CONTROL; bit 0 forbids state C0.2


class WaitRules:
    """Those of one vCPU."""

    def __init__(self, vcpu: VCpu) -> None:
        self._vcpu, self._values = vcpu, vcpu.msrs.values
        if vcpu.machine.cpu.offers("monitor"):
            self._values[IA32_MISC_ENABLE] |= ENABLE_MONITOR
        vcpu.msrs.written = self._written
        self.apply()

    @property
    def longest(self) -> int:
        """The longest that UMWAIT and TPAUSE may wait, in TSC ticks; 0: no limit."""
        return self._values.get(IA32_UMWAIT_CONTROL, 0) & LONGEST

    @property
    def monitor(self) -> bool:
        """Whether MONITOR and MWAIT are there; CPUID follows."""
        return bool(self._values[IA32_MISC_ENABLE] & ENABLE_MONITOR) and not self._values[HWCR] & MON_MWAIT_DIS

    def apply(self) -> None:
        """Put the rules in force in all planes."""
        rules = 0 if self.monitor else layout.WAIT_DISABLED
        if self._values[HWCR] & MON_MWAIT_USER_EN:
            rules |= layout.WAIT_BY_USERS
        if self._vcpu.machine.vcpu_count > 1:
            rules |= layout.PAUSE_LEAVES
        for plane in self._vcpu.planes:
            plane.set(layout.WAIT_RULES, rules)

    def _written(self, index: int) -> None:
        if index in (IA32_MISC_ENABLE, HWCR):
            self.apply()
