"""Refuses an MSR that is there: #GP, as it might be."""

from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.hypervisor.call import Call, Inject


class RefuseMsr(Hypervisor):
    def msr(self, call: Call) -> None:
        raise Inject(13, 0)
