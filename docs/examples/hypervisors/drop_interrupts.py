"""Keeps every interrupt from the guest."""

from emu.planes.snp.hypervisor import Hypervisor
from emu.vcpu import VCpu
from jit import layout


class DropInterrupts(Hypervisor):
    def interrupt_changed(self, vcpu: VCpu, number: int) -> None:
        vcpu.planes[number].set(layout.INTERRUPT, 0)
