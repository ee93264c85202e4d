"""IRET in all its forms but the return from a nested task (SDM Vol. 2A IRET, Vol. 3A 6.12.1, 6.14.3, 20.2).

ARG[2]: operand size in bytes.
"""

from numba import types

from jit import run_slots
from jit.cet import ENDBR_EN, SH_STK_EN, enabled
from jit.descriptor import LONG, attributes, set_segment, set_virtual
from jit.eflags import LOW_WORD, io_privilege, loadable_flags, put_flags
from jit.exits import OK
from jit.far import (
    check_return_code,
    choose_return_stack,
    enter_unprotected,
    is_long,
    return_outer,
)
from jit.fault import general_protection
from jit.flags import IOPL, NT, VIF, VIP, VM
from jit.frame import RSP, enter_privilege, load_stack_pointer, load_stack_segment, pop_words, use_current_stack
from jit.layout import (
    ARG,
    CPL,
    CR0,
    CR4,
    CS,
    DESC,
    DS,
    ES,
    FRAME,
    FS,
    GS,
    NMI_BLOCKED,
    RFL,
    RIP,
    SEG_LIMIT,
    SS,
    seg,
)
from jit.mode import CR0_PE, long_mode_active, refresh
from jit.native import State, inline, rd64, ult, wr64
from jit.shadow_stack import leave_shadow, target_ip
from jit.slots import call_slot
from jit.virtual_interrupts import CR4_VME

LOW = 0xFFFFFFFF
_virtual_return = types.ExternalFunction("strata_virtual_return", types.int64(types.voidptr))


@inline
def sized(mask: int, size: int) -> int:
    """16-bit IRET leaves the upper flags alone."""
    return mask & LOW_WORD if size == 2 else mask


@inline
def iret_unprotected(st: State, size: int) -> int:
    """Real mode, and virtual-8086 mode without VME."""
    virtual = rd64(st, RFL) & VM != 0
    if virtual and io_privilege(st) < 3:
        if size == 2 and rd64(st, CR4) & CR4_VME:
            return _virtual_return(st)
        return general_protection(st, 0)
    use_current_stack(st)
    status = pop_words(st, 0, 3, size)
    if status != OK:
        return status
    offset = rd64(st, FRAME)
    if ult(rd64(st, seg(CS, SEG_LIMIT)), offset):
        return general_protection(st, 0)
    mask = loadable_flags(st) & ~(VIF | VIP)
    if virtual:
        mask &= ~IOPL
    load_stack_pointer(st)
    put_flags(st, rd64(st, FRAME + 16), sized(mask, size))
    wr64(st, NMI_BLOCKED, 0)
    return enter_unprotected(st, rd64(st, FRAME + 8) & 0xFFFF, offset)


def iret(st: State) -> int:
    """Outside 64-bit mode."""
    size = rd64(st, ARG + 16)
    if rd64(st, CR0) & CR0_PE == 0 or rd64(st, RFL) & VM:
        return iret_unprotected(st, size)
    if rd64(st, RFL) & NT:
        if long_mode_active(st):
            return general_protection(st, 0)
        return call_slot(st, run_slots.TASK_RETURN)
    use_current_stack(st)
    status = pop_words(st, 0, 3, size)
    if status != OK:
        return status
    offset, selector, flags = rd64(st, FRAME), rd64(st, FRAME + 8) & 0xFFFF, rd64(st, FRAME + 16)
    if size == 4 and flags & VM and rd64(st, CPL) == 0 and not long_mode_active(st):
        return call_slot(st, run_slots.IRET_VM86)
    status = check_return_code(st, selector, offset)
    if status != OK:
        return status
    level, code = selector & 3, rd64(st, DESC)
    mask = sized(loadable_flags(st), size)
    to_long = is_long(st, code)
    lip = target_ip(code, offset, to_long)
    if level != rd64(st, CPL):
        status = pop_words(st, 3, 2, size)
        if status != OK:
            return status
        status = choose_return_stack(st, rd64(st, FRAME + 32) & 0xFFFF, rd64(st, FRAME + 24), level, to_long)
        if status == OK:
            status = leave_shadow(st, level, selector, lip, to_long, True)
        if status != OK:
            return status
        put_flags(st, flags, mask)
        return_outer(st, code, selector, offset, level)
    else:
        status = leave_shadow(st, level, selector, lip, to_long, True)
        if status != OK:
            return status
        load_stack_pointer(st)
        put_flags(st, flags, mask)
        set_segment(st, CS, selector, code)
        wr64(st, RIP, offset)
        refresh(st)
    wr64(st, NMI_BLOCKED, 0)
    return OK


def iret_long(st: State) -> int:
    """In 64-bit mode: SS:RSP is always popped."""
    size = rd64(st, ARG + 16)
    if rd64(st, RFL) & NT:
        return general_protection(st, 0)
    use_current_stack(st)
    status = pop_words(st, 0, 5, size)
    if status != OK:
        return status
    offset, selector, flags = rd64(st, FRAME), rd64(st, FRAME + 8) & 0xFFFF, rd64(st, FRAME + 16)
    status = check_return_code(st, selector, offset)
    if status != OK:
        return status
    level, code = selector & 3, rd64(st, DESC)
    to_long = attributes(code) & LONG != 0
    status = choose_return_stack(st, rd64(st, FRAME + 32) & 0xFFFF, rd64(st, FRAME + 24), level, to_long)
    if status == OK:
        status = leave_shadow(st, level, selector, target_ip(code, offset, to_long), to_long, True)
    if status != OK:
        return status
    put_flags(st, flags, sized(loadable_flags(st), size))
    if level != rd64(st, CPL):
        return_outer(st, code, selector, offset, level)
    else:
        set_segment(st, CS, selector, code)
        load_stack_segment(st)
        wr64(st, RIP, offset)
        refresh(st)
    pointer = rd64(st, FRAME + 24)
    wr64(st, RSP, pointer if to_long or size == 8 else pointer & LOW)
    wr64(st, NMI_BLOCKED, 0)
    return OK


def iret_vm86(st: State) -> int:
    """To virtual-8086 mode: EIP, CS and EFLAGS are in FRAME, the stack pointer is past them."""
    status = pop_words(st, 3, 6, 4)
    if status != OK:
        return status
    if ult(0xFFFF, rd64(st, FRAME)) or enabled(st, 3, SH_STK_EN | ENDBR_EN):
        return general_protection(st, 0)
    status = leave_shadow(st, 3, 0, 0, False, True)
    if status != OK:
        return status
    put_flags(st, rd64(st, FRAME + 16), loadable_flags(st) | VM)
    wr64(st, RSP, rd64(st, FRAME + 24))
    set_virtual(st, CS, rd64(st, FRAME + 8) & 0xFFFF)
    set_virtual(st, SS, rd64(st, FRAME + 32) & 0xFFFF)
    set_virtual(st, ES, rd64(st, FRAME + 40) & 0xFFFF)
    set_virtual(st, DS, rd64(st, FRAME + 48) & 0xFFFF)
    set_virtual(st, FS, rd64(st, FRAME + 56) & 0xFFFF)
    set_virtual(st, GS, rd64(st, FRAME + 64) & 0xFFFF)
    wr64(st, RIP, rd64(st, FRAME))
    enter_privilege(st, 3)
    refresh(st)
    wr64(st, NMI_BLOCKED, 0)
    return OK
