"""Entering an interrupt or exception handler through the IVT or IDT (SDM Vol. 3A 6.12 to 6.14, 20.1.4, 20.3).

ARG[0] is the vector, ARG[1] ENTER_* bits, ARG[2] the error code. RIP is the return address. Nothing changes unless
the status is OK.
"""

from jit import run_slots
from jit.access import slow_load
from jit.cet import far_track
from jit.descriptor import (
    BIG,
    CONFORMING,
    INT16,
    INT_GATE,
    LONG,
    PRESENT,
    TASK_GATE,
    TRAP16,
    TRAP_GATE,
    attributes,
    fetch_code,
    is_code,
    kind,
    limit_of,
    privilege,
    set_null,
    set_real,
    set_segment,
    touch,
)
from jit.eflags import get_flags
from jit.exits import OK
from jit.fault import GP, NP, TS, fault_with_code, general_protection, selector_fault
from jit.flags import AC, IF, NT, RF, TF, VM
from jit.frame import (
    enter_privilege,
    find_inner_stack,
    load_stack_pointer,
    load_stack_segment,
    push_words,
    use_current_stack,
    use_flat_stack,
)
from jit.layout import (
    ARG,
    CPL,
    CR0,
    CS,
    DESC,
    DS,
    EFER,
    ES,
    FAULT_EXT,
    FRAME,
    FS,
    GS,
    IDTR_BASE,
    IDTR_LIMIT,
    MODE,
    MODE_64,
    NO_TRAP,
    RFL,
    RIP,
    SEG_BASE,
    SEG_LIMIT,
    SEG_SELECTOR,
    SLOW_VALUE,
    SS,
    STK_SP,
    TR,
    gpr,
    seg,
)
from jit.mode import CR0_PE, refresh
from jit.native import State, inline, rd64, shr, ult, wr64
from jit.paging import EFER_LMA
from jit.shadow_stack import choose_shadow_stack, enter_shadow, linear_ip
from jit.slots import call_slot
from jit.slow import SUPERVISOR, is_canonical

ENTER_SOFTWARE, ENTER_ERROR, ENTER_RESUME = 1, 2, 4     # INT n, INT3, INTO; pushes an error code; pushes RF = 1
SELECTOR_IDT = 2
RSP = gpr(4)
IST_OFFSET = 28                                         # of IST0, which does not exist, in a 64-bit TSS


@inline
def enter(st: State, vector: int, how: int, error: int) -> int:
    """Enter the handler of a vector in whatever mode this is."""
    wr64(st, ARG, vector)
    wr64(st, ARG + 8, how)
    wr64(st, ARG + 16, error)
    slot = run_slots.ENTER_LEGACY
    if not rd64(st, CR0) & CR0_PE:
        slot = run_slots.ENTER_REAL
    elif rd64(st, EFER) & EFER_LMA:
        slot = run_slots.ENTER_LONG
    return call_slot(st, slot)


@inline
def frame_word(st: State, index: int, value: int) -> int:
    wr64(st, FRAME + 8 * index, value)
    return index + 1


@inline
def return_words(st: State, count: int, how: int) -> int:
    """Append flags, CS, RIP and the error code, if any, to the frame; gives its new length."""
    flags = get_flags(st)
    if how & ENTER_RESUME:
        flags |= RF
    count = frame_word(st, count, flags)
    count = frame_word(st, count, rd64(st, seg(CS, SEG_SELECTOR)))
    count = frame_word(st, count, rd64(st, RIP))
    if how & ENTER_ERROR:
        count = frame_word(st, count, rd64(st, ARG + 16))
    return count


@inline
def clear_flags(st: State, flags: int) -> None:
    wr64(st, RFL, rd64(st, RFL) & ~flags)
    wr64(st, NO_TRAP, 1)


