"""Hardware task switches (SDM Vol. 3A chapter 7): by far JMP and CALL, task gates in the IDT, and IRET with NT set.

The checks of steps 1 to 5 of SDM 7.3 and every access to the two TSSs come first and fault in the old task. Then the
new task is committed, and what is wrong with its segments faults there: such a fault is left pending while the switch
itself counts as done.
"""

from numba import types

from jit import task_shadow
from jit.access import slow_load, slow_probe, slow_store
from jit.control_registers import load_pdptes, uses_pdptes
from jit.descriptor import (
    BUSY,
    CODE_OR_DATA,
    CONFORMING,
    LDT,
    PRESENT,
    TASK_GATE,
    TSS16_FREE,
    TSS_FREE,
    attributes,
    base_of,
    fetch,
    is_code,
    is_null,
    is_writable_data,
    kind,
    limit_of,
    privilege,
    set_null,
    set_segment,
    set_virtual,
    touch,
)
from jit.eflags import get_flags, put_flags
from jit.enter import ENTER_ERROR, ENTER_RESUME
from jit.exits import FAULT, KIND_FAULT, OK
from jit.fault import DB, GP, NP, TS, debug_status, general_protection, pend_trap, selector_fault
from jit.fault import SS as STACK_EXCEPTION
from jit.flags import NT, RF, VM
from jit.frame import enter_privilege, load_stack_pointer, push_words, use_current_stack
from jit.layout import (
    ARG,
    CPL,
    CR0,
    CR3,
    CR4,
    CS,
    DESC,
    DESC_AT,
    DR7,
    EFER,
    FAULT_KIND,
    FAULT_PENDING,
    FRAME,
    LDTR,
    NMI_BLOCKED,
    NO_TRAP,
    RFL,
    RIP,
    SEG,
    SEG_ATTR,
    SEG_BASE,
    SEG_BYTES,
    SEG_LIMIT,
    SEG_SELECTOR,
    SLOW_VALUE,
    SS,
    TR,
    gpr,
    seg,
)
from jit.mode import refresh
from jit.native import State, inline, rd64, shr, ult, wr64
from jit.paging import CR0_PG
from jit.slow import SUPERVISOR

BY_JUMP, BY_CALL, BY_INTERRUPT, BY_RETURN = 0, 1, 2, 3
LIMIT16, LIMIT32 = 0x2B, 0x67           # the least limit of a TSS (SDM 7.2.2)
FIRST16, FIRST32 = 0x0E, 0x20           # offset of the first of them, IP
LDT16, LDT32, CR3_AT, TRAP_AT = 0x2A, 0x60, 0x1C, 0x64
SEGMENT_WORD = 10                       # FRAME: 0 EIP, 1 EFLAGS, 2 to 9 GPRs, 10 to 15 segments, 16 LDT, 17 CR3, 18 T
LDT_WORD, CR3_WORD, TRAP_WORD, WORDS = 16, 17, 18, 19
OLD = FRAME + 8 * WORDS                 # the old task's words start here
CR0_TS, DR6_BT, DR7_LOCAL = 1 << 3, 1 << 15, 0x155
ACCESSED_BYTE = 5

_switch = types.ExternalFunction("strata_switch_task", types.int64(types.voidptr, types.int64, types.int64))
_flush = types.ExternalFunction("strata_flush_all", types.int64(types.voidptr))


@inline
def word_at(index: int, wide: int) -> int:
    """Offset in a TSS of register word `index`."""
    if wide:
        return FIRST32 + 4 * index
    return FIRST16 + 2 * index


@inline
def word_count(wide: int) -> int:
    """Register words of a TSS: a 16-bit one has neither FS nor GS."""
    return 16 if wide else 14


