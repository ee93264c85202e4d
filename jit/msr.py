"""The model-specific registers that are fields of the register file (SDM Vol. 4 table 2-2; APM Vol. 2 appendix A).

Everything else goes to Python as RDMSR or WRMSR. ECX names the register; CPL was checked.
"""

from numba import types

from jit import exits
from jit.control_registers import EFER_LME, UPPER
from jit.exits import OK
from jit.fault import general_protection
from jit.layout import (
    CR0,
    CSTAR,
    EFER,
    EFER_VALID,
    FS,
    GS,
    KERNEL_GS_BASE,
    LSTAR,
    PAT,
    SEG_BASE,
    SFMASK,
    STAR,
    SYSENTER_CS,
    SYSENTER_EIP,
    SYSENTER_ESP,
    TSC_AUX,
    gpr,
    seg,
)
from jit.native import State, inline, rd32, rd64, shr, wr64
from jit.paging import CR0_PG, EFER_LMA, EFER_NXE
from jit.slow import is_canonical

(IA32_SYSENTER_CS, IA32_SYSENTER_ESP, IA32_SYSENTER_EIP, IA32_PAT, IA32_EFER, IA32_STAR, IA32_LSTAR, IA32_CSTAR,
 IA32_FMASK, IA32_FS_BASE, IA32_GS_BASE, IA32_KERNEL_GS_BASE, IA32_TSC_AUX) = (
    0x174, 0x175, 0x176, 0x277, 0xC0000080, 0xC0000081, 0xC0000082, 0xC0000083, 0xC0000084, 0xC0000100, 0xC0000101,
    0xC0000102, 0xC0000103)
PAT_TYPES = 0b11110011                  # memory types that a PAT entry may hold: 0, 1, 4 to 7

_flush = types.ExternalFunction("strata_flush_all", types.int64(types.voidptr))


@inline
def slot_of(index: int) -> int:
    """State field of an MSR, or 0."""
    slot = 0
    if index == IA32_SYSENTER_CS:
        slot = SYSENTER_CS
    elif index == IA32_SYSENTER_ESP:
        slot = SYSENTER_ESP
    elif index == IA32_SYSENTER_EIP:
        slot = SYSENTER_EIP
    elif index == IA32_PAT:
        slot = PAT
    elif index == IA32_EFER:
        slot = EFER
    elif index == IA32_STAR:
        slot = STAR
    elif index == IA32_LSTAR:
        slot = LSTAR
    elif index == IA32_CSTAR:
        slot = CSTAR
    elif index == IA32_FMASK:
        slot = SFMASK
    elif index == IA32_FS_BASE:
        slot = seg(FS, SEG_BASE)
    elif index == IA32_GS_BASE:
        slot = seg(GS, SEG_BASE)
    elif index == IA32_KERNEL_GS_BASE:
        slot = KERNEL_GS_BASE
    elif index == IA32_TSC_AUX:
        slot = TSC_AUX
    return slot


def read_msr(st: State) -> int:
    slot = slot_of(rd32(st, gpr(1)))
    if slot == 0:
        return exits.RDMSR
    value = rd64(st, slot)
    wr64(st, gpr(0), value & 0xFFFFFFFF)
    wr64(st, gpr(2), shr(value, 32))
    return OK


@inline
def write_efer(st: State, value: int) -> int:
    """LME may change only without paging; LMA is the processor's (SDM Vol. 3A 9.8.5)."""
    old = rd64(st, EFER)
    if value & ~(rd64(st, EFER_VALID) | EFER_LMA):
        return general_protection(st, 0)
    value = (value & ~EFER_LMA) | (old & EFER_LMA)
    if (old ^ value) & EFER_LME and rd64(st, CR0) & CR0_PG:
        return general_protection(st, 0)
    wr64(st, EFER, value)
    if (old ^ value) & EFER_NXE:
        _flush(st)
    return OK


@inline
def pat_valid(value: int) -> bool:
    for i in range(8):
        entry = shr(value, 8 * i) & 0xFF
        if entry > 7 or shr(PAT_TYPES, entry & 7) & 1 == 0:
            return False
    return True


def write_msr(st: State) -> int:
    index = rd32(st, gpr(1))
    slot = slot_of(index)
    if slot == 0:
        return exits.WRMSR
    value = rd32(st, gpr(0)) | (rd32(st, gpr(2)) << 32)
    if index == IA32_EFER:
        return write_efer(st, value)
    if index == IA32_PAT:
        good = pat_valid(value)
    elif index == IA32_FMASK or index == IA32_TSC_AUX:
        good = value & UPPER == 0
    elif index == IA32_STAR or index == IA32_SYSENTER_CS:
        good = True
    else:
        good = is_canonical(value)
    if not good:
        return general_protection(st, 0)
    wr64(st, slot, value)
    return OK
