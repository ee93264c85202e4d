"""IA32_DEBUGCTL and the MSRs of the last branch and exception; what they do is compiled (jit/branch_trace.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.lapic_msr import GeneralProtection
from jit import layout

if TYPE_CHECKING:
    from emu.vcpu import VCpu

IA32_DEBUGCTL = 0x1D9
# LastBranchFromIP, LastBranchToIP, LastIntFromIP, LastIntToIP (APM Vol. 2 appendix A)
LAST = {0x1DB: layout.LAST_BRANCH, 0x1DC: layout.LAST_BRANCH + 8, 0x1DD: layout.LAST_EXCEPTION,
        0x1DE: layout.LAST_EXCEPTION + 8}
LBR, BTF, WRITABLE = 1, 2, 0xDFC3               # the others are kept without effect


class DebugControl:
    """These MSRs of one vCPU, for the plane that runs."""

    def __init__(self, vcpu: VCpu) -> None:
        self._vcpu = vcpu
        self._reported = False

    def owns(self, index: int) -> bool:
        """Whether the index is one of them."""
        return index == IA32_DEBUGCTL or index in LAST

    def msr_read(self, index: int) -> int:
        """RDMSR."""
        return self._vcpu.plane.get(LAST.get(index, layout.DEBUGCTL))

    def msr_write(self, index: int, value: int) -> None:
        """WRMSR: the records are read-only."""
        if index in LAST or value & ~WRITABLE:
            raise GeneralProtection
        inert = value & ~(LBR | BTF)
        if inert and not self._reported:
            self._reported = True
            self._vcpu.machine.report(f"IA32_DEBUGCTL = {value:#x}: bits {inert:#x} are kept but have no effect")
        self._vcpu.plane.set(layout.DEBUGCTL, value)
