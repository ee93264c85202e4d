"""Never runs the guest again once it has called the SVSM twenty times."""

from emu import stop
from emu.planes.snp import ghcb_msr
from emu.planes.snp.hypervisor import Hypervisor
from emu.vcpu import VCpu


class Starve(Hypervisor):
    requests = 0

    def msr_protocol(self, vcpu: VCpu, value: int) -> None:
        self.requests += ghcb_msr.info(value) == ghcb_msr.RUN_VMPL_REQUEST
        if self.requests > 20:
            self.machine.stop(stop.HALTED, "the hypervisor does not run the guest any more", vcpu)
        else:
            super().msr_protocol(vcpu, value)
