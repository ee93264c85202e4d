"""Runs the SVSM again when it has asked for its guest, whose last exit is still a call: it may be served twice."""

from emu.planes.snp import ghcb_msr
from emu.planes.snp.hypervisor import Hypervisor
from emu.vcpu import VCpu
from jit import layout


class ReplayCall(Hypervisor):
    requests = 0

    def msr_protocol(self, vcpu: VCpu, value: int) -> None:
        if not vcpu.group.active and ghcb_msr.info(value) == ghcb_msr.RUN_VMPL_REQUEST:
            self.requests += 1
            if self.requests % 2 == 0:
                vcpu.plane.set(layout.GHCB, ghcb_msr.with_error(ghcb_msr.RUN_VMPL_RESPONSE, 0))
                return
        super().msr_protocol(vcpu, value)
