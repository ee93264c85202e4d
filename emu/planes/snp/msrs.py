"""MSRs of an SNP guest that its processor serves without the hypervisor (APM Vol. 2 15.34.10, 15.36.8, 15.36.18). The
GHCB MSR is compiled code's (jit/msr.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.lapic_msr import GeneralProtection
from emu.isa.debugctl import IA32_DEBUGCTL, LAST
from emu.planes.snp import vmsa
from jit import layout

if TYPE_CHECKING:
    from emu.planes.snp.guest import SnpGuest
    from emu.vcpu import VCpu

SEV_STATUS, GUEST_TSC_FREQ, VIRTUAL_TOM = 0xC001_0131, 0xC001_0134, 0xC001_0135
TOM_BITS = (1 << 52) - (1 << 21)
MHZ = 1_000_000


class SnpMsrs:
    """Those of one vCPU."""

    DIRECT = frozenset((SEV_STATUS, GUEST_TSC_FREQ, VIRTUAL_TOM))
    SWAPPED = DIRECT | {IA32_DEBUGCTL, *LAST}       # with those that VMRUN loads, which a hypervisor has no use for

    def __init__(self, guest: SnpGuest, vcpu: VCpu) -> None:
        self._guest, self._vcpu = guest, vcpu

    def owns(self, index: int) -> bool:
        """True for the MSRs above."""
        return index in self.DIRECT

    @property
    def _features(self) -> int:
        return self._guest.running(self._guest.vps[self._vcpu.index]).features

    def _need(self, feature: int) -> None:
        if not self._features & feature:
            raise GeneralProtection

    def msr_read(self, index: int) -> int:
        """RDMSR. GeneralProtection: the feature that the MSR belongs to is not active."""
        if index == SEV_STATUS:
            return vmsa.sev_status(self._features)
        if index == GUEST_TSC_FREQ:
            self._need(vmsa.SECURE_TSC)
            machine = self._guest.machine
            return (machine.clock.model.tsc_hz * self._vcpu.plane.get(layout.TSC_RATIO) >> 32) // MHZ
        self._need(vmsa.VTOM)
        return self._vcpu.plane.get(layout.VIRTUAL_TOM)

    def msr_write(self, index: int, value: int) -> None:
        """WRMSR, likewise; a new VIRTUAL_TOM flushes."""
        if index != VIRTUAL_TOM:
            raise GeneralProtection
        self._need(vmsa.VTOM)
        self._vcpu.plane.set(layout.VIRTUAL_TOM, value & TOM_BITS)
        self._guest.flush()
