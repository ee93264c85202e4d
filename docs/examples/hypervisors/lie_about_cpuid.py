"""Answers CPUID with other values, and moves the C-bit in them."""

from emu.planes.snp.hypervisor import Hypervisor
from emu.vcpu import VCpu


class LieAboutCpuid(Hypervisor):
    def read_cpuid(self, vcpu: VCpu, leaf: int, subleaf: int) -> tuple[int, int, int, int]:
        return 0xFFFFFFFF, 0x20, 0xFFFFFFFF, 0xFFFFFFFF
