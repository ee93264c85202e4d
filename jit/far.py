"""Far JMP, CALL and RET without gates (SDM Vol. 2A CALL, JMP; Vol. 2B RET; Vol. 3A 5.8).

ARG[0]: selector; ARG[1]: offset, zero-extended from the operand size; ARG[2]: operand size in bytes. Call gates, task
gates and TSSs are in jit/gate.py and jit/task.py.
"""

from jit import run_slots
from jit.cet import far_track
from jit.descriptor import (
    BIG,
    CODE,
    CODE_OR_DATA,
    CONFORMING,
    LONG,
    PRESENT,
    attributes,
    drop_segment,
    fetch,
    fetch_code,
    is_code,
    is_null,
    is_writable_data,
    limit_of,
    privilege,
    set_real,
    set_segment,
    set_virtual,
    touch,
)
from jit.exits import OK
from jit.fault import GP, NP, general_protection, selector_fault
from jit.fault import SS as STACK_EXCEPTION
from jit.flags import VM
from jit.frame import (
    enter_privilege,
    load_stack_pointer,
    load_stack_segment,
    moved,
    pop_words,
    push_words,
    use_current_stack,
    use_flat_stack,
    use_stack_segment,
)
from jit.layout import (
    ARG,
    CPL,
    CS,
    DESC,
    FRAME,
    RFL,
    RIP,
    SEG,
    SEG_ATTR,
    SEG_BYTES,
    SEG_LIMIT,
    SEG_SELECTOR,
    SS,
    STK_SP,
    seg,
)
from jit.mode import long_mode_active, protected, refresh
from jit.native import State, inline, rd64, ult, wr64
from jit.shadow_stack import NO_STACK, check_jump, enter_shadow, leave_shadow, linear_ip, target_ip
from jit.slots import call_slot
from jit.slow import is_canonical

CALL = 1                                # ARG[3] of a transfer through a gate: it is a call


@inline
def check_target(st: State, desc: int, offset: int) -> int:
    """Whether a code segment may be entered at an offset: OK, or #GP."""
    attr = attributes(desc)
    if long_mode_active(st) and attr & LONG:
        if not is_canonical(st, offset):
            return general_protection(st, 0)
    elif ult(limit_of(desc), offset):
        return general_protection(st, 0)
    return OK


@inline
def is_long(st: State, desc: int) -> bool:
    """Whether a code segment is a 64-bit one."""
    return long_mode_active(st) and attributes(desc) & LONG != 0


@inline
def check_size_bits(st: State, attr: int, selector: int) -> int:
    """L and D are never both set in long mode."""
    if long_mode_active(st) and attr & (LONG | BIG) == LONG | BIG:
        return selector_fault(st, GP, selector)
    return OK


@inline
def check_direct(st: State, selector: int, offset: int) -> int:
    """Everything about a direct far jump or call to a code segment whose descriptor is in DESC."""
    attr = attributes(rd64(st, DESC))
    level, dpl = rd64(st, CPL), privilege(attr)
    if dpl > level or (attr & CONFORMING == 0 and (dpl != level or selector & 3 > level)):
        return selector_fault(st, GP, selector)
    status = check_size_bits(st, attr, selector)
    if status != OK:
        return status
    if attr & PRESENT == 0:
        return selector_fault(st, NP, selector)
    status = check_target(st, rd64(st, DESC), offset)
    if status != OK:
        return status
    return touch(st)


@inline
def set_unprotected(st: State, number: int, selector: int) -> None:
    """Load a segment register in real or virtual-8086 mode."""
    if rd64(st, RFL) & VM:
        set_virtual(st, number, selector)
    else:
        set_real(st, number, selector)


@inline
def enter_unprotected(st: State, selector: int, offset: int) -> int:
    """CS:IP in real or virtual-8086 mode."""
    set_unprotected(st, CS, selector)
    wr64(st, RIP, offset)
    refresh(st)
    return OK


@inline
def through_gate(st: State, call: int) -> int:
    wr64(st, ARG + 24, call)
    return call_slot(st, run_slots.GATE_CALL)


def far_jump(st: State) -> int:
    selector, offset = rd64(st, ARG) & 0xFFFF, rd64(st, ARG + 8)
    if not protected(st):
        if ult(rd64(st, seg(CS, SEG_LIMIT)), offset):
            return general_protection(st, 0)
        return enter_unprotected(st, selector, offset)
    status = fetch_code(st, selector)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    if attr & CODE_OR_DATA == 0:
        return through_gate(st, 0)
    if not is_code(attr):
        return selector_fault(st, GP, selector)
    status = check_direct(st, selector, offset)
    if status == OK:
        status = check_jump(st, is_long(st, rd64(st, DESC)))
    if status != OK:
        return status
    far_track(st, rd64(st, CPL))
    set_segment(st, CS, (selector & 0xFFFC) | rd64(st, CPL), rd64(st, DESC))
    wr64(st, RIP, offset)
    refresh(st)
    return OK


