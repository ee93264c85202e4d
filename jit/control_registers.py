"""MOV to control and debug registers (SDM Vol. 2B MOV; Vol. 3A 2.5, 4.1.2, 4.4.1, 9.8.5; Vol. 3B 17.2).

ARG[0]: register number; ARG[1]: value. CPL was checked.
"""

from numba import types

from jit import exits
from jit.cet import CR4_CET
from jit.exits import OK
from jit.fault import DB, debug_status, fault, general_protection, undefined_opcode
from jit.guards import CR0_WRITE, CR4_WRITE, DR7_WRITE
from jit.layout import (
    ARG,
    C_BIT,
    CR0,
    CR2,
    CR3,
    CR4,
    CR4_VALID,
    CR8,
    CS,
    DR,
    DR6,
    DR7,
    EFER,
    IO_ADDRESS,
    IO_VALUE,
    MODE,
    MODE_64,
    PDPTE,
    PHYS_MASK,
    SEG_ATTR,
    TR,
    VENDOR,
    VENDOR_INTEL,
    WP_IGNORED,
    seg,
)
from jit.mode import CR0_PE, LONG, refresh
from jit.native import State, inline, rd64, wr64
from jit.paging import (
    CR0_PG,
    CR0_WP,
    CR4_LA57,
    CR4_PAE,
    CR4_PGE,
    CR4_PSE,
    CR4_SMAP,
    CR4_SMEP,
    EFER_LMA,
    READ,
    P,
    read_entry,
)
from jit.protection_keys import CR4_PKE, CR4_PKS
from jit.second_stage import denied_status
from jit.slow import CR3_LAM_U48, CR3_LAM_U57, CR4_LAM_SUP
from jit.traps import trap, trap_control
from jit.watch import CR4_DE, ENABLED, enabled

CR0_ET, CR0_NW, CR0_CD, CR0_BITS = 1 << 4, 1 << 29, 1 << 30, 0xE005003F
CR4_PCIDE = 1 << 17
CR4_FLUSHING = CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_PKS
EFER_LME = 1 << 8
NO_FLUSH = -(1 << 63)                               # CR3 bit 63 under PCIDE
PDPTE_RESERVED = 0x1E6
UPPER = -(1 << 32)
DR6_FIXED, DR6_BITS, DR6_BD = 0xFFFF0FF0, 0xE00F, 1 << 13
DR7_FIXED, DR7_BITS, DR7_GD = 0x400, 0xFFFF2BFF & ~0x800, 1 << 13

_flush = types.ExternalFunction("strata_flush_all", types.int64(types.voidptr))


@inline
def load_pdptes(st: State, cr3: int) -> int:
    """The four PAE page-directory-pointer entries: OK with PDPTE set, #GP when one has a reserved bit, or DENIED."""
    reserved = (~rd64(st, PHYS_MASK) & ~rd64(st, C_BIT) & -0x1000) | PDPTE_RESERVED
    for i in range(4):
        status = denied_status(st, (cr3 & 0xFFFFFFE0) + 8 * i, READ)
        if status != OK:
            return status
        entry = read_entry(st, (cr3 & 0xFFFFFFE0) + 8 * i, True)
        if entry & P and entry & reserved:
            return general_protection(st, 0)
    for i in range(4):
        wr64(st, PDPTE + 8 * i, read_entry(st, (cr3 & 0xFFFFFFE0) + 8 * i, True))
    return OK


@inline
def uses_pdptes(cr0: int, cr4: int, efer: int) -> bool:
    return cr0 & CR0_PG != 0 and cr4 & CR4_PAE != 0 and efer & EFER_LMA == 0


@inline
def write_cr0(st: State, value: int) -> int:
    old, cr4, efer = rd64(st, CR0), rd64(st, CR4), rd64(st, EFER)
    if value & UPPER and rd64(st, MODE) & 3 == MODE_64:
        return general_protection(st, 0)
    value = (value & CR0_BITS) | CR0_ET
    if value & (CR0_PG | CR0_PE) == CR0_PG or value & (CR0_NW | CR0_CD) == CR0_NW:
        return general_protection(st, 0)
    if cr4 & CR4_CET and value & CR0_WP == 0:
        return general_protection(st, 0)
    if value & ~old & CR0_PG and efer & EFER_LME:
        tss16 = rd64(st, VENDOR) == VENDOR_INTEL and rd64(st, seg(TR, SEG_ATTR)) & 0x1D == 1   # APM Vol. 2 14.6.2
        if cr4 & CR4_PAE == 0 or rd64(st, seg(CS, SEG_ATTR)) & LONG or tss16:
            return general_protection(st, 0)
        efer |= EFER_LMA
    if old & ~value & CR0_PG:
        if rd64(st, MODE) & 3 == MODE_64 or cr4 & CR4_PCIDE:
            return general_protection(st, 0)
        efer &= ~EFER_LMA
    changed = old ^ value
    if uses_pdptes(value, cr4, efer) and changed & (CR0_PG | CR0_CD | CR0_NW):
        status = load_pdptes(st, rd64(st, CR3))
        if status != OK:
            return status
    status = trap_control(st, CR0_WRITE, old, value)
    if status != OK:
        return status
    wr64(st, CR0, value)
    wr64(st, EFER, efer)
    if changed & (CR0_PG | CR0_PE) or (changed & value & CR0_WP and rd64(st, WP_IGNORED)):
        _flush(st)
    refresh(st)
    return OK


