"""Says that the SVSM has run, and lets the guest go on: every second call is not served."""

from emu.planes.snp import ghcb_msr
from emu.planes.snp.hypervisor import Hypervisor
from emu.vcpu import VCpu
from jit import layout


class SkipSvsm(Hypervisor):
    requests = 0

    def msr_protocol(self, vcpu: VCpu, value: int) -> None:
        if vcpu.group.active and ghcb_msr.info(value) == ghcb_msr.RUN_VMPL_REQUEST:
            self.requests += 1
            if self.requests % 2 == 0:
                vcpu.plane.set(layout.GHCB, ghcb_msr.with_error(ghcb_msr.RUN_VMPL_RESPONSE, 0))
                return
        super().msr_protocol(vcpu, value)
