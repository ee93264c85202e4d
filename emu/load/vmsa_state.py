"""The state that a VMSA starts in, in a loader's terms (APM Vol. 2, table B-4)."""

from __future__ import annotations

from emu.load.model import BootState, SegmentRegister
from emu.planes.snp.vmsa import EFER_SVME, Vmsa

_GENERAL = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
_CONTROL = ("rip", "rflags", "cr0", "cr3", "cr4")
_SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "ldtr", "tr")


def boot_state(page: bytes) -> BootState:
    """General and control registers, segments and tables of a VMSA page; EFER without SVME, which is the host's."""
    vmsa = Vmsa(bytearray(page))
    registers = {name: vmsa[name] for name in (*_GENERAL, *_CONTROL)} | {"efer": vmsa["efer"] & ~EFER_SVME}
    segments = {}
    for name in _SEGMENTS:
        attributes = vmsa[f"{name}_attributes"]
        segments[name] = SegmentRegister(vmsa[f"{name}_selector"], vmsa[f"{name}_base"], vmsa[f"{name}_limit"],
                                         attributes & 0xFF | attributes << 4 & 0xF000)
    return BootState(registers, segments, (vmsa["gdtr_base"], vmsa["gdtr_limit"]),
                     (vmsa["idtr_base"], vmsa["idtr_limit"]))
