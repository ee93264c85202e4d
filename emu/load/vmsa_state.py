"""A VMSA and the state that a loader starts in, each from the other (APM Vol. 2, table B-4)."""

from __future__ import annotations

from emu.load.model import BootState, SegmentRegister
from emu.planes.snp import vmsa
from emu.planes.snp.vmsa import EFER_SVME, Vmsa

_GENERAL = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
_CONTROL = ("rip", "rflags", "cr0", "cr3", "cr4")
_SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "ldtr", "tr")


def boot_state(page: bytes) -> BootState:
    """General and control registers, segments and tables of a VMSA page; EFER without SVME, which is the host's."""
    state = Vmsa(bytearray(page))
    registers = {name: state[name] for name in (*_GENERAL, *_CONTROL)} | {"efer": state["efer"] & ~EFER_SVME}
    segments = {}
    for name in _SEGMENTS:
        attributes = state[f"{name}_attributes"]
        segments[name] = SegmentRegister(state[f"{name}_selector"], state[f"{name}_base"], state[f"{name}_limit"],
                                         attributes & 0xFF | attributes << 4 & 0xF000)
    return BootState(registers, segments, (state["gdtr_base"], state["gdtr_limit"]),
                     (state["idtr_base"], state["idtr_limit"]))


def vmsa_page(boot: BootState, features: int, vmpl: int = 0) -> bytes:
    """The VMSA of a vCPU that starts in a loader's state; what that does not say is as after reset. `features`:
    SEV_FEATURES."""
    state = Vmsa()
    for name in (*_GENERAL, *_CONTROL, "efer"):
        state[name] = boot.registers.get(name, 2 if name == "rflags" else 0)
    for name in _SEGMENTS:
        register = boot.segments[name]
        state.update({f"{name}_selector": register.selector, f"{name}_base": register.base,
                      f"{name}_limit": register.limit,
                      f"{name}_attributes": register.attributes & 0xFF | register.attributes >> 4 & 0xF00})
    for name, (base, limit) in (("gdtr", boot.gdtr), ("idtr", boot.idtr)):
        state.update({f"{name}_base": base, f"{name}_limit": limit})
    state.update(efer=state["efer"] | EFER_SVME, dr6=vmsa.RESET_DR6, dr7=vmsa.RESET_DR7, g_pat=vmsa.RESET_PAT, xcr0=1,
                 mxcsr=vmsa.RESET_MXCSR, x87_fcw=vmsa.INIT_FCW, vmpl=vmpl, sev_features=features | vmsa.SNP_ACTIVE)
    return bytes(state)
