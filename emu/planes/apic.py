"""The local APICs of a vCPU's planes: MSR accesses go to the one of the plane that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.lapic_msr import IA32_APIC_BASE, LapicMsrs

if TYPE_CHECKING:
    from emu.vcpu import VCpu


class ActiveApicMsrs:
    """IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC registers of a vCPU."""

    def __init__(self, vcpu: VCpu) -> None:
        self._vcpu = vcpu
        self._reported: set[int] = set()

    def owns(self, index: int) -> bool:
        """True for the local APIC's MSRs."""
        return LapicMsrs.owns(index)

    def msr_read(self, index: int) -> int:
        """RDMSR in the active plane. GeneralProtection as the SDM says."""
        return self._vcpu.lapic_msrs[self._vcpu.group.active].msr_read(index)

    def msr_write(self, index: int, value: int) -> None:
        """WRMSR, likewise."""
        self._vcpu.lapic_msrs[self._vcpu.group.active].msr_write(index, value)
        if index == IA32_APIC_BASE:
            self._check_base(value & ~0xFFF)

    def _check_base(self, base: int) -> None:
        machine = self._vcpu.machine
        if machine.memory.backed(base, 1) and base not in self._reported:
            self._reported.add(base)
            machine.report(f"local APIC moved to {base:#x}, where RAM is: its registers cannot be reached there")
