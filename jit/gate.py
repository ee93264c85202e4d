"""Far JMP and CALL through call gates (SDM Vol. 3A 5.8.3 to 5.8.5), and the way to task switches.

ARG[0] is the gate's selector, whose descriptor is in DESC; ARG[3] is 1 for CALL.
"""

from jit import run_slots
from jit.cet import far_track
from jit.descriptor import (
    BIG,
    CALL16,
    CALL_GATE,
    CONFORMING,
    LONG,
    PRESENT,
    TASK_GATE,
    TSS16_FREE,
    TSS_FREE,
    attributes,
    fetch,
    fetch_code,
    is_code,
    kind,
    privilege,
    set_null,
    set_segment,
    touch,
)
from jit.exits import FAULT, OK
from jit.far import check_target
from jit.fault import GP, NP, selector_fault
from jit.frame import (
    RSP,
    enter_privilege,
    find_inner_stack,
    load_stack_pointer,
    load_stack_segment,
    pop_words,
    push_words,
    use_current_stack,
    use_flat_stack,
)
from jit.layout import (
    ARG,
    CPL,
    CS,
    DESC,
    FAULT_VECTOR,
    FRAME,
    MODE,
    MODE_64,
    RIP,
    SEG_SELECTOR,
    SS,
    seg,
)
from jit.mode import long_mode_active, refresh
from jit.native import State, inline, rd64, shr, wr64
from jit.shadow_stack import choose_shadow_stack, enter_shadow, linear_ip
from jit.slots import call_slot


@inline
def check_gate(st: State, selector: int, attr: int) -> int:
    level = rd64(st, CPL)
    if privilege(attr) < level or privilege(attr) < selector & 3:
        return selector_fault(st, GP, selector)
    if attr & PRESENT == 0:
        return selector_fault(st, NP, selector)
    return OK


@inline
def upper_offset(st: State, selector: int) -> tuple[int, int]:
    """(bits 63:32 of a 64-bit gate's offset, status)."""
    status = fetch(st, selector + 8, GP)
    if status == OK and shr(rd64(st, DESC), 40) & 0x1F == 0:
        return rd64(st, DESC) << 32, OK
    if status == OK or (status == FAULT and rd64(st, FAULT_VECTOR) == GP):
        return 0, selector_fault(st, GP, selector)
    return 0, status


@inline
def check_code(st: State, selector: int, call: int) -> int:
    """The code segment that a gate names, whose descriptor stays in DESC."""
    status = fetch_code(st, selector)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    level, dpl = rd64(st, CPL), privilege(attr)
    if not is_code(attr) or dpl > level or (not call and attr & CONFORMING == 0 and dpl != level):
        return selector_fault(st, GP, selector)
    if long_mode_active(st) and attr & (LONG | BIG) != LONG:
        return selector_fault(st, GP, selector)
    if attr & PRESENT == 0:
        return selector_fault(st, NP, selector)
    return OK


@inline
def gather_frame(st: State, gate: int, size: int, inner: int, level: int) -> tuple[int, int]:
    """(words, status): FRAME and STK_* of a call, parameters copied from the stack of the caller."""
    count = 0
    if inner:
        parameters = 0
        if not long_mode_active(st):
            parameters = shr(gate, 32) & 0x1F
        use_current_stack(st)
        status = pop_words(st, 2, parameters, size)
        if status != OK:
            return 0, status
        for i in range(parameters >> 1):                # the one pushed first was pushed first by the caller too
            first, last = FRAME + 8 * (2 + i), FRAME + 8 * (1 + parameters - i)
            word = rd64(st, first)
            wr64(st, first, rd64(st, last))
            wr64(st, last, word)
        wr64(st, FRAME, rd64(st, seg(SS, SEG_SELECTOR)))
        wr64(st, FRAME + 8, rd64(st, RSP))
        count = 2 + parameters
        status = find_inner_stack(st, level)
        if status != OK:
            return 0, status
    elif long_mode_active(st):
        use_flat_stack(st, 0, rd64(st, RSP))
    else:
        use_current_stack(st)
    wr64(st, FRAME + 8 * count, rd64(st, seg(CS, SEG_SELECTOR)))
    wr64(st, FRAME + 8 * count + 8, rd64(st, RIP))
    return count + 2, OK


@inline
def push_call(st: State, count: int, size: int, level: int) -> int:
    """Push the frame with the rights of the new level; on failure everything is as before."""
    old, lip = rd64(st, CPL), linear_ip(st)
    enter_privilege(st, level)
    if long_mode_active(st):
        wr64(st, MODE, MODE_64)
    status = push_words(st, count, size)
    if status == OK:
        stack, status = choose_shadow_stack(st, 0, old)
        if status == OK:
            selector = rd64(st, seg(CS, SEG_SELECTOR))
            status = enter_shadow(st, old, long_mode_active(st), stack, selector, lip)
    if status != OK:
        wr64(st, CPL, old)
        refresh(st)
    return status


def gate_call(st: State) -> int:
    selector, call = rd64(st, ARG), rd64(st, ARG + 24) != 0
    gate = rd64(st, DESC)
    attr = attributes(gate)
    gate_kind, sixty_four = kind(attr), long_mode_active(st)
    is_task = gate_kind == TASK_GATE or gate_kind == TSS_FREE or gate_kind == TSS16_FREE
    if gate_kind != CALL_GATE and (sixty_four or (gate_kind != CALL16 and not is_task)):
        return selector_fault(st, GP, selector)
    status = check_gate(st, selector, attr)
    if status != OK:
        return status
    if is_task:
        return call_slot(st, run_slots.TASK_SWITCH)
    offset = gate & 0xFFFF
    size = 2
    if gate_kind == CALL_GATE:
        offset |= shr(gate, 48) << 16
        size = 4
    if sixty_four:
        upper, status = upper_offset(st, selector)
        if status != OK:
            return status
        offset |= upper
        size = 8
    target = shr(gate, 16) & 0xFFFF
    status = check_code(st, target, call)
    if status == OK:
        status = check_target(st, rd64(st, DESC), offset)
    if status == OK:
        status = touch(st)
    if status != OK:
        return status
    code = rd64(st, DESC)
    level = rd64(st, CPL)
    new_level = level if attributes(code) & CONFORMING else privilege(attributes(code))
    if call:
        count, status = gather_frame(st, gate, size, new_level < level, new_level)
        if status == OK:
            status = push_call(st, count, size, new_level)
        if status != OK:
            return status
        if new_level < level:
            if sixty_four:
                set_null(st, SS, new_level)
            else:
                load_stack_segment(st)
        load_stack_pointer(st)
    far_track(st, new_level)
    set_segment(st, CS, (target & 0xFFFC) | new_level, code)
    wr64(st, RIP, offset)
    refresh(st)
    return OK
