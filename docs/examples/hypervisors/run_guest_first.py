"""Makes a page of memory the VMSA of VMPL2 before the SVSM has made one."""

from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.hypervisor.call import Call
from emu.vcpu import VCpu


class RunGuestFirst(Hypervisor):
    failures = 0
    tried = False

    def apic_ids(self, call: Call) -> None:
        super().apic_ids(call)
        if not self.tried:
            self.tried = True
            self.install_vmsa(call.vcpu, 2, 0x1001000, self.launch_features, start=True)
            call.after = lambda: self.run_plane(call.vcpu, 2, 0)

    def vmrun_failed(self, vcpu: VCpu, number: int, code: int, reason: str) -> None:
        self.failures += 1              # the page is no VMSA
        self.destroy_vmsa(vcpu, 2)
        self.run_plane(vcpu, 0)
        self.guest.resume(vcpu)
