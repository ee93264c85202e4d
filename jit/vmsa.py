"""Saving a VMPL's registers in its VMSA and loading them from there, as #VMEXIT and VMRUN do for SEV-ES guests (APM
Vol. 2 15.35.3, 15.35.8). The page's host address is in ARG[0].

The x87 registers stand in physical order. DR0 to DR3 are kept in the page where DebugSwap is active, else in the
register file, as if the hypervisor saved them for each VMPL; so are opmask registers and what of vector registers is
beyond YMM15, for which the page has no room. SPEC_CTRL and the address masks of DR0 to DR3 stay in the page as they
are: no processor model has those MSRs.
"""

from numba import types

from jit import vmsa_layout as v
from jit.control_registers import CR4_FLUSHING, EFER_LME, uses_pdptes
from jit.eflags import get_flags
from jit.exits import OK
from jit.flags import FIXED, STATUS, set_status
from jit.fpu_layout import (
    FCS,
    FCW,
    FDP,
    FDS,
    FIP,
    FOP,
    FSW,
    MXCSR,
    PKRU,
    ST,
    ST_BYTES,
    ST_EXPONENT,
    VECTOR_BYTES,
    ZMM,
)
from jit.layout import (
    ARG,
    CPL,
    CR0,
    CR2,
    CR3,
    CR4,
    CR8,
    DEBUGCTL,
    DR,
    DR6,
    DR7,
    EFER,
    FPU,
    GDTR_BASE,
    GDTR_LIMIT,
    IDTR_BASE,
    IDTR_LIMIT,
    INTERRUPT,
    ISST,
    LDTR,
    NMI,
    NMI_BLOCKED,
    PAT,
    PDPTE,
    PL0_SSP,
    PL3_SSP,
    RFL,
    RIP,
    S_CET,
    SEG,
    SEG_ATTR,
    SEG_BASE,
    SEG_BYTES,
    SEG_LIMIT,
    SEG_SELECTOR,
    SHADOW,
    SSP,
    STAR,
    TR,
    TSC_AUX,
    TSC_OFFSET,
    TSC_RATIO,
    U_CET,
    VIRTUAL_TOM,
    XCR0,
    XCR0_VALID,
    XSS,
    XSS_VALID,
    gpr,
)
from jit.mode import CR0_PE, refresh
from jit.native import (
    State,
    address_of,
    inline,
    ld8,
    ld16,
    ld32,
    ld64,
    memmove,
    rd64,
    shr,
    st8,
    st16,
    st32,
    st64,
    wr64,
)
from jit.paging import CR0_PG, CR0_WP, EFER_LMA, EFER_NXE, read_entry
from jit.protection_keys import follow_pkru
from jit.x87.control import full_tags, load_tags

SHADOW_STI = 1
NO_XSS = -1
XCR0_X87 = 1
MXCSR_BITS = 0xFFFF

_flush = types.ExternalFunction("strata_flush_all", types.int64(types.voidptr))


@inline
def save_block(st: State, page: int, state: int, at: int, words: int) -> None:
    """Registers that stand together in both places."""
    memmove(page + at, address_of(st) + state, 8 * words)


@inline
def load_block(st: State, page: int, state: int, at: int, words: int) -> None:
    memmove(address_of(st) + state, page + at, 8 * words)


@inline
def save_segment(st: State, page: int, number: int, at: int) -> None:
    state = SEG + SEG_BYTES * number
    attr = rd64(st, state + SEG_ATTR)
    parts = (rd64(st, state + SEG_LIMIT) << 32) | (attr & 0xFF) << 16 | (attr & 0xF000) << 12
    st64(page + at + v.SELECTOR, parts | (rd64(st, state + SEG_SELECTOR) & 0xFFFF))
    st64(page + at + v.BASE, rd64(st, state + SEG_BASE))


