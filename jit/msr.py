"""The model-specific registers that are fields of the register file (SDM Vol. 4 table 2-2; APM Vol. 2 appendix A).

Everything else goes to Python as RDMSR or WRMSR. ECX names the register; CPL was checked.
"""

from numba import types

from jit import exits, guards, traps
from jit.cet import CR4_CET, ENDBR_EN, SH_STK_EN, SUPPRESS, TRACKER
from jit.control_registers import EFER_LME, UPPER
from jit.exits import OK
from jit.fault import general_protection
from jit.layout import (
    CET_VALID,
    CR0,
    CR4_VALID,
    CSTAR,
    EFER,
    EFER_VALID,
    FS,
    GHCB,
    GS,
    ISST,
    KERNEL_GS_BASE,
    LSTAR,
    PAT,
    PKRS,
    PL0_SSP,
    PL3_SSP,
    S_CET,
    SEG_BASE,
    SFMASK,
    SNP_ACTIVE,
    STAR,
    SYSENTER_CS,
    SYSENTER_EIP,
    SYSENTER_ESP,
    TSC_AUX,
    U_CET,
    XSS,
    XSS_VALID,
    gpr,
    seg,
)
from jit.mode import refresh
from jit.native import State, inline, rd32, rd64, shr, wr64
from jit.paging import CR0_PG, EFER_LMA, EFER_NXE
from jit.protection_keys import CR4_PKS
from jit.slow import is_loadable

EFER_SVME = 1 << 12
PAT_TYPES = 0b11110011                  # memory types that a PAT entry may hold: 0, 1, 4 to 7

_flush = types.ExternalFunction("strata_flush_all", types.int64(types.voidptr))
_flush_data = types.ExternalFunction("strata_flush_data", types.int64(types.voidptr))


@inline
def cet_slot(st: State, index: int) -> int:
    """State field of an MSR of CET, or 0: the shadow-stack ones exist with shadow stacks only."""
    if rd64(st, CR4_VALID) & CR4_CET == 0:
        return 0
    if index == guards.IA32_U_CET:
        return U_CET
    if index == guards.IA32_S_CET:
        return S_CET
    if rd64(st, CET_VALID) & SH_STK_EN == 0:
        return 0
    if index == guards.IA32_PL3_SSP:
        return PL3_SSP
    if index == guards.IA32_INTERRUPT_SSP_TABLE_ADDR:
        return ISST
    return PL0_SSP + 8 * (index - guards.IA32_PL0_SSP) if index >= guards.IA32_PL0_SSP else 0


@inline
def cet_valid(st: State, slot: int, value: int) -> bool:
    """Whether an MSR of CET takes a value (SDM Vol. 4 table 2-2)."""
    if not is_loadable(st, value):
        return False
    if slot == U_CET or slot == S_CET:
        return value & 0xFFF & ~rd64(st, CET_VALID) == 0 and value & (SUPPRESS | TRACKER) != SUPPRESS | TRACKER and (
            value & ~0xFFF == 0 or rd64(st, CET_VALID) & ENDBR_EN != 0)
    return slot == ISST or value & 3 == 0


@inline
def slot_of(st: State, index: int) -> int:
    """State field of an MSR, or 0."""
    slot = 0
    if index == guards.IA32_SYSENTER_CS:
        slot = SYSENTER_CS
    elif index == guards.IA32_SYSENTER_ESP:
        slot = SYSENTER_ESP
    elif index == guards.IA32_SYSENTER_EIP:
        slot = SYSENTER_EIP
    elif index == guards.IA32_PAT:
        slot = PAT
    elif index == guards.IA32_EFER:
        slot = EFER
    elif index == guards.IA32_STAR:
        slot = STAR
    elif index == guards.IA32_LSTAR:
        slot = LSTAR
    elif index == guards.IA32_CSTAR:
        slot = CSTAR
    elif index == guards.IA32_FMASK:
        slot = SFMASK
    elif index == guards.IA32_FS_BASE:
        slot = seg(FS, SEG_BASE)
    elif index == guards.IA32_GS_BASE:
        slot = seg(GS, SEG_BASE)
    elif index == guards.IA32_KERNEL_GS_BASE:
        slot = KERNEL_GS_BASE
    elif index == guards.IA32_TSC_AUX:
        slot = TSC_AUX
    elif index == guards.IA32_PKRS and rd64(st, CR4_VALID) & CR4_PKS:
        slot = PKRS
    elif index == guards.IA32_XSS and rd64(st, XSS_VALID) >= 0:
        slot = XSS
    elif index >= guards.IA32_U_CET and index <= guards.IA32_INTERRUPT_SSP_TABLE_ADDR:
        slot = cet_slot(st, index)
    elif index == guards.MSR_GHCB and rd64(st, SNP_ACTIVE) != 0:
        slot = GHCB
    return slot


