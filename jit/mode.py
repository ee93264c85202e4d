"""What follows from CR0, CR4, EFER, RFLAGS, CPL, CET's MSRs and the cached CS and SS descriptors: how code is
decoded, where it lies, and which TLB set serves it. Everything that changes one of those calls `update_mode`
afterwards."""

from numba import types

from jit.cet import KEY_SHIFT, cet_mode
from jit.exits import OK
from jit.layout import (
    CR0,
    CR4,
    CS,
    CS_BASE,
    EFER,
    JUMP_KEY,
    LINEAR_SHIFT,
    MODE,
    MODE_16,
    MODE_32,
    MODE_64,
    MODE_FLAT_CODE,
    MODE_STACK32,
    RFL,
    SEG_ATTR,
    SEG_BASE,
    SEG_LIMIT,
    SS,
    seg,
)
from jit.native import State, inline, rd64, shr, wr64
from jit.paging import CR4_LA57, EFER_LMA
from jit.tlb import select_set
from jit.vector_gate import update_gate

CR0_PE, CR0_AM = 1, 1 << 18
VM = 1 << 17                            # RFLAGS
BIG, LONG = 0x4000, 0x2000              # D/B and L of a segment's attributes
DIGEST_BASE, DIGEST_LIMIT = 0x1E3779B97F4A7C15, 0x51ED270B9F652295
HASHED = 1 << 56                        # the tag's bits 55:32 hold a digest instead of a real-mode base

_update = types.ExternalFunction("strata_update_mode", types.int64(types.voidptr))


@inline
def refresh(st: State) -> None:
    """Call `update_mode`."""
    _update(st)


@inline
def protected(st: State) -> bool:
    """Protected mode, not virtual-8086."""
    return rd64(st, CR0) & CR0_PE != 0 and rd64(st, RFL) & VM == 0


@inline
def long_mode_active(st: State) -> bool:
    return rd64(st, EFER) & EFER_LMA != 0


@inline
def code_key(st: State, mode: int) -> int:
    """Tells apart jump-cache entries of code segments that share linear addresses: where CS has a limit to check, its
    base is in the tag too, exactly for 64 KiB segments as real mode has them, as a digest for others."""
    key = mode << KEY_SHIFT
    if mode & 3 == MODE_64 or mode & MODE_FLAT_CODE:
        return key
    base, limit = rd64(st, CS_BASE), rd64(st, seg(CS, SEG_LIMIT))
    if base & 0xFFF0000F == 0 and limit == 0xFFFF:
        return key | (base << 28)
    digest = (base * DIGEST_BASE) ^ (limit * DIGEST_LIMIT)
    return key | HASHED | (shr(digest, 40) << 32)


def update_mode(st: State) -> int:
    """Recompute MODE, CS_BASE, LINEAR_SHIFT, JUMP_KEY, the TLB set and VECTOR_GATE. Always OK."""
    attr = rd64(st, seg(CS, SEG_ATTR))
    if rd64(st, EFER) & EFER_LMA and attr & LONG:
        mode = MODE_64
        base = 0
    else:
        mode = MODE_16
        if attr & BIG:
            mode = MODE_32 | (MODE_FLAT_CODE if rd64(st, seg(CS, SEG_LIMIT)) == 0xFFFFFFFF else 0)
        if rd64(st, seg(SS, SEG_ATTR)) & BIG:
            mode |= MODE_STACK32
        base = rd64(st, seg(CS, SEG_BASE))
    mode |= cet_mode(st)
    wr64(st, MODE, mode)
    wr64(st, CS_BASE, base)
    wr64(st, LINEAR_SHIFT, 7 if rd64(st, CR4) & CR4_LA57 else 16)
    wr64(st, JUMP_KEY, code_key(st, mode))
    select_set(st)
    update_gate(st)
    return OK