@inline
def load_segment(st: State, page: int, number: int, at: int) -> None:
    state = SEG + SEG_BYTES * number
    parts = ld64(page + at + v.SELECTOR)
    wr64(st, state + SEG_SELECTOR, parts & 0xFFFF)
    wr64(st, state + SEG_ATTR, (shr(parts, 16) & 0xFF) | (shr(parts, 12) & 0xF000))
    wr64(st, state + SEG_LIMIT, shr(parts, 32))
    wr64(st, state + SEG_BASE, ld64(page + at + v.BASE))


@inline
def save_fpu(st: State, page: int) -> None:
    f = rd64(st, FPU)
    st64(page + v.X87_DP, ld64(f + FDP))
    st32(page + v.MXCSR, ld64(f + MXCSR))
    st16(page + v.FTW, full_tags(f))
    st16(page + v.FSW, ld64(f + FSW))
    st16(page + v.FCW, ld64(f + FCW))
    st16(page + v.FOP, ld64(f + FOP))
    st16(page + v.X87_DS, ld64(f + FDS))
    st16(page + v.X87_CS, ld64(f + FCS))
    st64(page + v.X87_RIP, ld64(f + FIP))
    st32(page + v.PKRU, ld64(f + PKRU))
    for i in range(8):
        st64(page + v.X87_SIGNIFICANDS + 8 * i, ld64(f + ST + ST_BYTES * i))
        st16(page + v.X87_EXPONENTS + 2 * i, ld64(f + ST + ST_BYTES * i + ST_EXPONENT))
    for i in range(16):
        at = f + ZMM + VECTOR_BYTES * i
        memmove(page + v.XMM + 16 * i, at, 16)
        memmove(page + v.YMM_HIGH + 16 * i, at + 16, 16)


@inline
def load_fpu(st: State, page: int) -> None:
    f = rd64(st, FPU)
    st64(f + FDP, ld64(page + v.X87_DP))
    st64(f + MXCSR, ld32(page + v.MXCSR) & MXCSR_BITS)
    load_tags(f, ld16(page + v.FTW))
    st64(f + FSW, ld16(page + v.FSW))
    st64(f + FCW, ld16(page + v.FCW))
    st64(f + FOP, ld16(page + v.FOP))
    st64(f + FDS, ld16(page + v.X87_DS))
    st64(f + FCS, ld16(page + v.X87_CS))
    st64(f + FIP, ld64(page + v.X87_RIP))
    st64(f + PKRU, ld32(page + v.PKRU))
    for i in range(8):
        st64(f + ST + ST_BYTES * i, ld64(page + v.X87_SIGNIFICANDS + 8 * i))
        st64(f + ST + ST_BYTES * i + ST_EXPONENT, ld16(page + v.X87_EXPONENTS + 2 * i))
    for i in range(16):
        at = f + ZMM + VECTOR_BYTES * i
        memmove(at, page + v.XMM + 16 * i, 16)
        memmove(at + 16, page + v.YMM_HIGH + 16 * i, 16)


@inline
def save_events(st: State, page: int) -> None:
    """VINTR_CTRL. A request that waits is still in the page; under alternate injection NMIs are there too."""
    control = ld64(page + v.VINTR_CTRL) & ~(v.INT_SHADOW | 0xFF)
    if rd64(st, SHADOW) != 0:
        control |= v.INT_SHADOW
    if ld64(page + v.SEV_FEATURES) & v.FEATURE_ALTERNATE:
        control &= ~(v.V_NMI | v.V_NMI_MASK)
        control |= v.V_NMI if rd64(st, NMI) != 0 else 0
        control |= v.V_NMI_MASK if rd64(st, NMI_BLOCKED) != 0 else 0
    st64(page + v.VINTR_CTRL, control | (rd64(st, CR8) & 0xF))


@inline
def load_events(st: State, control: int) -> None:
    """The requests in VINTR_CTRL, which are a more privileged VMPL's (APM Vol. 2 15.36.16)."""
    above = shr(control, v.PRIORITY_SHIFT) & 0xF > control & 0xF or control & v.IGNORE_TPR != 0
    wr64(st, INTERRUPT, 1 if control & v.V_IRQ and above else 0)
    wr64(st, NMI, 1 if control & v.V_NMI else 0)
    wr64(st, NMI_BLOCKED, 1 if control & v.V_NMI_MASK else 0)


