"""Shadow stacks in far transfers, event delivery and returns (SDM Vol. 2 CALL, INT n, IRET, RET, SYSCALL, SYSRET;
Vol. 1 17.2).

Each function does all of its checks before it changes anything, and is called when nothing else of the transfer can
fail. CPL and MODE are those after the transfer where shadow stacks are entered, those before it where they are left.
"""

from numba import types

from jit.access import slow_load, slow_probe
from jit.cet import (
    FAR_RET,
    control_protection,
    load_shadow,
    probe_shadow,
    shadow_enabled,
    store_shadow,
)
from jit.descriptor import base_of
from jit.exits import OK
from jit.fault import general_protection
from jit.layout import (
    CPL,
    CR4_VALID,
    CS_BASE,
    EFER,
    ISST,
    MODE,
    MODE_64,
    PL0_SSP,
    PL3_SSP,
    RIP,
    SLOW_VALUE,
    SSP,
)
from jit.native import State, inline, rd64, shr, wr64
from jit.paging import CR4_LA57, EFER_LMA
from jit.slow import SHADOW, SUPERVISOR, is_canonical

BUSY = 1                            # of a supervisor shadow-stack token (SDM Vol. 1 17.2.3)
FRAME_BYTES = 24                    # CS, LIP, SSP
NO_STACK = -1                       # shadow_enter: same stack, no token
MAY_LEAVE_IST = 8                 # beside a level: IRET, which may go back from an interrupt's stack to the same level

_enter = types.ExternalFunction(
    "strata_shadow_enter", types.int64(types.voidptr, types.int64, types.int64, types.int64, types.int64))
_leave = types.ExternalFunction(
    "strata_shadow_leave", types.int64(types.voidptr, types.int64, types.int64, types.int64, types.int64))


@inline
def linear_ip(st: State) -> int:
    """LIP, the linear address that RIP stands for."""
    linear = rd64(st, CS_BASE) + rd64(st, RIP)
    return linear if rd64(st, MODE) & 3 == MODE_64 else linear & 0xFFFFFFFF


@inline
def target_ip(desc: int, offset: int, to_long: bool) -> int:
    """LIP of an offset into a code segment."""
    return offset if to_long else (base_of(desc) + offset) & 0xFFFFFFFF


@inline
def adjusted(st: State, pointer: int) -> int:
    """A linear address sign-extended from the processor's width, as IA32_PL3_SSP takes SSP in long mode."""
    if rd64(st, EFER) & EFER_LMA == 0:
        return pointer
    unused = 7 if rd64(st, CR4_VALID) & CR4_LA57 else 16
    return (pointer << unused) >> unused


@inline
def check_jump(st: State, to_long: bool) -> int:
    """Far JMP to other code than 64-bit: SSP must be below 4 GiB."""
    if shadow_enabled(st, rd64(st, CPL)) and not to_long and shr(rd64(st, SSP), 32):
        return general_protection(st, 0)
    return OK


@inline
def level_pointer(st: State, level: int) -> int:
    """IA32_PLi_SSP of a supervisor level."""
    return rd64(st, PL0_SSP + 8 * level)


@inline
def check_token(st: State, pointer: int, to_long: int) -> int:
    """Whether a supervisor shadow stack may be switched to: its token must name it and not be busy."""
    if pointer & 7 or (pointer ^ (pointer - FRAME_BYTES)) & ~0x1F or (not to_long and shr(pointer, 32)):
        return general_protection(st, 0)
    token, status = load_shadow(st, pointer, 8)
    if status == OK:
        status = probe_shadow(st, pointer, 8)
    if status == OK and token != pointer:
        return general_protection(st, 0)
    return status


@inline
def push_record(st: State, pointer: int, selector: int, lip: int, old: int) -> int:
    """CS, LIP and SSP below `pointer`, which were probed."""
    status = store_shadow(st, pointer - 8, 8, selector)
    if status == OK:
        status = store_shadow(st, pointer - 16, 8, lip)
    if status == OK:
        status = store_shadow(st, pointer - 24, 8, old)
    return status


def shadow_enter(st: State, old_level_and_long: int, stack: int, selector: int, lip: int) -> int:
    """Far CALL, or an event: the new level is CPL. `old_level_and_long`: the old CPL, + 4 where the target is 64-bit
    code; `stack`: the shadow stack to switch to at the same level, or its own for another one; NO_STACK: none."""
    level, old_level, to_long = rd64(st, CPL), old_level_and_long & 3, old_level_and_long & 4
    old = rd64(st, SSP)
    leaves_user = level != old_level and old_level == 3 and shadow_enabled(st, 3)
    if not shadow_enabled(st, level):
        if leaves_user:
            wr64(st, PL3_SSP, adjusted(st, old))
        return OK
    pointer, status = old, OK
    if stack != NO_STACK:
        pointer = stack
        status = check_token(st, pointer, to_long)
    elif not to_long and shr(pointer, 32):
        return general_protection(st, 0)
    record = level == old_level or old_level != 3
    top = pointer & ~7
    if status == OK and record:
        if stack == NO_STACK:
            status = probe_shadow(st, pointer - 4, 4)
        if status == OK:
            status = probe_shadow(st, top - 8, 8)
        if status == OK:
            status = probe_shadow(st, top - 24, 8)
    if status != OK:
        return status
    if stack != NO_STACK:
        status = store_shadow(st, pointer, 8, pointer | BUSY)
    if status == OK and record:
        if stack == NO_STACK:
            status = store_shadow(st, pointer - 4, 4, 0)
        if status == OK:
            status = push_record(st, top, selector, lip, old)
        top -= FRAME_BYTES
    if status != OK:
        return status
    if leaves_user:
        wr64(st, PL3_SSP, adjusted(st, old))
    wr64(st, SSP, top)
    return OK