def enter_real(st: State) -> int:
    """Through the interrupt vector table, wherever IDTR puts it."""
    vector = rd64(st, ARG)
    if ult(rd64(st, IDTR_LIMIT), 4 * vector + 3):
        return general_protection(st, SELECTOR_IDT | 8 * vector)
    status = slow_load(st, rd64(st, IDTR_BASE) + 4 * vector, 4 | SUPERVISOR)
    if status != OK:
        return status
    target = rd64(st, SLOW_VALUE)
    count = return_words(st, 0, rd64(st, ARG + 8) & ~(ENTER_ERROR | ENTER_RESUME))
    use_current_stack(st)
    status = push_words(st, count, 2)
    if status != OK:
        return status
    load_stack_pointer(st)
    set_real(st, CS, shr(target, 16))
    wr64(st, RIP, target & 0xFFFF)
    clear_flags(st, IF | TF | AC | RF)
    refresh(st)
    return OK


@inline
def gate_fault(st: State, vector: int, number: int) -> int:
    """An exception about an IDT entry."""
    return fault_with_code(st, vector, 8 * number | SELECTOR_IDT | rd64(st, FAULT_EXT))


@inline
def check_gate(st: State, attr: int, vector: int) -> int:
    """Privilege and presence of a gate."""
    if rd64(st, ARG + 8) & ENTER_SOFTWARE and privilege(attr) < rd64(st, CPL):
        return gate_fault(st, GP, vector)
    if attr & PRESENT == 0:
        return gate_fault(st, NP, vector)
    return OK


@inline
def check_handler(st: State, selector: int) -> int:
    """Read and check the handler's code segment."""
    status = fetch_code(st, selector)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    if not is_code(attr) or privilege(attr) > rd64(st, CPL):
        return selector_fault(st, GP, selector)
    if attr & PRESENT == 0:
        return selector_fault(st, NP, selector)
    return OK


def enter_legacy(st: State) -> int:
    """Through a 16- or 32-bit gate of the IDT, outside long mode."""
    vector = rd64(st, ARG)
    if ult(rd64(st, IDTR_LIMIT), 8 * vector + 7):
        return gate_fault(st, GP, vector)
    status = slow_load(st, rd64(st, IDTR_BASE) + 8 * vector, 8 | SUPERVISOR)
    if status != OK:
        return status
    gate = rd64(st, SLOW_VALUE)
    gate_attr = attributes(gate)
    gate_kind = kind(gate_attr)
    if (gate_kind != TASK_GATE and gate_kind != INT16 and gate_kind != TRAP16 and gate_kind != INT_GATE
            and gate_kind != TRAP_GATE):
        return gate_fault(st, GP, vector)
    status = check_gate(st, gate_attr, vector)
    if status != OK:
        return status
    selector = shr(gate, 16) & 0xFFFF
    if gate_kind == TASK_GATE:
        wr64(st, ARG, selector)
        return call_slot(st, run_slots.TASK_INTERRUPT)
    status = check_handler(st, selector)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    level, virtual = rd64(st, CPL), rd64(st, RFL) & VM
    new_level = level if attr & CONFORMING else privilege(attr)
    if virtual and new_level != 0:
        return selector_fault(st, GP, selector)
    status = touch(st)
    if status != OK:
        return status
    code = rd64(st, DESC)
    offset = gate & 0xFFFF
    size = 2
    if gate_kind & 8:
        offset |= shr(gate, 48) << 16
        size = 4
    if ult(limit_of(code), offset):
        return general_protection(st, rd64(st, FAULT_EXT))
    count = 0
    if new_level < level:
        status = find_inner_stack(st, new_level)
        if status != OK:
            return status
        if virtual:
            count = frame_word(st, count, rd64(st, seg(GS, SEG_SELECTOR)))
            count = frame_word(st, count, rd64(st, seg(FS, SEG_SELECTOR)))
            count = frame_word(st, count, rd64(st, seg(DS, SEG_SELECTOR)))
            count = frame_word(st, count, rd64(st, seg(ES, SEG_SELECTOR)))
        count = frame_word(st, count, rd64(st, seg(SS, SEG_SELECTOR)))
        count = frame_word(st, count, rd64(st, RSP))
    else:
        use_current_stack(st)
    count = return_words(st, count, rd64(st, ARG + 8))
    lip = linear_ip(st)
    enter_privilege(st, new_level)
    if virtual:
        clear_flags(st, VM)
    status = push_words(st, count, size)
    if status == OK:
        stack, status = choose_shadow_stack(st, 0, level)
        if status == OK:
            status = enter_shadow(st, level, False, stack, rd64(st, seg(CS, SEG_SELECTOR)), lip)
    if status != OK:
        wr64(st, RFL, rd64(st, RFL) | virtual)
        enter_privilege(st, level)
        return status
    far_track(st, new_level)
    set_segment(st, CS, (selector & 0xFFFC) | new_level, code)
    if new_level < level:
        load_stack_segment(st)
    load_stack_pointer(st)
    wr64(st, RIP, offset)
    clear_flags(st, TF | NT | VM | RF)
    if gate_kind & 1 == 0:
        clear_flags(st, IF)
    if virtual:
        for number in range(6):
            if number != CS and number != SS:
                set_null(st, number, 0)
    refresh(st)
    return OK


