"""Runs the SVSM when the guest did not call it: after each access to a port."""

from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.hypervisor.call import Call


class RunSvsmUncalled(Hypervisor):
    def ioio(self, call: Call) -> None:
        super().ioio(call)
        if call.number:
            call.after = lambda: self.run_plane(call.vcpu, 0, call.number)