@inline
def read_task(st: State, base: int, wide: int) -> int:
    """FRAME = the state in a TSS."""
    size = 4 if wide else 2
    wr64(st, FRAME + 8 * (SEGMENT_WORD + 4), 0)
    wr64(st, FRAME + 8 * (SEGMENT_WORD + 5), 0)
    wr64(st, FRAME + 8 * TRAP_WORD, 0)
    for i in range(word_count(wide)):
        status = slow_load(st, base + word_at(i, wide), size | SUPERVISOR)
        if status != OK:
            return status
        wr64(st, FRAME + 8 * i, rd64(st, SLOW_VALUE))
    status = slow_load(st, base + (LDT32 if wide else LDT16), 2 | SUPERVISOR)
    if status != OK:
        return status
    wr64(st, FRAME + 8 * LDT_WORD, rd64(st, SLOW_VALUE))
    if wide:
        status = slow_load(st, base + CR3_AT, 4 | SUPERVISOR)
        if status != OK:
            return status
        wr64(st, FRAME + 8 * CR3_WORD, rd64(st, SLOW_VALUE))
        status = slow_load(st, base + TRAP_AT, 2 | SUPERVISOR)
        if status != OK:
            return status
        wr64(st, FRAME + 8 * TRAP_WORD, rd64(st, SLOW_VALUE) & 1)
    return OK


@inline
def save_task(st: State, how: int) -> int:
    """Write the registers to the TSS of TR: OK, or a status and nothing has been written."""
    wide = rd64(st, seg(TR, SEG_ATTR)) & 8 != 0
    base = rd64(st, seg(TR, SEG_BASE))
    size = 4 if wide else 2
    flags = get_flags(st)
    if how == BY_INTERRUPT and rd64(st, ARG + 8) & ENTER_RESUME:
        flags |= RF
    wr64(st, OLD, rd64(st, RIP))
    wr64(st, OLD + 8, flags & ~NT if how == BY_RETURN else flags)
    for i in range(8):
        wr64(st, OLD + 8 * (2 + i), rd64(st, gpr(0) + 8 * i))
    for i in range(6):
        wr64(st, OLD + 8 * (SEGMENT_WORD + i), rd64(st, SEG + SEG_BYTES * i + SEG_SELECTOR))
    for i in range(word_count(wide)):
        status = slow_probe(st, base + word_at(i, wide), size | SUPERVISOR)
        if status != OK:
            return status
    for i in range(word_count(wide)):
        wr64(st, SLOW_VALUE, rd64(st, OLD + 8 * i))
        status = slow_store(st, base + word_at(i, wide), size | SUPERVISOR)
        if status != OK:
            return status
    return OK


@inline
def mark_busy(st: State, selector: int, busy: int) -> int:
    """Set or clear the busy bit of a TSS descriptor in the GDT."""
    status = fetch(st, selector, TS)
    if status != OK:
        return status
    access = attributes(rd64(st, DESC)) & 0xFF & ~BUSY
    wr64(st, SLOW_VALUE, access | BUSY if busy else access)
    return slow_store(st, rd64(st, DESC_AT) + ACCESSED_BYTE, 1 | SUPERVISOR)


@inline
def load_ldt(st: State, selector: int) -> int:
    set_null(st, LDTR, selector)
    if is_null(selector):
        return OK
    if selector & 4:
        return selector_fault(st, TS, selector)
    status = fetch(st, selector, TS)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    if kind(attr) != LDT or attr & PRESENT == 0:
        return selector_fault(st, TS, selector)
    set_segment(st, LDTR, selector, rd64(st, DESC))
    return OK


@inline
def load_code(st: State, selector: int) -> int:
    """CS decides CPL."""
    if is_null(selector):
        return selector_fault(st, TS, selector)
    status = fetch(st, selector, TS)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    dpl, rpl = privilege(attr), selector & 3
    if not is_code(attr) or dpl > rpl or (attr & CONFORMING == 0 and dpl != rpl):
        return selector_fault(st, TS, selector)
    if attr & PRESENT == 0:
        return selector_fault(st, NP, selector)
    status = touch(st)
    if status == OK:
        set_segment(st, CS, selector, rd64(st, DESC))
    return status


