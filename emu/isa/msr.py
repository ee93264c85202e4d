"""Model-specific registers that compiled code leaves to Python: who owns each index, and plain state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from emu.irq.lapic_msr import GeneralProtection
from emu.isa.msr_table import PERF_COUNTERS, PERF_CTR0, PLAIN, allowed

IN_REGISTER_FILE = ("IA32_EFER", "IA32_STAR", "IA32_LSTAR", "IA32_CSTAR", "IA32_FMASK", "IA32_FS_BASE", "IA32_GS_BASE",
                    "IA32_KERNEL_GS_BASE", "IA32_TSC_AUX", "IA32_SYSENTER_CS", "IA32_SYSENTER_ESP", "IA32_SYSENTER_EIP",
                    "IA32_PAT", "IA32_PKRS", "IA32_XSS", "IA32_U_CET", "IA32_S_CET",
                    "IA32_PL0_SSP", "IA32_PL1_SSP", "IA32_PL2_SSP", "IA32_PL3_SSP", "IA32_INTERRUPT_SSP_TABLE_ADDR",
                    "IA32_TIME_STAMP_COUNTER")         # served by compiled code
IMPLEMENTED = (*IN_REGISTER_FILE, *(plain.name for plain in PLAIN.values()), "IA32_TSC_ADJUST", "IA32_DEBUGCTL",
               "IA32_APIC_BASE", "IA32_X2APIC", "IA32_TSC_DEADLINE")


class MsrOwner(Protocol):
    """Something that owns MSRs: the local APIC, a hypervisor interface."""

    def owns(self, index: int) -> bool: ...

    def msr_read(self, index: int) -> int: ...

    def msr_write(self, index: int, value: int) -> None: ...


class Msrs:
    """The MSRs of one vCPU outside the register file. Unknown ones raise GeneralProtection and are reported once."""

    def __init__(self, report: Callable[[str], None], offers: Callable[[str], bool] = lambda name: True) -> None:
        """`offers` says whether the processor has an extension (emu/isa/extensions.py)."""
        self.owners: list[MsrOwner] = []
        self.written: Callable[[int], None] = lambda index: None    # told after a write to a register that is state
        self._report = report
        self._reported: set[int] = set()
        self._offers = offers
        self.values = {index: plain.reset for index, plain in PLAIN.items()
                       if not plain.needs or self._offers_one(plain.needs)}

    def has(self, index: int) -> bool:
        """Whether anybody implements an MSR."""
        return index in self.values or any(owner.owns(index) for owner in self.owners)

    def read(self, index: int) -> int:
        """RDMSR of an index that compiled code does not serve."""
        for owner in self.owners:
            if owner.owns(index):
                return owner.msr_read(index)
        if index not in self.values:
            raise self._unknown("RDMSR", index)
        if PLAIN[index].command:
            raise GeneralProtection
        return self.values[index]

    def read_counter(self, number: int) -> int:
        """RDPMC of a performance counter (APM Vol. 3 RDPMC)."""
        if number >= PERF_COUNTERS:
            raise GeneralProtection
        return self.read(PERF_CTR0 + number)

    def write(self, index: int, value: int) -> None:
        """WRMSR, likewise."""
        for owner in self.owners:
            if owner.owns(index):
                owner.msr_write(index, value)
                return
        if index not in self.values:
            raise self._unknown("WRMSR", index)
        plain = PLAIN[index]
        writable = plain.writable | sum(bit for names, bit in plain.brought if self._offers_one(names))
        if plain.fixed or value & ~(writable | plain.kept) or not allowed(index, value):
            raise GeneralProtection
        if plain.command:
            self.values[index] += value         # how often it was given
            return
        if value & plain.inert and index not in self._reported:
            self._reported.add(index)
            self._report(f"{plain.name} = {value:#x}: bits {value & plain.inert:#x} are kept but have no effect")
        self.values[index] = value & ~plain.kept | self.values[index] & plain.kept
        self.written(index)

    def _offers_one(self, names: str) -> bool:
        return any(map(self._offers, names.split()))

    def _unknown(self, verb: str, index: int) -> GeneralProtection:
        if index not in self._reported:
            self._reported.add(index)
            self._report(f"{verb} of unknown MSR {index:#x}: #GP(0)")
        return GeneralProtection()
