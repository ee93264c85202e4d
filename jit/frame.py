"""Stack frames of far transfers, interrupts and their returns: several words pushed or popped as one.

The stack is described by the STK_* fields, as it is often not the current one. Accesses are made with the rights in
force, so the caller enters the new privilege level first.
"""

from numba import types

from jit.access import load, probe, slow_load, store
from jit.descriptor import (
    BIG,
    PRESENT,
    attributes,
    base_of,
    fetch,
    is_null,
    is_writable_data,
    limit_of,
    privilege,
    touch,
)
from jit.exits import OK
from jit.fault import SS as STACK_EXCEPTION
from jit.fault import TS, fault_with_code, selector_fault
from jit.layout import (
    CPL,
    DESC,
    FAULT_EXT,
    FRAME,
    MODE,
    MODE_64,
    SEG_ATTR,
    SEG_BASE,
    SEG_LIMIT,
    SEG_SELECTOR,
    SLOW_VALUE,
    SS,
    STK_ATTR,
    STK_BASE,
    STK_ERROR,
    STK_LIMIT,
    STK_SELECTOR,
    STK_SP,
    STK_WIDTH,
    TR,
    gpr,
    seg,
)
from jit.mode import long_mode_active
from jit.native import State, inline, rd64, ult, wr64
from jit.semantics.segmentation import READ, WRITE, limit_allows, type_allows
from jit.slow import STACK, SUPERVISOR, is_canonical
from jit.tlb import select_set

RSP = gpr(4)
_FRAME = types.int64(types.voidptr, types.int64, types.int64)
_push = types.ExternalFunction("strata_push_frame", _FRAME)
_pop = types.ExternalFunction("strata_pop_frame", _FRAME)
_inner = types.ExternalFunction("strata_inner_stack", types.int64(types.voidptr, types.int64))


@inline
def use_current_stack(st: State) -> None:
    """STK_* = SS:RSP."""
    attr = rd64(st, seg(SS, SEG_ATTR))
    wr64(st, STK_SP, rd64(st, RSP))
    wr64(st, STK_WIDTH, 64 if rd64(st, MODE) & 3 == MODE_64 else 32 if attr & BIG else 16)
    wr64(st, STK_SELECTOR, rd64(st, seg(SS, SEG_SELECTOR)))
    wr64(st, STK_BASE, rd64(st, seg(SS, SEG_BASE)))
    wr64(st, STK_LIMIT, rd64(st, seg(SS, SEG_LIMIT)))
    wr64(st, STK_ATTR, attr)
    wr64(st, STK_ERROR, rd64(st, FAULT_EXT))


@inline
def use_stack_segment(st: State, selector: int, desc: int, pointer: int) -> None:
    """STK_* = a stack segment whose descriptor was checked."""
    attr = attributes(desc)
    wr64(st, STK_SP, pointer)
    wr64(st, STK_WIDTH, 32 if attr & BIG else 16)
    wr64(st, STK_SELECTOR, selector)
    wr64(st, STK_BASE, base_of(desc))
    wr64(st, STK_LIMIT, limit_of(desc))
    wr64(st, STK_ATTR, attr)
    wr64(st, STK_ERROR, (selector & 0xFFFC) | rd64(st, FAULT_EXT))


@inline
def use_flat_stack(st: State, selector: int, pointer: int) -> None:
    """STK_* = a 64-bit stack under a null SS."""
    wr64(st, STK_SP, pointer)
    wr64(st, STK_WIDTH, 64)
    wr64(st, STK_SELECTOR, selector)
    wr64(st, STK_BASE, 0)
    wr64(st, STK_LIMIT, 0)
    wr64(st, STK_ATTR, 0)
    wr64(st, STK_ERROR, rd64(st, FAULT_EXT))


@inline
def load_stack_segment(st: State) -> None:
    """SS = the selector and descriptor of STK_*."""
    wr64(st, seg(SS, SEG_SELECTOR), rd64(st, STK_SELECTOR))
    wr64(st, seg(SS, SEG_BASE), rd64(st, STK_BASE))
    wr64(st, seg(SS, SEG_LIMIT), rd64(st, STK_LIMIT))
    wr64(st, seg(SS, SEG_ATTR), rd64(st, STK_ATTR))


@inline
def load_stack_pointer(st: State) -> None:
    """RSP = STK_SP."""
    pointer = rd64(st, STK_SP)
    wr64(st, RSP, pointer if rd64(st, STK_WIDTH) == 64 else pointer & 0xFFFFFFFF)


@inline
def offset_mask(st: State) -> int:
    width = rd64(st, STK_WIDTH)
    if width == 64:
        return -1
    return 0xFFFFFFFF if width == 32 else 0xFFFF


@inline
def moved(st: State, pointer: int, distance: int) -> int:
    """The stack pointer `distance` bytes further up, by the stack's width."""
    mask = offset_mask(st)
    return (pointer & ~mask) | ((pointer + distance) & mask)