@inline
def load_data(st: State, number: int, selector: int) -> int:
    """SS and the data segments, at the new CPL."""
    if is_null(selector):
        return selector_fault(st, TS, selector) if number == SS else OK
    status = fetch(st, selector, TS)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    level, dpl, rpl = rd64(st, CPL), privilege(attr), selector & 3
    if number == SS:
        good = is_writable_data(attr) and dpl == level and rpl == level
    else:
        good = attr & CODE_OR_DATA != 0 and attr & 0xA != 8
        good = good and (attr & 0xC == 0xC or (dpl >= level and dpl >= rpl))
    if not good:
        return selector_fault(st, TS, selector)
    if attr & PRESENT == 0:
        return selector_fault(st, STACK_EXCEPTION if number == SS else NP, selector)
    status = touch(st)
    if status == OK:
        set_segment(st, number, selector, rd64(st, DESC))
    return status


@inline
def load_segments(st: State) -> int:
    """The segment registers of the new task, whose selectors are already in place."""
    status = load_ldt(st, rd64(st, seg(LDTR, SEG_SELECTOR)))
    if status != OK:
        return status
    if rd64(st, RFL) & VM:
        for number in range(6):
            set_virtual(st, number, rd64(st, SEG + SEG_BYTES * number + SEG_SELECTOR))
        return OK
    status = load_code(st, rd64(st, seg(CS, SEG_SELECTOR)))
    if status != OK:
        return status
    status = load_data(st, SS, rd64(st, seg(SS, SEG_SELECTOR)))
    if status != OK:
        return status
    for number in range(6):
        if number != CS and number != SS:
            status = load_data(st, number, rd64(st, SEG + SEG_BYTES * number + SEG_SELECTOR))
            if status != OK:
                return status
    return OK


@inline
def finish(st: State, selector: int, how: int, wide: int) -> int:
    """After the commit, in the new task, whose TSS is `selector`: segments, shadow stack, error code, entry point,
    debug trap."""
    error, with_error = rd64(st, ARG + 16), how == BY_INTERRUPT and rd64(st, ARG + 8) & ENTER_ERROR != 0
    status = load_segments(st)
    refresh(st)
    if status == OK:
        status = task_shadow.enter(st, how == BY_RETURN, selector)
        refresh(st)
    if status == OK and with_error:
        wr64(st, FRAME, error)
        use_current_stack(st)
        status = push_words(st, 1, 4 if wide else 2)
        if status == OK:
            load_stack_pointer(st)
    if status == OK and ult(rd64(st, seg(CS, SEG_LIMIT)), rd64(st, RIP)):
        status = general_protection(st, 0)
    if status == FAULT:
        wr64(st, FAULT_KIND, KIND_FAULT)
        wr64(st, FAULT_PENDING, 1)
        return OK
    if status == OK and rd64(st, FRAME + 8 * TRAP_WORD):
        debug_status(st, DR6_BT)
        pend_trap(st, DB)
    return status


@inline
def commit(st: State, selector: int, desc: int, wide: int) -> None:
    """Make the registers those of FRAME; segment registers get their selectors, unusable until they are loaded."""
    set_segment(st, TR, selector, desc | (BUSY << 40))
    if wide and rd64(st, CR0) & CR0_PG and rd64(st, CR3) != rd64(st, FRAME + 8 * CR3_WORD):
        wr64(st, CR3, rd64(st, FRAME + 8 * CR3_WORD))
        _flush(st)
    wr64(st, RIP, rd64(st, FRAME))
    flags = rd64(st, FRAME + 8)
    put_flags(st, flags, -1 if wide else 0xFFFF | VM)
    for i in range(8):
        word = rd64(st, FRAME + 8 * (2 + i))
        wr64(st, gpr(0) + 8 * i, word if wide else word | 0xFFFF0000)
    for i in range(6):
        set_null(st, i, rd64(st, FRAME + 8 * (SEGMENT_WORD + i)) & 0xFFFF)
    set_null(st, LDTR, rd64(st, FRAME + 8 * LDT_WORD) & 0xFFFF)
    wr64(st, CR0, rd64(st, CR0) | CR0_TS)
    wr64(st, DR7, rd64(st, DR7) & ~DR7_LOCAL)
    wr64(st, NO_TRAP, 1)
    level = rd64(st, seg(CS, SEG_SELECTOR)) & 3
    enter_privilege(st, 3 if flags & VM else level)