def far_call(st: State) -> int:
    selector, offset = rd64(st, ARG) & 0xFFFF, rd64(st, ARG + 8)
    if not protected(st):
        if ult(rd64(st, seg(CS, SEG_LIMIT)), offset):
            return general_protection(st, 0)
    else:
        status = fetch_code(st, selector)
        if status != OK:
            return status
        attr = attributes(rd64(st, DESC))
        if attr & CODE_OR_DATA == 0:
            return through_gate(st, CALL)
        if not is_code(attr):
            return selector_fault(st, GP, selector)
        status = check_direct(st, selector, offset)
        if status != OK:
            return status
    wr64(st, FRAME, rd64(st, seg(CS, SEG_SELECTOR)))
    wr64(st, FRAME + 8, rd64(st, RIP))
    use_current_stack(st)
    status = push_words(st, 2, rd64(st, ARG + 16))
    if status == OK and protected(st):
        level, old = rd64(st, CPL), rd64(st, seg(CS, SEG_SELECTOR))
        status = enter_shadow(st, level, is_long(st, rd64(st, DESC)), NO_STACK, old, linear_ip(st))
    if status != OK:
        return status
    load_stack_pointer(st)
    if not protected(st):
        return enter_unprotected(st, selector, offset)
    far_track(st, rd64(st, CPL))
    set_segment(st, CS, (selector & 0xFFFC) | rd64(st, CPL), rd64(st, DESC))
    wr64(st, RIP, offset)
    refresh(st)
    return OK


@inline
def check_return_code(st: State, selector: int, offset: int) -> int:
    """CS of a far return or IRET, whose descriptor stays in DESC."""
    status = fetch_code(st, selector)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    level, dpl, rpl = rd64(st, CPL), privilege(attr), selector & 3
    if rpl < level or not is_code(attr) or dpl > rpl or (attr & CONFORMING == 0 and dpl != rpl):
        return selector_fault(st, GP, selector)
    status = check_size_bits(st, attr, selector)
    if status != OK:
        return status
    if attr & PRESENT == 0:
        return selector_fault(st, NP, selector)
    status = check_target(st, rd64(st, DESC), offset)
    if status != OK:
        return status
    return touch(st)


@inline
def choose_return_stack(st: State, selector: int, pointer: int, level: int, to_long: int) -> int:
    """STK_* = the SS:RSP that a return to `level` popped; `to_long`: to 64-bit mode."""
    if is_null(selector):
        if not to_long or level == 3 or selector & 3 != level:
            return general_protection(st, 0)
        use_flat_stack(st, selector, pointer)
        return OK
    status = fetch(st, selector, GP)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    if selector & 3 != level or privilege(attr) != level or not is_writable_data(attr):
        return selector_fault(st, GP, selector)
    if attr & PRESENT == 0:
        return selector_fault(st, STACK_EXCEPTION, selector)
    status = touch(st)
    if status != OK:
        return status
    use_stack_segment(st, selector, rd64(st, DESC), pointer)
    return OK


@inline
def drop_inner_segments(st: State, level: int) -> None:
    """A return to an outer level empties data segment registers that it may not hold (SDM Vol. 2B RET). Those that hold
    a null selector keep the base that WRMSR or WRFSBASE gave them."""
    for number in range(6):
        if number != CS and number != SS:
            attr = rd64(st, SEG + SEG_BYTES * number + SEG_ATTR)
            conforming = attr & (CODE_OR_DATA | CODE | CONFORMING) == CODE_OR_DATA | CODE | CONFORMING
            if attr & PRESENT and not conforming and privilege(attr) < level:
                drop_segment(st, number)


@inline
def return_outer(st: State, code: int, selector: int, offset: int, level: int) -> None:
    """Commit a return to an outer level on the stack of STK_*."""
    set_segment(st, CS, selector, code)
    load_stack_segment(st)
    load_stack_pointer(st)
    wr64(st, RIP, offset)
    enter_privilege(st, level)
    drop_inner_segments(st, level)
    refresh(st)


def far_return(st: State) -> int:
    """ARG[0]: bytes to release; ARG[2]: operand size in bytes."""
    release, size = rd64(st, ARG), rd64(st, ARG + 16)
    use_current_stack(st)
    status = pop_words(st, 0, 2, size)
    if status != OK:
        return status
    offset, selector = rd64(st, FRAME), rd64(st, FRAME + 8) & 0xFFFF
    wr64(st, STK_SP, moved(st, rd64(st, STK_SP), release))
    if not protected(st):
        if ult(rd64(st, seg(CS, SEG_LIMIT)), offset):
            return general_protection(st, 0)
        load_stack_pointer(st)
        return enter_unprotected(st, selector, offset)
    status = check_return_code(st, selector, offset)
    if status != OK:
        return status
    level, code = selector & 3, rd64(st, DESC)
    to_long = is_long(st, code)
    lip = target_ip(code, offset, to_long)
    if level == rd64(st, CPL):
        status = leave_shadow(st, level, selector, lip, to_long, False)
        if status != OK:
            return status
        load_stack_pointer(st)
        set_segment(st, CS, selector, code)
        wr64(st, RIP, offset)
        refresh(st)
        return OK
    status = pop_words(st, 2, 2, size)
    if status != OK:
        return status
    status = choose_return_stack(st, rd64(st, FRAME + 24) & 0xFFFF, rd64(st, FRAME + 16), level, to_long)
    if status == OK:
        status = leave_shadow(st, level, selector, lip, to_long, False)
    if status != OK:
        return status
    wr64(st, STK_SP, moved(st, rd64(st, STK_SP), release))
    return_outer(st, code, selector, offset, level)
    return OK