@inline
def enter_shadow(st: State, old_level: int, to_long: bool, stack: int, selector: int, lip: int) -> int:
    """Call `shadow_enter` where either level has a shadow stack."""
    if not (shadow_enabled(st, rd64(st, CPL)) or shadow_enabled(st, old_level)):
        return OK
    return _enter(st, old_level | 4 if to_long else old_level, stack, selector, lip)


@inline
def choose_shadow_stack(st: State, ist: int, old_level: int) -> tuple[int, int]:
    """(stack, status) for `enter_shadow` at the new CPL: from the table of interrupt shadow stacks, IA32_PLi_SSP, or
    none."""
    level = rd64(st, CPL)
    if not shadow_enabled(st, level):
        return NO_STACK, OK
    if ist != 0:
        status = slow_load(st, rd64(st, ISST) + 8 * ist, 8 | SUPERVISOR)
        return rd64(st, SLOW_VALUE), status
    if level != old_level:
        return level_pointer(st, level), OK
    return NO_STACK, OK


@inline
def free_token(st: State, pointer: int) -> int:
    """Clear the busy bit of the token at `pointer`, if it is there and set."""
    token, status = load_shadow(st, pointer, 8)
    if status == OK and token == pointer | BUSY:
        status = store_shadow(st, pointer, 8, pointer)
    return status


def shadow_leave(st: State, level_and_flags: int, selector: int, lip: int, to_long: int) -> int:
    """Far RET or IRET to `level`, before anything of it is committed: CPL is still the old one. `selector` and `lip`:
    where to; `to_long`: to 64-bit code."""
    level, old_level = level_and_flags & 3, rd64(st, CPL)
    outer = level != old_level
    from_shadow, to_shadow = shadow_enabled(st, old_level), shadow_enabled(st, level)
    pointer = rd64(st, SSP)
    restored = pointer
    if from_shadow:
        if pointer & 7:
            return control_protection(st, FAR_RET)
        if level != 3 or not outer:
            old_cs, status = load_shadow(st, pointer + 16, 8)
            if status != OK:
                return status
            old_lip, status = load_shadow(st, pointer + 8, 8)
            if status != OK:
                return status
            restored, status = load_shadow(st, pointer, 8)
            if status != OK:
                return status
            pointer += FRAME_BYTES
            if old_cs != selector or old_lip != lip or restored & 3:
                return control_protection(st, FAR_RET)
    if to_shadow:
        if outer and level == 3:
            restored = rd64(st, PL3_SSP)
        if (not to_long and shr(restored, 32)) or (to_long and not is_canonical(st, restored)):
            return general_protection(st, 0)
    if from_shadow:
        switched = level_and_flags & MAY_LEAVE_IST and rd64(st, EFER) & EFER_LMA and restored != pointer
        if outer or switched:
            status = slow_probe(st, pointer, 8 | SHADOW)
            if status == OK:
                status = free_token(st, pointer)
            if status != OK:
                return status
    if to_shadow:
        wr64(st, SSP, restored)
    return OK


@inline
def leave_shadow(st: State, level: int, selector: int, lip: int, to_long: bool, interrupt: bool) -> int:
    """Call `shadow_leave` where either level has a shadow stack; `interrupt`: IRET."""
    if not (shadow_enabled(st, rd64(st, CPL)) or shadow_enabled(st, level)):
        return OK
    return _leave(st, level | MAY_LEAVE_IST if interrupt else level, selector, lip, 1 if to_long else 0)


@inline
def leave_user(st: State) -> None:
    """SYSCALL and SYSENTER, CPL being 0 by now: the user's SSP is kept, the kernel sets its own (SETSSBSY)."""
    if shadow_enabled(st, 3):
        wr64(st, PL3_SSP, adjusted(st, rd64(st, SSP)))
    if shadow_enabled(st, 0):
        wr64(st, SSP, 0)


@inline
def enter_user_stack(st: State) -> None:
    """SYSRET and SYSEXIT."""
    if shadow_enabled(st, 3):
        wr64(st, SSP, rd64(st, PL3_SSP))