@inline
def save_rarer(st: State, page: int) -> None:
    """Control-flow enforcement, XSS, and what debugging records of branches."""
    st64(page + v.U_CET, rd64(st, U_CET))
    st64(page + v.PL3_SSP, rd64(st, PL3_SSP))
    save_block(st, page, PL0_SSP, v.PL0_SSP, 3)
    st64(page + v.S_CET, rd64(st, S_CET))
    st64(page + v.SSP, rd64(st, SSP))
    st64(page + v.ISST, rd64(st, ISST))
    st64(page + v.XSS, rd64(st, XSS))
    save_block(st, page, DEBUGCTL, v.DEBUGCTL, 5)


@inline
def load_rarer(st: State, page: int) -> None:
    """The same. Bits that the processor does not have are dropped."""
    wr64(st, U_CET, ld64(page + v.U_CET))
    wr64(st, PL3_SSP, ld64(page + v.PL3_SSP))
    load_block(st, page, PL0_SSP, v.PL0_SSP, 3)
    wr64(st, S_CET, ld64(page + v.S_CET))
    wr64(st, SSP, ld64(page + v.SSP))
    wr64(st, ISST, ld64(page + v.ISST))
    valid = rd64(st, XSS_VALID)
    wr64(st, XSS, ld64(page + v.XSS) & valid if valid != NO_XSS else 0)
    load_block(st, page, DEBUGCTL, v.DEBUGCTL, 5)
    if ld64(page + v.SEV_FEATURES) & v.FEATURE_SECURE_TSC:
        wr64(st, TSC_RATIO, ld64(page + v.TSC_SCALE))
        wr64(st, TSC_OFFSET, ld64(page + v.TSC_OFFSET))


@inline
def save_page(st: State, page: int) -> None:
    """Write a VMSA's register fields. What describes the exit is the caller's. Flags are left in the form that loading
    gives them, so that it does not show whether registers were loaded again."""
    for number in range(6):
        save_segment(st, page, number, v.SEGMENTS + v.SEGMENT_BYTES * number)
    save_segment(st, page, LDTR, v.LDTR)
    save_segment(st, page, TR, v.TR)
    st32(page + v.GDTR + v.LIMIT, rd64(st, GDTR_LIMIT))
    st64(page + v.GDTR + v.BASE, rd64(st, GDTR_BASE))
    st32(page + v.IDTR + v.LIMIT, rd64(st, IDTR_LIMIT))
    st64(page + v.IDTR + v.BASE, rd64(st, IDTR_BASE))
    st8(page + v.CPL, rd64(st, CPL))
    st64(page + v.EFER, rd64(st, EFER))
    st64(page + v.CR4, rd64(st, CR4))
    st64(page + v.CR3, rd64(st, CR3))
    st64(page + v.CR0, rd64(st, CR0))
    st64(page + v.DR7, rd64(st, DR7))
    st64(page + v.DR6, rd64(st, DR6))
    flags = get_flags(st)
    st64(page + v.RFLAGS, flags)
    set_status(st, flags)
    st64(page + v.RIP, rd64(st, RIP))
    if ld64(page + v.SEV_FEATURES) & v.FEATURE_DEBUG_SWAP:
        save_block(st, page, DR, v.DR, 4)
    st64(page + v.RAX, rd64(st, gpr(0)))
    st64(page + v.RSP, rd64(st, gpr(4)))
    save_block(st, page, gpr(1), v.RCX, 3)
    save_block(st, page, gpr(5), v.RBP, 11)
    save_block(st, page, STAR, v.STAR, 8)
    st64(page + v.CR2, rd64(st, CR2))
    st64(page + v.PAT, rd64(st, PAT))
    st32(page + v.TSC_AUX, rd64(st, TSC_AUX))
    st64(page + v.XCR0, rd64(st, XCR0))
    st64(page + v.VIRTUAL_TOM, rd64(st, VIRTUAL_TOM))
    save_rarer(st, page)
    save_events(st, page)
    save_fpu(st, page)