@inline
def frame_linear(st: State, pointer: int, size: int, access: int) -> tuple[int, int]:
    """(linear address, status) of a word on the STK_* stack."""
    offset = pointer & offset_mask(st)
    if rd64(st, STK_WIDTH) == 64:
        if is_canonical(st, offset) and is_canonical(st, offset + size - 1):
            return offset, OK
    elif (type_allows(rd64(st, STK_ATTR), access)
          and limit_allows(rd64(st, STK_ATTR), rd64(st, STK_LIMIT), offset, size)):
        return (rd64(st, STK_BASE) + offset) & 0xFFFFFFFF, OK
    return 0, fault_with_code(st, STACK_EXCEPTION, rd64(st, STK_ERROR))


@inline
def store_sized(st: State, linear: int, size: int, value: int) -> int:
    if size == 8:
        return store(st, linear, 8, STACK, value)
    if size == 4:
        return store(st, linear, 4, STACK, value)
    return store(st, linear, 2, STACK, value)


@inline
def load_sized(st: State, linear: int, size: int) -> int:
    if size == 8:
        return load(st, linear, 8, STACK)
    if size == 4:
        return load(st, linear, 4, STACK)
    return load(st, linear, 2, STACK)


def push_frame(st: State, count: int, size: int) -> int:
    """Push FRAME[0 .. count) as words of `size` bytes: STK_SP moves, or a status and nothing has been written."""
    pointer = rd64(st, STK_SP)
    for _ in range(count):
        pointer = moved(st, pointer, -size)
        linear, status = frame_linear(st, pointer, size, WRITE)
        if status == OK:
            status = probe(st, linear, size, STACK)
        if status != OK:
            return status
    pointer = rd64(st, STK_SP)
    for i in range(count):
        pointer = moved(st, pointer, -size)
        linear, status = frame_linear(st, pointer, size, WRITE)
        status = store_sized(st, linear, size, rd64(st, FRAME + 8 * i))
        if status != OK:
            return status
    wr64(st, STK_SP, pointer)
    return OK


def pop_frame(st: State, first: int, count_and_size: int) -> int:
    """FRAME[first ...] = words from the stack, count * 16 + bytes each; STK_SP moves past them."""
    pointer = rd64(st, STK_SP)
    size = count_and_size & 15
    for i in range(count_and_size >> 4):
        linear, status = frame_linear(st, pointer, size, READ)
        if status != OK:
            return status
        value, status = load_sized(st, linear, size)
        if status != OK:
            return status
        wr64(st, FRAME + 8 * (first + i), value)
        pointer = moved(st, pointer, size)
    wr64(st, STK_SP, pointer)
    return OK


def inner_stack(st: State, level: int) -> int:
    """STK_* = the stack that the TSS gives for a privilege level (SDM Vol. 3A 5.8.5, 7.2.1, 7.7): OK or FAULT."""
    limit = rd64(st, seg(TR, SEG_LIMIT))
    base = rd64(st, seg(TR, SEG_BASE))
    tr = rd64(st, seg(TR, SEG_SELECTOR))
    if long_mode_active(st):
        if ult(limit, 8 * level + 11):
            return selector_fault(st, TS, tr)
        status = slow_load(st, base + 4 + 8 * level, 8 | SUPERVISOR)
        if status == OK:
            use_flat_stack(st, level, rd64(st, SLOW_VALUE))
        return status
    size = 4 if rd64(st, seg(TR, SEG_ATTR)) & 8 else 2
    at = size + 2 * size * level
    if ult(limit, at + size + 1):
        return selector_fault(st, TS, tr)
    status = slow_load(st, base + at, size | SUPERVISOR)
    if status != OK:
        return status
    pointer = rd64(st, SLOW_VALUE)
    status = slow_load(st, base + at + size, 2 | SUPERVISOR)
    if status != OK:
        return status
    selector = rd64(st, SLOW_VALUE)
    if is_null(selector):
        return fault_with_code(st, TS, rd64(st, FAULT_EXT))
    status = fetch(st, selector, TS)
    if status != OK:
        return status
    attr = attributes(rd64(st, DESC))
    if selector & 3 != level or privilege(attr) != level or not is_writable_data(attr):
        return selector_fault(st, TS, selector)
    if attr & PRESENT == 0:
        return selector_fault(st, STACK_EXCEPTION, selector)
    status = touch(st)
    if status == OK:
        use_stack_segment(st, selector, rd64(st, DESC), pointer)
    return status


@inline
def push_words(st: State, count: int, size: int) -> int:
    return _push(st, count, size)


@inline
def pop_words(st: State, first: int, count: int, size: int) -> int:
    return _pop(st, first, (count << 4) | size)


@inline
def find_inner_stack(st: State, level: int) -> int:
    return _inner(st, level)


@inline
def enter_privilege(st: State, level: int) -> None:
    """Make memory accesses those of a privilege level."""
    wr64(st, CPL, level)
    select_set(st)
