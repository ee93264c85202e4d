"""CPUID as the hypervisor answers it, and as its CPUID page has it."""

from __future__ import annotations

from emu.isa.cpuid import INVLPGB_MAX_PAGES
from emu.planes.snp.hypervisor.base import Base
from emu.planes.snp.options import C_BIT, PHYS_BITS_LOST
from emu.planes.snp.rmp import VMPLS

Registers = tuple[int, int, int, int]
MEMORY_ENCRYPTION, WIDTHS, LAST_EXTENDED = 0x8000001F, 0x80000008, 0x80000000
# 8000001F EAX: SEV, SEV-ES, SNP, VMPL, RMPQUERY, VMPL-SSS, Secure TSC, coherent caches, 64-bit host, restricted and
# alternate injection, DebugSwap, no IBS of the host, VMGEXIT parameter, VIRTUAL_TOM MSR, SMT protection, IBPB on entry
# (APM Vol. 3 appendix E.4.17)
FEATURES = sum(1 << bit for bit in (1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 17, 18, 25, 31))
# MONITOR and MWAIT exit, so that nothing waits: like KVM, do not offer them (leaf 1 ECX)
FEATURES_LEAF, MONITOR_LEAF, MONITOR = 1, 5, 1 << 3
INVLPGB = 1 << 3                        # 80000008 EBX


class CpuidLeaves(Base):
    """The leaves that differ from those of a machine without SNP."""

    def cpuid_leaf(self, leaf: int, subleaf: int) -> Registers | None:
        """A leaf's registers, or None for what the processor model says."""
        if leaf == MEMORY_ENCRYPTION:
            return FEATURES, C_BIT | PHYS_BITS_LOST << 6 | VMPLS << 12, 0, 0
        if leaf == WIDTHS:
            eax, ebx, ecx, _ = self.processor_leaf(leaf, subleaf)
            return eax, ebx | INVLPGB, ecx, INVLPGB_MAX_PAGES
        if leaf == FEATURES_LEAF:
            eax, ebx, ecx, edx = self.processor_leaf(leaf, subleaf)
            return eax, ebx, ecx & ~MONITOR, edx
        if leaf == MONITOR_LEAF:
            return 0, 0, 0, 0
        if leaf == LAST_EXTENDED:
            eax, *names = self.processor_leaf(leaf, subleaf)
            return max(eax, MEMORY_ENCRYPTION), names[0], names[1], names[2]
        return None

    def processor_leaf(self, leaf: int, subleaf: int) -> Registers:
        """What the processor model says."""
        return self.machine.vcpus[0].cpuid.of_model(leaf, subleaf)