@inline
def trap_number(index: int, write: int) -> int:
    """The number of the access in jit/traps.py, or NEVER."""
    number = traps.NEVER
    if index == guards.IA32_EFER:
        number = guards.EFER_READ + write
    elif index == guards.IA32_LSTAR:
        number = guards.LSTAR_READ + write
    elif index == guards.IA32_STAR:
        number = guards.STAR_READ + write
    elif index == guards.IA32_CSTAR:
        number = guards.CSTAR_READ + write
    elif write and index == guards.IA32_SYSENTER_CS:
        number = guards.SYSENTER_CS_WRITE
    elif write and index == guards.IA32_SYSENTER_EIP:
        number = guards.SYSENTER_EIP_WRITE
    elif write and index == guards.IA32_SYSENTER_ESP:
        number = guards.SYSENTER_ESP_WRITE
    elif write and index == guards.IA32_FMASK:
        number = guards.SFMASK_WRITE
    elif write and index == guards.IA32_TSC_AUX:
        number = guards.TSC_AUX_WRITE
    return number


def read_msr(st: State) -> int:
    index = rd32(st, gpr(1))
    slot = slot_of(st, index)
    if slot == 0:
        return exits.RDMSR
    status = traps.trap(st, trap_number(index, 0), 0, 0)
    if status != OK:
        return status
    value = rd64(st, slot)
    wr64(st, gpr(0), value & 0xFFFFFFFF)
    wr64(st, gpr(2), shr(value, 32))
    return OK


@inline
def write_efer(st: State, value: int) -> int:
    """LME may change only without paging; LMA is the processor's (SDM Vol. 3A 9.8.5). SVME is ignored in SEV-ES guests
    (APM Vol. 2 15.35.9)."""
    old = rd64(st, EFER)
    if rd64(st, SNP_ACTIVE) != 0:
        value = (value & ~EFER_SVME) | (old & EFER_SVME)
    if value & ~(rd64(st, EFER_VALID) | EFER_LMA):
        return general_protection(st, 0)
    value = (value & ~EFER_LMA) | (old & EFER_LMA)
    if (old ^ value) & EFER_LME and rd64(st, CR0) & CR0_PG:
        return general_protection(st, 0)
    status = traps.trap(st, guards.EFER_WRITE, value, 0)
    if status != OK:
        return status
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
    slot = slot_of(st, index)
    value = rd32(st, gpr(0)) | (rd32(st, gpr(2)) << 32)
    if index == guards.MSR_GHCB and slot != 0:
        wr64(st, slot, value)
        return OK
    if slot == 0:
        return exits.WRMSR
    if index == guards.IA32_EFER:
        return write_efer(st, value)
    if index == guards.IA32_PAT:
        good = pat_valid(value)
    elif index == guards.IA32_FMASK or index == guards.IA32_TSC_AUX or index == guards.IA32_PKRS:
        good = value & UPPER == 0
    elif index == guards.IA32_STAR or index == guards.IA32_SYSENTER_CS:
        good = True
    elif index == guards.IA32_XSS:
        good = value & ~rd64(st, XSS_VALID) == 0
    elif index >= guards.IA32_U_CET and index <= guards.IA32_INTERRUPT_SSP_TABLE_ADDR:
        good = cet_valid(st, slot, value)
    else:
        good = is_loadable(st, value)
    if not good:
        return general_protection(st, 0)
    status = traps.trap(st, trap_number(index, 1), value, 0)
    if status != OK:
        return status
    wr64(st, slot, value)
    if slot == PKRS:
        _flush_data(st)
    if slot == U_CET or slot == S_CET:
        refresh(st)
    return OK
