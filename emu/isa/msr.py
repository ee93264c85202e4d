"""Model-specific registers that compiled code leaves to Python: who owns each index, and plain state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from emu.irq.lapic_msr import GeneralProtection

PAT_TYPES = frozenset((0, 1, 4, 5, 6, 7))
MTRR_VARIABLE, MTRR_COUNT = 0x200, 8
MTRR_FIXED = (0x250, 0x258, 0x259, *range(0x268, 0x270))
PLAIN: dict[int, tuple[str, int]] = {
    0x17: ("IA32_PLATFORM_ID", 0), 0x3A: ("IA32_FEATURE_CONTROL", 1), 0x8B: ("IA32_BIOS_SIGN_ID", 0x0A0011D1 << 32),
    0xFE: ("IA32_MTRRCAP", MTRR_COUNT | 1 << 8 | 1 << 10), 0x2FF: ("IA32_MTRR_DEF_TYPE", 0),
    0x1A0: ("IA32_MISC_ENABLE", 1), 0x1D9: ("IA32_DEBUGCTL", 0), 0x3B: ("IA32_TSC_ADJUST", 0),
    0xDA0: ("IA32_XSS", 0),
    0xC0010010: ("SYSCFG", 0), 0xC0010015: ("HWCR", 1 << 24), 0xC001001F: ("NB_CFG", 0), 0xC0011029: ("DE_CFG", 2),
}
IN_REGISTER_FILE = ("IA32_EFER", "IA32_STAR", "IA32_LSTAR", "IA32_CSTAR", "IA32_FMASK", "IA32_FS_BASE", "IA32_GS_BASE",
                    "IA32_KERNEL_GS_BASE", "IA32_TSC_AUX", "IA32_SYSENTER_CS", "IA32_SYSENTER_ESP", "IA32_SYSENTER_EIP",
                    "IA32_PAT", "IA32_TIME_STAMP_COUNTER")         # served by compiled code
IMPLEMENTED = (*IN_REGISTER_FILE, *(name for name, _ in PLAIN.values()), "IA32_MTRR_PHYSBASE0-7",
               "IA32_MTRR_PHYSMASK0-7", "IA32_MTRR_FIX", "IA32_APIC_BASE", "IA32_X2APIC", "IA32_TSC_DEADLINE")
READ_ONLY = frozenset((0x17, 0xFE))
IA32_XSS = 0xDA0                        # no supervisor state component exists, so only 0 can be written


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
        self._report = report
        self._reported: set[int] = set()
        self.values = {index: value for index, (_, value) in PLAIN.items()}
        if not offers("xsaves"):
            del self.values[IA32_XSS]
        for n in range(MTRR_COUNT * 2):
            self.values[MTRR_VARIABLE + n] = 0
        for index in MTRR_FIXED:
            self.values[index] = 0

    def read(self, index: int) -> int:
        """RDMSR of an index that compiled code does not serve."""
        for owner in self.owners:
            if owner.owns(index):
                return owner.msr_read(index)
        if index in self.values:
            return self.values[index]
        raise self._unknown("RDMSR", index)

    def write(self, index: int, value: int) -> None:
        """WRMSR, likewise."""
        for owner in self.owners:
            if owner.owns(index):
                owner.msr_write(index, value)
                return
        if index not in self.values:
            raise self._unknown("WRMSR", index)
        if index in READ_ONLY or (index == IA32_XSS and value):
            raise GeneralProtection
        self.values[index] = value

    def _unknown(self, verb: str, index: int) -> GeneralProtection:
        if index not in self._reported:
            self._reported.add(index)
            self._report(f"{verb} of unknown MSR {index:#x}: #GP(0)")
        return GeneralProtection()
