"""What VMRUN finds wrong with the registers in a VMSA, before it loads them (APM Vol. 2 15.5.1).

The rules are numbered; emu/planes/snp/world.py has a sentence for each.
"""

from jit import vmsa_layout as v
from jit.control_registers import CR0_CD, CR0_NW, EFER_LME, UPPER
from jit.layout import ARG, C_BIT, CR4_VALID, EFER_VALID, PHYS_MASK
from jit.mode import CR0_PE
from jit.native import State, inline, ld16, ld64, rd64, wr64
from jit.paging import CR0_PG, CR0_WP, CR4_PAE, EFER_LMA
from jit.vmsa_rules import (
    BAD_CACHING,
    BAD_CET,
    BAD_CR0,
    BAD_CR3,
    BAD_CR4,
    BAD_CS,
    BAD_DR6,
    BAD_DR7,
    BAD_EFER,
    BAD_PAE,
    BAD_PE,
    GOOD,
    NOT_SVME,
)

CR4_CET = 1 << 23
CS, LONG, BIG = 0x010, 1 << 9, 1 << 10          # of a VMSA: the segment, and L and D of its attributes


@inline
def broken_rule(st: State, page: int) -> int:
    """The first rule that the VMSA at host address `page` breaks for the plane it would be loaded into, or GOOD."""
    efer, cr0, cr3, cr4 = ld64(page + v.EFER), ld64(page + v.CR0), ld64(page + v.CR3), ld64(page + v.CR4)
    if efer & v.EFER_SVME == 0:
        return NOT_SVME
    if cr0 & (CR0_CD | CR0_NW) == CR0_NW:
        return BAD_CACHING
    if cr0 & UPPER:
        return BAD_CR0
    if cr3 & ~rd64(st, PHYS_MASK) & ~rd64(st, C_BIT):
        return BAD_CR3
    if cr4 & ~rd64(st, CR4_VALID):
        return BAD_CR4
    if ld64(page + v.DR6) & UPPER:
        return BAD_DR6
    if ld64(page + v.DR7) & UPPER:
        return BAD_DR7
    if efer & ~rd64(st, EFER_VALID) & ~EFER_LMA:
        return BAD_EFER
    if cr4 & CR4_CET and cr0 & CR0_WP == 0:
        return BAD_CET
    if efer & EFER_LME and cr0 & CR0_PG:
        if cr4 & CR4_PAE == 0:
            return BAD_PAE
        if cr0 & CR0_PE == 0:
            return BAD_PE
        if ld16(page + CS + v.ATTRIBUTES) & (LONG | BIG) == LONG | BIG:
            return BAD_CS
    return GOOD


def check_vmsa(st: State) -> int:
    """ARG[1] = the rule that the VMSA at ARG[0] breaks. Always OK."""
    wr64(st, ARG + 8, broken_rule(st, rd64(st, ARG)))
    return 0
