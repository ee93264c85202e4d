"""Injects an interrupt that nobody asked for, with the vector that programs use for system calls."""

from emu.planes.snp import vmsa
from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.hypervisor.call import Call

SYSTEM_CALL = 0x80


class ForgeInterrupt(Hypervisor):
    event = SYSTEM_CALL | vmsa.EVENT_EXTERNAL | vmsa.EVENT_VALID

    def msr(self, call: Call) -> None:
        super().msr(call)
        if call.number == 2:
            call.after = lambda: self.inject(call.vcpu, self.event)
