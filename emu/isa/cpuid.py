"""CPUID: what the guest is told, which is what is implemented (SDM Vol. 2A CPUID; APM Vol. 3 appendix E)."""

from __future__ import annotations

from collections.abc import Callable

VENDOR = b"AuthenticAMD"        # guests choose VMMCALL or VMCALL and erratum work-arounds by it
BRAND = b"Strata virtual CPU"
FAMILY_MODEL_STEPPING = 0x00A00F11

LEAF1_EDX = {"fpu": 0, "de": 2, "pse": 3, "tsc": 4, "msr": 5, "pae": 6, "cx8": 8, "apic": 9, "sep": 11, "mtrr": 12,
             "pge": 13, "cmov": 15, "pat": 16, "pse36": 17, "clfsh": 19, "mmx": 23, "fxsr": 24, "sse": 25, "sse2": 26}
LEAF1_ECX = {"sse3": 0, "pclmulqdq": 1, "ssse3": 9, "cx16": 13, "sse4_1": 19, "sse4_2": 20, "x2apic": 21, "movbe": 22,
             "popcnt": 23, "tsc_deadline": 24, "hypervisor": 31}
LEAF7_EBX = {"fsgsbase": 0, "bmi1": 3, "fdp_excptn_only": 6, "smep": 7, "bmi2": 8, "erms": 9, "zero_fcs_fds": 13,
             "adx": 19, "smap": 20, "clflushopt": 23, "clwb": 24}
LEAF7_ECX = {"umip": 2, "rdpid": 22}
EXT1_EDX = {"syscall": 11, "nx": 20, "pdpe1gb": 26, "rdtscp": 27, "lm": 29}
EXT1_ECX = {"lahf_lm": 0, "cr8legacy": 4, "abm": 5}

Registers = tuple[int, int, int, int]
ZERO: Registers = (0, 0, 0, 0)


def _bits(table: dict[str, int]) -> int:
    return sum(1 << bit for bit in table.values())


def _text(data: bytes, size: int) -> list[int]:
    padded = data.ljust(size, b"\0")
    return [int.from_bytes(padded[i:i + 4], "little") for i in range(0, size, 4)]


class Cpuid:
    """The leaves of one vCPU. `overlay(leaf, subleaf)` may answer first (hypervisor leaves)."""

    def __init__(self, apic_id: int, vcpus: int) -> None:
        self.apic_id, self.vcpus = apic_id, vcpus
        self.overlay: Callable[[int, int], Registers | None] = lambda leaf, subleaf: None
        self.os_view: Callable[[], int] = lambda: 0         # CR4, for OSXSAVE and the like
        self.apic_enabled: Callable[[], bool] = lambda: True

    def read(self, leaf: int, subleaf: int) -> Registers:
        """(EAX, EBX, ECX, EDX). Leaves beyond the largest read as zero."""
        answer = self.overlay(leaf, subleaf)
        if answer is not None:
            return answer
        vendor = _text(VENDOR, 12)
        if leaf == 0:
            return 0xD, vendor[0], vendor[2], vendor[1]
        if leaf == 1:
            edx = _bits(LEAF1_EDX)
            if not self.apic_enabled():
                edx &= ~(1 << LEAF1_EDX["apic"])
            return FAMILY_MODEL_STEPPING, self.apic_id << 24 | self.vcpus << 16 | 8 << 8, _bits(LEAF1_ECX), edx
        if leaf == 7 and subleaf == 0:
            return 0, _bits(LEAF7_EBX), _bits(LEAF7_ECX), 0
        if leaf == 0xB:
            return self._topology(subleaf)
        if leaf == 0x80000000:
            return 0x80000008, vendor[0], vendor[2], vendor[1]
        if leaf == 0x80000001:
            return FAMILY_MODEL_STEPPING, 0, _bits(EXT1_ECX), _bits(EXT1_EDX)
        if 0x80000002 <= leaf <= 0x80000004:
            part = (leaf - 0x80000002) * 4
            a, b, c, d = _text(BRAND, 48)[part:part + 4]
            return a, b, c, d
        if leaf == 0x80000008:
            return 46 | 48 << 8, 0, self.vcpus - 1, 0
        return ZERO

    def _topology(self, subleaf: int) -> Registers:
        """Extended topology: one thread a core, all cores in one package (SDM Vol. 2A, leaf 0BH)."""
        if subleaf == 0:
            return 0, 1, 1 << 8, self.apic_id
        if subleaf == 1:
            return (self.vcpus - 1).bit_length(), self.vcpus, 2 << 8 | 1, self.apic_id
        return 0, 0, subleaf, self.apic_id