@inline
def check_task(st: State, selector: int, how: int) -> int:
    """The TSS descriptor, which stays in DESC: its type, presence and limit."""
    vector = TS if how == BY_RETURN else GP
    if is_null(selector) or selector & 4:
        return selector_fault(st, vector, selector)
    status = fetch(st, selector, vector)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    wanted = BUSY if how == BY_RETURN else 0
    if kind(attr) != TSS_FREE | wanted and kind(attr) != TSS16_FREE | wanted:
        return selector_fault(st, vector, selector)
    if attr & PRESENT == 0:
        return selector_fault(st, NP, selector)
    if ult(limit_of(rd64(st, DESC)), LIMIT32 if attr & 8 else LIMIT16):
        return selector_fault(st, TS, selector)
    return task_shadow.check_limits(st, rd64(st, DESC), selector, how == BY_RETURN)


def switch_task(st: State, selector: int, how: int) -> int:
    """Switch to the task of a TSS selector: OK when the new task is in place, which may have a fault pending."""
    old = rd64(st, seg(TR, SEG_SELECTOR))
    status = check_task(st, selector, how)
    if status != OK:
        return status
    desc = rd64(st, DESC)
    base, wide = base_of(desc), attributes(desc) & 8 != 0
    nested = how == BY_CALL or how == BY_INTERRUPT
    status = read_task(st, base, wide)
    if status == OK:
        status = task_shadow.prepare(st, base, nested, how == BY_RETURN, rd64(st, FRAME + 8 * (SEGMENT_WORD + CS)),
                                     rd64(st, FRAME + 8))
    if status != OK:
        return status
    if wide and uses_pdptes(rd64(st, CR0), rd64(st, CR4), rd64(st, EFER)):
        status = load_pdptes(st, rd64(st, FRAME + 8 * CR3_WORD))
        if status != OK:
            return status
    if nested:
        status = slow_probe(st, base, 2 | SUPERVISOR)
        if status != OK:
            return status
    status = save_task(st, how)
    if status != OK:
        return status
    if not nested:
        status = mark_busy(st, old, False)
        if status != OK:
            return status
    if how != BY_RETURN:
        status = mark_busy(st, selector, True)
        if status != OK:
            return status
    if nested:
        wr64(st, SLOW_VALUE, old)
        status = slow_store(st, base, 2 | SUPERVISOR)
        if status != OK:
            return status
        wr64(st, FRAME + 8, rd64(st, FRAME + 8) | NT)
    status = task_shadow.release(st)
    if status != OK:
        return status
    commit(st, selector, desc, wide)
    return finish(st, selector, how, wide)


def task_switch(st: State) -> int:
    """Far JMP or CALL to the TSS or task gate ARG[0] whose descriptor is in DESC; ARG[3] is 1 for CALL."""
    selector, how = rd64(st, ARG), BY_CALL if rd64(st, ARG + 24) else BY_JUMP
    desc = rd64(st, DESC)
    if kind(attributes(desc)) == TASK_GATE:
        selector = shr(desc, 16) & 0xFFFF
    return _switch(st, selector, how)


def task_interrupt(st: State) -> int:
    """Through a task gate of the IDT to the TSS ARG[0]; ARG[1] and ARG[2] as for jit/enter.py."""
    return _switch(st, rd64(st, ARG), BY_INTERRUPT)


def task_return(st: State) -> int:
    """IRET with NT set: back to the task of the link field."""
    status = slow_load(st, rd64(st, seg(TR, SEG_BASE)), 2 | SUPERVISOR)
    if status != OK:
        return status
    status = _switch(st, rd64(st, SLOW_VALUE), BY_RETURN)
    if status == OK:
        wr64(st, NMI_BLOCKED, 0)
    return status
