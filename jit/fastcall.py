"""SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM Vol. 2B; APM Vol. 3 for SYSCALL and SYSRET outside 64-bit mode).

ARG[0]: 0 for SYSCALL and SYSRET, 1 for SYSENTER and SYSEXIT; ARG[2]: operand size in bytes of a return.
"""

from jit.cet import far_track
from jit.eflags import get_flags, put_flags
from jit.exits import OK
from jit.fault import DB, DR6_BS, debug_status, general_protection, pend_trap, undefined_opcode
from jit.flags import AC, DF, ID, IF, IOPL, NT, RF, STATUS, TF, VIF, VIP, VM
from jit.layout import (
    ARG,
    CPL,
    CR0,
    CS,
    CSTAR,
    EFER,
    LSTAR,
    MODE,
    MODE_64,
    NO_TRAP,
    RFL,
    RIP,
    SEG,
    SEG_ATTR,
    SEG_BASE,
    SEG_BYTES,
    SEG_LIMIT,
    SEG_SELECTOR,
    SFMASK,
    SS,
    STAR,
    SYSENTER_CS,
    SYSENTER_EIP,
    SYSENTER_ESP,
    VENDOR,
    VENDOR_INTEL,
    gpr,
)
from jit.mode import CR0_PE, long_mode_active, refresh
from jit.native import State, inline, rd64, shr, wr64
from jit.shadow_stack import enter_user_stack, leave_user
from jit.slow import is_canonical

EFER_SCE = 1
CODE64, CODE32, DATA = 0xA09B, 0xC09B, 0xC093   # attributes of the flat segments; DPL is added
DPL3 = 0x60
LOW = 0xFFFFFFFF
SYSRET_FLAGS = STATUS | TF | IF | DF | IOPL | NT | AC | VIF | VIP | ID
RCX, RDX, R11, RSP = gpr(1), gpr(2), gpr(11), gpr(4)


@inline
def set_flat(st: State, number: int, selector: int, attr: int) -> None:
    slot = SEG + SEG_BYTES * number
    wr64(st, slot + SEG_SELECTOR, selector & 0xFFFF)
    wr64(st, slot + SEG_BASE, 0)
    wr64(st, slot + SEG_LIMIT, LOW)
    wr64(st, slot + SEG_ATTR, attr)


@inline
def enter_kernel(st: State, selector: int, code: int) -> None:
    """CS and SS of CPL 0."""
    set_flat(st, CS, selector & 0xFFFC, code)
    set_flat(st, SS, (selector & 0xFFFC) + 8, DATA)
    wr64(st, CPL, 0)
    leave_user(st)
    far_track(st, 0)
    if rd64(st, RFL) & TF == 0:
        wr64(st, NO_TRAP, 1)            # TF counts as it is after SYSCALL, so that FMASK can mask the trap
    refresh(st)


@inline
def enter_user(st: State, code: int, stack: int, attr: int) -> None:
    """CS and SS of CPL 3."""
    set_flat(st, CS, code | 3, attr | DPL3)
    set_flat(st, SS, stack | 3, DATA | DPL3)
    wr64(st, CPL, 3)
    enter_user_stack(st)
    refresh(st)


@inline
def syscall(st: State) -> int:
    sixty_four = rd64(st, MODE) & 3 == MODE_64
    if rd64(st, EFER) & EFER_SCE == 0 or (not sixty_four and rd64(st, VENDOR) == VENDOR_INTEL):
        return undefined_opcode(st)
    star = rd64(st, STAR)
    wr64(st, RCX, rd64(st, RIP))
    if not long_mode_active(st):
        wr64(st, RIP, star & LOW)
        put_flags(st, 0, IF | VM | RF)
        enter_kernel(st, shr(star, 32), CODE32)
        return OK
    flags = get_flags(st)
    wr64(st, R11, flags)
    wr64(st, RIP, rd64(st, LSTAR) if sixty_four else rd64(st, CSTAR))
    put_flags(st, flags & ~rd64(st, SFMASK), rd64(st, SFMASK) | STATUS | RF)
    enter_kernel(st, shr(star, 32), CODE64)
    return OK


@inline
def sysenter(st: State) -> int:
    selector = rd64(st, SYSENTER_CS)
    if rd64(st, CR0) & CR0_PE == 0 or selector & 0xFFFC == 0:
        return general_protection(st, 0)
    if long_mode_active(st) and rd64(st, VENDOR) != VENDOR_INTEL:
        return undefined_opcode(st)
    mask = -1 if long_mode_active(st) else LOW
    put_flags(st, 0, IF | VM | RF)
    wr64(st, RIP, rd64(st, SYSENTER_EIP) & mask)
    wr64(st, RSP, rd64(st, SYSENTER_ESP) & mask)
    enter_kernel(st, selector, CODE64 if long_mode_active(st) else CODE32)
    return OK


def fast_call(st: State) -> int:
    if rd64(st, ARG) == 0:
        return syscall(st)
    return sysenter(st)


@inline
def sysret(st: State, size: int) -> int:
    sixty_four = rd64(st, MODE) & 3 == MODE_64
    if rd64(st, EFER) & EFER_SCE == 0 or (not sixty_four and rd64(st, VENDOR) == VENDOR_INTEL):
        return undefined_opcode(st)
    target = rd64(st, RCX)
    if rd64(st, CPL) != 0 or rd64(st, CR0) & CR0_PE == 0 or (size == 8 and not is_canonical(st, target)):
        return general_protection(st, 0)
    selector = shr(rd64(st, STAR), 48)
    if long_mode_active(st):
        put_flags(st, rd64(st, R11), SYSRET_FLAGS | RF)
        wr64(st, RFL, rd64(st, RFL) & ~RF)
    else:
        put_flags(st, IF, IF)
    if size == 8:
        wr64(st, RIP, target)
        enter_user(st, selector + 16, selector + 8, CODE64)
    else:
        wr64(st, RIP, target & LOW)
        enter_user(st, selector, selector + 8, CODE32)
    if rd64(st, RFL) & TF:              # as if the SYSCALL had just ended
        debug_status(st, DR6_BS)
        wr64(st, NO_TRAP, 1)
        pend_trap(st, DB)
    return OK


@inline
def sysexit(st: State, size: int) -> int:
    selector = rd64(st, SYSENTER_CS)
    if rd64(st, CR0) & CR0_PE == 0 or rd64(st, CPL) != 0 or selector & 0xFFFC == 0:
        return general_protection(st, 0)
    if long_mode_active(st) and rd64(st, VENDOR) != VENDOR_INTEL:
        return undefined_opcode(st)
    pointer, target = rd64(st, RCX), rd64(st, RDX)
    if size == 8:
        if not (is_canonical(st, pointer) and is_canonical(st, target)):
            return general_protection(st, 0)
        wr64(st, RSP, pointer)
        wr64(st, RIP, target)
        enter_user(st, selector + 32, selector + 40, CODE64)
    else:
        wr64(st, RSP, pointer & LOW)
        wr64(st, RIP, target & LOW)
        enter_user(st, selector + 16, selector + 24, CODE32)
    return OK


def fast_return(st: State) -> int:
    size = rd64(st, ARG + 16)
    if rd64(st, ARG) == 0:
        return sysret(st, size)
    return sysexit(st, size)