@inline
def choose_long_stack(st: State, ist: int, level: int, new_level: int) -> int:
    """STK_* = the stack that a 64-bit handler starts on, before alignment."""
    if ist != 0:
        at = IST_OFFSET + 8 * ist
        if ult(rd64(st, seg(TR, SEG_LIMIT)), at + 7):
            return selector_fault(st, TS, rd64(st, seg(TR, SEG_SELECTOR)))
        status = slow_load(st, rd64(st, seg(TR, SEG_BASE)) + at, 8 | SUPERVISOR)
        if status == OK:
            use_flat_stack(st, 0, rd64(st, SLOW_VALUE))
        return status
    if new_level < level:
        return find_inner_stack(st, new_level)
    use_flat_stack(st, 0, rd64(st, RSP))
    return OK


def enter_long(st: State) -> int:
    """Through a 64-bit gate of the IDT."""
    vector = rd64(st, ARG)
    if ult(rd64(st, IDTR_LIMIT), 16 * vector + 15):
        return gate_fault(st, GP, vector)
    status = slow_load(st, rd64(st, IDTR_BASE) + 16 * vector + 8, 8 | SUPERVISOR)
    if status != OK:
        return status
    offset = rd64(st, SLOW_VALUE) << 32
    status = slow_load(st, rd64(st, IDTR_BASE) + 16 * vector, 8 | SUPERVISOR)
    if status != OK:
        return status
    gate = rd64(st, SLOW_VALUE)
    gate_attr = attributes(gate)
    gate_kind = kind(gate_attr)
    if gate_kind != INT_GATE and gate_kind != TRAP_GATE:
        return gate_fault(st, GP, vector)
    status = check_gate(st, gate_attr, vector)
    if status != OK:
        return status
    selector = shr(gate, 16) & 0xFFFF
    status = check_handler(st, selector)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    if attr & (LONG | BIG) != LONG:
        return selector_fault(st, GP, selector)
    status = touch(st)
    if status != OK:
        return status
    code = rd64(st, DESC)
    offset |= (gate & 0xFFFF) | (shr(gate, 48) << 16)
    if not is_canonical(st, offset):
        return general_protection(st, rd64(st, FAULT_EXT))
    level = rd64(st, CPL)
    new_level = level if attr & CONFORMING else privilege(attr)
    ist = shr(gate, 32) & 7
    status = choose_long_stack(st, ist, level, new_level)
    if status != OK:
        return status
    wr64(st, STK_SP, rd64(st, STK_SP) & -16)
    count = frame_word(st, 0, rd64(st, seg(SS, SEG_SELECTOR)))
    count = frame_word(st, count, rd64(st, RSP))
    count = return_words(st, count, rd64(st, ARG + 8))
    enter_privilege(st, new_level)
    lip = linear_ip(st)
    wr64(st, MODE, MODE_64)
    status = push_words(st, count, 8)
    if status == OK:
        stack, status = choose_shadow_stack(st, ist, level)
        if status == OK:
            status = enter_shadow(st, level, True, stack, rd64(st, seg(CS, SEG_SELECTOR)), lip)
    if status != OK:
        wr64(st, CPL, level)
        refresh(st)
        return status
    far_track(st, new_level)
    set_segment(st, CS, (selector & 0xFFFC) | new_level, code)
    if new_level < level:
        set_null(st, SS, new_level)
    load_stack_pointer(st)
    wr64(st, RIP, offset)
    clear_flags(st, TF | NT | RF)
    if gate_kind & 1 == 0:
        clear_flags(st, IF)
    refresh(st)
    return OK