@inline
def write_cr3(st: State, value: int) -> int:
    cr4 = rd64(st, CR4)
    if cr4 & CR4_PCIDE:
        value &= ~NO_FLUSH
    tags = CR3_LAM_U48 | CR3_LAM_U57 if rd64(st, CR4_VALID) & CR4_LAM_SUP else 0
    if rd64(st, EFER) & EFER_LMA and value & ~(rd64(st, PHYS_MASK) | rd64(st, C_BIT) | tags):
        return general_protection(st, 0)
    if uses_pdptes(rd64(st, CR0), cr4, rd64(st, EFER)):
        status = load_pdptes(st, value)
        if status != OK:
            return status
    wr64(st, CR3, value)
    _flush(st)
    return OK


@inline
def write_cr4(st: State, value: int) -> int:
    old, cr0, efer = rd64(st, CR4), rd64(st, CR0), rd64(st, EFER)
    if value & ~rd64(st, CR4_VALID) or (efer & EFER_LMA and value & CR4_PAE == 0):
        return general_protection(st, 0)
    if (value ^ old) & CR4_LA57 and efer & EFER_LMA:
        return general_protection(st, 0)
    if value & CR4_CET and cr0 & CR0_WP == 0:
        return general_protection(st, 0)
    if value & ~old & CR4_PCIDE and (efer & EFER_LMA == 0 or rd64(st, CR3) & 0xFFF):
        return general_protection(st, 0)
    changed = old ^ value
    if uses_pdptes(cr0, value, efer) and changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP):
        status = load_pdptes(st, rd64(st, CR3))
        if status != OK:
            return status
    status = trap_control(st, CR4_WRITE, old, value)
    if status != OK:
        return status
    wr64(st, CR4, value)
    if changed & CR4_FLUSHING:
        _flush(st)
    refresh(st)
    return OK


def write_cr(st: State) -> int:
    """OK, FAULT, DENIED, TRAPPED, or CR_WRITE for CR8: IO_ADDRESS and IO_VALUE tell the local APIC."""
    number, value = rd64(st, ARG), rd64(st, ARG + 8)
    if number == 0:
        return write_cr0(st, value)
    if number == 2:
        wr64(st, CR2, value)
        return OK
    if number == 3:
        return write_cr3(st, value)
    if number == 4:
        return write_cr4(st, value)
    if value & ~0xF:
        return general_protection(st, 0)
    wr64(st, CR8, value)
    wr64(st, IO_ADDRESS, 8)
    wr64(st, IO_VALUE, value)
    return exits.CR_WRITE


@inline
def check_debug_access(st: State, number: int) -> int:
    """DR4 and DR5 exist only without CR4.DE; DR7.GD guards all of them."""
    if rd64(st, CR4) & CR4_DE and (number == 4 or number == 5):
        return undefined_opcode(st)
    if rd64(st, DR7) & DR7_GD:
        debug_status(st, DR6_BD)
        return fault(st, DB)
    return OK


def write_dr(st: State) -> int:
    number, value = rd64(st, ARG), rd64(st, ARG + 8)
    status = check_debug_access(st, number)
    if status == OK and number & 5 == 5:
        status = trap(st, DR7_WRITE, value, 0)
    if status != OK:
        return status
    if number < 4:
        wr64(st, DR + 8 * number, value)
        if enabled(st):
            _flush(st)
        return OK
    if value & UPPER:
        return general_protection(st, 0)
    if number & 1:
        if (rd64(st, DR7) | value) & ENABLED:       # TLB entries depend on it
            _flush(st)
        wr64(st, DR7, (value & DR7_BITS) | DR7_FIXED)
    else:
        wr64(st, DR6, (value & DR6_BITS) | DR6_FIXED)
    return OK