@inline
def load_page(st: State, page: int) -> None:
    """Load the registers of a VMSA that may be run, and drop translations that do not fit any more."""
    old_cr0, old_cr3, old_cr4, old_efer = rd64(st, CR0), rd64(st, CR3), rd64(st, CR4), rd64(st, EFER)
    for number in range(6):
        load_segment(st, page, number, v.SEGMENTS + v.SEGMENT_BYTES * number)
    load_segment(st, page, LDTR, v.LDTR)
    load_segment(st, page, TR, v.TR)
    wr64(st, GDTR_LIMIT, ld32(page + v.GDTR + v.LIMIT))
    wr64(st, GDTR_BASE, ld64(page + v.GDTR + v.BASE))
    wr64(st, IDTR_LIMIT, ld32(page + v.IDTR + v.LIMIT))
    wr64(st, IDTR_BASE, ld64(page + v.IDTR + v.BASE))
    cr0 = ld64(page + v.CR0)
    efer = ld64(page + v.EFER) & ~EFER_LMA
    if cr0 & CR0_PG and efer & EFER_LME:
        efer |= EFER_LMA
    wr64(st, CPL, ld8(page + v.CPL) & 3)
    wr64(st, EFER, efer)
    wr64(st, CR4, ld64(page + v.CR4))
    wr64(st, CR3, ld64(page + v.CR3))
    wr64(st, CR0, cr0)
    wr64(st, DR7, ld64(page + v.DR7))
    wr64(st, DR6, ld64(page + v.DR6))
    flags = ld64(page + v.RFLAGS)
    set_status(st, flags)
    wr64(st, RFL, (flags & ~STATUS) | FIXED)
    wr64(st, RIP, ld64(page + v.RIP))
    if ld64(page + v.SEV_FEATURES) & v.FEATURE_DEBUG_SWAP:
        load_block(st, page, DR, v.DR, 4)
    wr64(st, gpr(0), ld64(page + v.RAX))
    wr64(st, gpr(4), ld64(page + v.RSP))
    load_block(st, page, gpr(1), v.RCX, 3)
    load_block(st, page, gpr(5), v.RBP, 11)
    load_block(st, page, STAR, v.STAR, 8)
    wr64(st, CR2, ld64(page + v.CR2))
    wr64(st, PAT, ld64(page + v.PAT))
    wr64(st, TSC_AUX, ld32(page + v.TSC_AUX))
    wr64(st, XCR0, ld64(page + v.XCR0) & rd64(st, XCR0_VALID) | XCR0_X87)
    load_rarer(st, page)
    control = ld64(page + v.VINTR_CTRL)
    wr64(st, SHADOW, SHADOW_STI if control & v.INT_SHADOW else 0)
    wr64(st, CR8, control & 0xF)
    if ld64(page + v.SEV_FEATURES) & v.FEATURE_ALTERNATE:
        load_events(st, control)
    load_fpu(st, page)
    follow_pkru(st)
    changed = (rd64(st, CR4) ^ old_cr4) & CR4_FLUSHING | (cr0 ^ old_cr0) & (CR0_PG | CR0_WP | CR0_PE)
    top = ld64(page + v.VIRTUAL_TOM) if ld64(page + v.SEV_FEATURES) & v.FEATURE_VTOM else 0
    if (changed | (efer ^ old_efer) & (EFER_LMA | EFER_NXE) | (rd64(st, CR3) ^ old_cr3)
            | (rd64(st, VIRTUAL_TOM) ^ top)):
        wr64(st, VIRTUAL_TOM, top)
        _flush(st)
    if uses_pdptes(cr0, rd64(st, CR4), efer):
        for i in range(4):
            wr64(st, PDPTE + 8 * i, read_entry(st, (rd64(st, CR3) & 0xFFFFFFE0) + 8 * i, True))
    refresh(st)


def save_vmsa(st: State) -> int:
    """#VMEXIT's part. Always OK."""
    save_page(st, rd64(st, ARG))
    return OK


def load_vmsa(st: State) -> int:
    """VMRUN's part, all checks being done. Always OK."""
    load_page(st, rd64(st, ARG))
    return OK
