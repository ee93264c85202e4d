"""Answers a request to read an MSR with an exception that no such request can have: #DE."""

from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.hypervisor.call import Call, Inject


class ForgeException(Hypervisor):
    def msr(self, call: Call) -> None:
        raise Inject(0)
