"""Control-flow enforcement in task switches (SDM Vol. 3A 7.3): a 32-bit TSS has the task's SSP at offset 104, where a
supervisor shadow-stack token lies. CALL and events push the old task's CS, LIP and SSP onto the new shadow stack, IRET
takes them from there.

What can fault in the old task comes first, in `prepare`; `release` follows the last of such checks; `enter` runs in the
new task, whose segments are loaded.
"""

from jit.access import slow_load, slow_probe
from jit.cet import (
    CR4_CET,
    ENDBR_EN,
    FAR_RET,
    SH_STK_EN,
    control_protection,
    far_track,
    load_shadow,
    probe_shadow,
    shadow_enabled,
    store_shadow,
)
from jit.descriptor import attributes, limit_of
from jit.exits import OK
from jit.fault import TS, selector_fault
from jit.flags import VM
from jit.layout import (
    CPL,
    CR4,
    CS,
    FRAME,
    PL3_SSP,
    RFL,
    SEG_SELECTOR,
    SLOW_VALUE,
    SSP,
    TR,
    U_CET,
    seg,
)
from jit.native import State, inline, rd64, shr, ult, wr64
from jit.shadow_stack import BUSY, FRAME_BYTES, adjusted, free_token, linear_ip, push_record
from jit.slow import SHADOW, SUPERVISOR

SSP_AT, LIMIT = 0x68, 0x6B
CHANGES = FRAME + 8 * 40            # PUSHES ..., and what belongs to it:
OLD_SSP, OLD_CS, OLD_LIP, NEW_SSP, TOKEN = (CHANGES + 8 * n for n in range(1, 6))
PUSHES, LEAVES_USER, VERIFIES, FREES = 1, 2, 4, 8


@inline
def check_limits(st: State, desc: int, selector: int, returns: bool) -> int:
    """Step 3: an IRET needs an aligned SSP; CR4.CET a 32-bit TSS that has an SSP."""
    if rd64(st, CR4) & CR4_CET == 0:
        return OK
    if returns and shadow_enabled(st, rd64(st, CPL)) and rd64(st, SSP) & 7:
        return selector_fault(st, TS, rd64(st, seg(TR, SEG_SELECTOR)))
    if attributes(desc) & 8 == 0 or ult(limit_of(desc), LIMIT):
        return selector_fault(st, TS, selector)
    return OK


@inline
def prepare(st: State, base: int, nested: bool, returns: bool, selector: int, flags: int) -> int:
    """What becomes of the old task's shadow stack, in CHANGES. `base`: the new TSS, whose CS and EFLAGS are given."""
    wr64(st, CHANGES, 0)
    if rd64(st, CR4) & CR4_CET == 0:
        return OK
    if not returns:
        status = slow_load(st, base + SSP_AT, 4 | SUPERVISOR)
        if status != OK:
            return status
        wr64(st, NEW_SSP, rd64(st, SLOW_VALUE))
    level, pointer = rd64(st, CPL), rd64(st, SSP)
    if not shadow_enabled(st, level):
        return OK
    new = 3 if flags & VM else selector & 3
    if nested:
        wr64(st, CHANGES, LEAVES_USER if level == 3 and new < 3 else PUSHES)
        wr64(st, OLD_SSP, pointer)
        wr64(st, OLD_CS, rd64(st, seg(CS, SEG_SELECTOR)))
        wr64(st, OLD_LIP, linear_ip(st))
    if not returns:
        return OK
    changes = FREES
    if new == level or new < 3:
        for i in range(3):
            value, status = load_shadow(st, pointer + 8 * i, 8)
            if status != OK:
                return status
            wr64(st, OLD_SSP if i == 0 else OLD_LIP if i == 1 else OLD_CS, value)
        pointer += FRAME_BYTES
        changes |= VERIFIES
    wr64(st, TOKEN, pointer)
    wr64(st, CHANGES, changes)
    return slow_probe(st, pointer, 8 | SHADOW)


@inline
def release(st: State) -> int:
    """Let go of the old task's shadow stack."""
    changes = rd64(st, CHANGES)
    if changes & LEAVES_USER:
        wr64(st, PL3_SSP, adjusted(st, rd64(st, OLD_SSP)))
    if changes & FREES:
        status = free_token(st, rd64(st, TOKEN))
        if status != OK:
            return status
        wr64(st, SSP, 0)
    return OK


@inline
def take_stack(st: State, selector: int) -> int:
    """The shadow stack that the new TSS names, with the record of who called."""
    pointer, pushes = rd64(st, NEW_SSP), rd64(st, CHANGES) & PUSHES
    if pointer & 7:
        return selector_fault(st, TS, selector)
    token, status = load_shadow(st, pointer, 8)
    if status == OK and token != pointer:
        return selector_fault(st, TS, selector)
    if status == OK:
        status = probe_shadow(st, pointer, 8)
    if status == OK and pushes:
        status = probe_shadow(st, pointer - 8, 8)
        if status == OK:
            status = probe_shadow(st, pointer - FRAME_BYTES, 8)
    if status == OK:
        status = store_shadow(st, pointer, 8, pointer | BUSY)
    if status == OK and pushes:
        status = push_record(st, pointer, rd64(st, OLD_CS), rd64(st, OLD_LIP), rd64(st, OLD_SSP))
        pointer -= FRAME_BYTES
    if status == OK:
        wr64(st, SSP, pointer)
    return status


@inline
def enter(st: State, returns: bool, selector: int) -> int:
    """Shadow stack and branch tracker of the new task, whose TSS is `selector`. The caller recomputes MODE."""
    if rd64(st, CR4) & CR4_CET == 0:
        return OK
    level = rd64(st, CPL)
    if rd64(st, RFL) & VM:
        if rd64(st, U_CET) & (SH_STK_EN | ENDBR_EN):
            return selector_fault(st, TS, selector)
        return OK
    if not returns:
        status = take_stack(st, selector) if shadow_enabled(st, level) else OK
        if status == OK:
            far_track(st, level)
        return status
    verifies, restored = rd64(st, CHANGES) & VERIFIES, rd64(st, OLD_SSP)
    if verifies and (rd64(st, OLD_CS) != rd64(st, seg(CS, SEG_SELECTOR)) or rd64(st, OLD_LIP) != linear_ip(st)):
        return control_protection(st, FAR_RET)
    if shadow_enabled(st, level):
        if not verifies:
            restored = rd64(st, PL3_SSP)
        if restored & 3 or shr(restored, 32):
            return control_protection(st, FAR_RET)
        wr64(st, SSP, restored)
    return OK
