"""Runs the guest's VMSA while the SVSM works on a call of it."""

from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.hypervisor.call import Call
from emu.vcpu import VCpu


class RunGuestEarly(Hypervisor):
    failures = 0

    def guest_request(self, call: Call) -> None:
        super().guest_request(call)
        call.after = lambda: self.run_plane(call.vcpu, 2, 0)

    def vmrun_failed(self, vcpu: VCpu, number: int, code: int, reason: str) -> None:
        self.failures += 1              # EFER.SVME is 0: all that is left is to run the SVSM
        self.run_plane(vcpu, 0, number)
        self.guest.resume(vcpu)
