"""The local APIC's model-specific registers: IA32_APIC_BASE, IA32_TSC_DEADLINE and x2APIC's 0x800-0x8FF.

Rules and faults by Intel SDM vol. 3A, 11.4.4, 11.5.4.1 and 11.12.
"""

from __future__ import annotations

from emu.irq import lapic as regs
from emu.irq.lapic import LocalApic

IA32_APIC_BASE = 0x1B
IA32_TSC_DEADLINE = 0x6E0
X2APIC_FIRST, X2APIC_LAST = 0x800, 0x8FF

_WRITE_ONLY = (regs.EOI, regs.SELF_IPI)
_READ_ONLY = (regs.ID, regs.VERSION, regs.PPR, regs.LDR, regs.TIMER_CURRENT)
_ABSENT = (regs.APR, regs.RRR, regs.DFR, regs.ICR_HIGH)
# Bits that may be written; a 1 elsewhere is a general-protection fault (SDM 11.12.1.3).
_WRITABLE = regs.LVT_WRITABLE | {
    regs.TPR: 0xFF,
    regs.SVR: regs.SVR_WRITABLE,
    regs.EOI: 0,
    regs.ESR: 0,
    regs.ICR_LOW: 0xFFFFFFFF << 32 | regs.ICR_LOW_WRITABLE,
    regs.TIMER_INITIAL: 0xFFFFFFFF,
    regs.TIMER_DIVIDE: 0b1011,
    regs.SELF_IPI: 0xFF,
}


class GeneralProtection(Exception):
    """The access faults with #GP(0)."""


class LapicMsrs:
    """The MSR view of one local APIC. `address_bits` is MAXPHYADDR; `x2apic`: the processor has that mode."""

    def __init__(self, lapic: LocalApic, address_bits: int = 48, x2apic: bool = True) -> None:
        self._lapic = lapic
        self._modes = regs.BASE_EN | (regs.BASE_EXTD if x2apic else 0)
        self._base_mask = (1 << address_bits) - 0x1000

    @staticmethod
    def owns(index: int) -> bool:
        """True for the MSRs handled here."""
        return index in (IA32_APIC_BASE, IA32_TSC_DEADLINE) or X2APIC_FIRST <= index <= X2APIC_LAST

    def msr_read(self, index: int) -> int:
        """RDMSR. GeneralProtection as the SDM says; KeyError for an MSR not owned here."""
        if index == IA32_APIC_BASE:
            return self._lapic.base
        if index == IA32_TSC_DEADLINE:
            return self._lapic.timer.deadline
        offset = self._x2apic_offset(index)
        if offset in _WRITE_ONLY or offset in _ABSENT:
            raise GeneralProtection
        if offset == regs.ICR_LOW:
            return self._lapic.icr
        value = self._lapic.read_register(offset)
        if value is None:
            raise GeneralProtection
        return value

    def msr_write(self, index: int, value: int) -> None:
        """WRMSR. GeneralProtection as the SDM says; KeyError for an MSR not owned here."""
        if index == IA32_APIC_BASE:
            self._write_base(value)
            return
        if index == IA32_TSC_DEADLINE:
            self._lapic.timer.deadline = value
            return
        offset = self._x2apic_offset(index)
        if offset not in _WRITABLE or value & ~(_WRITABLE[offset] | self._read_only_bits(offset)):
            raise GeneralProtection
        if offset == regs.SELF_IPI:
            self._lapic.icr = 1 << 18 | value  # a fixed, edge-triggered interrupt to self (SDM 11.12.11)
            self._lapic.send_icr()
        elif offset == regs.ICR_LOW:
            self._lapic.icr = value
            self._lapic.send_icr()
        else:
            self._lapic.write_register(offset, value)

    @staticmethod
    def _read_only_bits(offset: int) -> int:
        """Delivery status and remote IRR: written values are ignored, not reserved."""
        if offset in (regs.LVT_LINT0, regs.LVT_LINT1):
            return 1 << 12 | regs.LVT_REMOTE_IRR
        return 1 << 12 if offset in regs.LVT_WRITABLE else 0

    def _x2apic_offset(self, index: int) -> int:
        if not X2APIC_FIRST <= index <= X2APIC_LAST:
            raise KeyError(f"MSR {index:#x} is not the local APIC's")
        if not self._lapic.x2apic:
            raise GeneralProtection
        return (index - X2APIC_FIRST) * 16

    def _write_base(self, value: int) -> None:
        lapic = self._lapic
        if value & ~(self._base_mask | regs.BASE_BSP | self._modes):
            raise GeneralProtection
        was, becomes = lapic.base, value
        enabled, extended = bool(becomes & regs.BASE_EN), bool(becomes & regs.BASE_EXTD)
        # SDM figure 11-27: no EXTD without EN, no way back from x2APIC but through disabled, none from disabled to it.
        if extended and (not enabled or not was & regs.BASE_EN):
            raise GeneralProtection
        if lapic.x2apic and enabled and not extended:
            raise GeneralProtection
        lapic.base = becomes & ~regs.BASE_BSP | was & regs.BASE_BSP
        if bool(was & regs.BASE_EN) != enabled:
            lapic.xapic_id = lapic.apic_id & 0xFF
            lapic.init()
        elif extended and not was & regs.BASE_EXTD:
            lapic.icr &= 0xFFFFFFFF
