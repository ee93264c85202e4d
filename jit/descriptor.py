"""Segment descriptors: reading them from the GDT or LDT, their fields, the accessed bit (SDM Vol. 3A 3.4.5, 3.5).

Exceptions name the selector in their error code, with the EXT bit of an event being delivered.
"""

from numba import types

from jit.access import slow_load, slow_store
from jit.exits import OK
from jit.fault import general_protection, selector_fault
from jit.layout import (
    DESC,
    DESC_AT,
    FAULT_EXT,
    GDTR_BASE,
    GDTR_LIMIT,
    LDTR,
    SEG,
    SEG_ATTR,
    SEG_BASE,
    SEG_BYTES,
    SEG_LIMIT,
    SEG_SELECTOR,
    SLOW_VALUE,
    seg,
)
from jit.native import State, inline, rd64, shr, ult, wr64
from jit.slow import SUPERVISOR

PRESENT, CODE_OR_DATA = 0x80, 0x10                  # of a segment's attributes
CODE, CONFORMING, DOWN, READABLE, WRITABLE, ACCESSED = 8, 4, 4, 2, 2, 1
GRANULAR, BIG, LONG = 0x8000, 0x4000, 0x2000
TSS16_FREE, LDT, TSS16_BUSY, CALL16, TASK_GATE, INT16, TRAP16 = 1, 2, 3, 4, 5, 6, 7
TSS_FREE, TSS_BUSY, CALL_GATE, INT_GATE, TRAP_GATE = 9, 11, 12, 14, 15
BUSY = 2

_read = types.ExternalFunction("strata_read_descriptor", types.int64(types.voidptr, types.int64, types.int64))
_mark = types.ExternalFunction("strata_mark_accessed", types.int64(types.voidptr))


def read_descriptor(st: State, selector: int, vector: int) -> int:
    """The 8 bytes of a non-null selector's descriptor in DESC: OK, or `vector` when it lies outside its table."""
    table, limit = rd64(st, GDTR_BASE), rd64(st, GDTR_LIMIT)
    if selector & 4:
        table, limit = rd64(st, seg(LDTR, SEG_BASE)), rd64(st, seg(LDTR, SEG_LIMIT))
        if rd64(st, seg(LDTR, SEG_ATTR)) & PRESENT == 0:
            return selector_fault(st, vector, selector)
    index = selector & 0xFFF8
    if ult(limit, index + 7):
        return selector_fault(st, vector, selector)
    status = slow_load(st, table + index, 8 | SUPERVISOR)
    if status == OK:
        wr64(st, DESC, rd64(st, SLOW_VALUE))
        wr64(st, DESC_AT, table + index)
    return status


def mark_accessed(st: State) -> int:
    """Set the accessed bit of the descriptor that was read last, where it is clear."""
    if rd64(st, DESC) & (1 << 40):
        return OK
    wr64(st, SLOW_VALUE, (shr(rd64(st, DESC), 40) & 0xFF) | ACCESSED)
    status = slow_store(st, rd64(st, DESC_AT) + 5, 1 | SUPERVISOR)
    if status == OK:
        wr64(st, DESC, rd64(st, DESC) | (1 << 40))
    return status


@inline
def fetch(st: State, selector: int, vector: int) -> int:
    return _read(st, selector, vector)


@inline
def touch(st: State) -> int:
    return _mark(st)


@inline
def is_null(selector: int) -> bool:
    return selector & 0xFFFC == 0


@inline
def attributes(desc: int) -> int:
    return shr(desc, 40) & 0xF0FF


@inline
def privilege(attr: int) -> int:
    """DPL."""
    return (attr >> 5) & 3


@inline
def kind(attr: int) -> int:
    """S and type, bits 4:0."""
    return attr & 0x1F


@inline
def is_code(attr: int) -> bool:
    return attr & (CODE_OR_DATA | CODE) == CODE_OR_DATA | CODE


@inline
def is_writable_data(attr: int) -> bool:
    return attr & (CODE_OR_DATA | CODE | WRITABLE) == CODE_OR_DATA | WRITABLE


@inline
def base_of(desc: int) -> int:
    return (shr(desc, 16) & 0xFFFFFF) | (shr(desc, 56) << 24)


@inline
def limit_of(desc: int) -> int:
    """The limit in bytes."""
    limit = (desc & 0xFFFF) | (shr(desc, 32) & 0xF0000)
    if desc & (1 << 55):
        limit = (limit << 12) | 0xFFF
    return limit


@inline
def set_segment(st: State, number: int, selector: int, desc: int) -> None:
    """Fill a segment register from a descriptor."""
    slot = SEG + SEG_BYTES * number
    wr64(st, slot + SEG_SELECTOR, selector)
    wr64(st, slot + SEG_BASE, base_of(desc))
    wr64(st, slot + SEG_LIMIT, limit_of(desc))
    wr64(st, slot + SEG_ATTR, attributes(desc))


@inline
def set_null(st: State, number: int, selector: int) -> None:
    """A segment register that holds a null selector: unusable."""
    slot = SEG + SEG_BYTES * number
    wr64(st, slot + SEG_SELECTOR, selector)
    wr64(st, slot + SEG_BASE, 0)
    wr64(st, slot + SEG_LIMIT, 0)
    wr64(st, slot + SEG_ATTR, 0)


@inline
def drop_segment(st: State, number: int) -> None:
    """A data segment register that a return to an outer level empties: unusable, but the base stays, which 64-bit code
    goes on using for FS and GS."""
    slot = SEG + SEG_BYTES * number
    wr64(st, slot + SEG_SELECTOR, 0)
    wr64(st, slot + SEG_LIMIT, 0)
    wr64(st, slot + SEG_ATTR, 0)


@inline
def set_real(st: State, number: int, selector: int) -> None:
    """Load a segment register in real mode: the cached limit and size stay (SDM Vol. 3A 9.9.2, 20.1.1)."""
    slot = SEG + SEG_BYTES * number
    attr = rd64(st, slot + SEG_ATTR)
    if attr & PRESENT == 0:
        wr64(st, slot + SEG_LIMIT, 0xFFFF)
    wr64(st, slot + SEG_SELECTOR, selector)
    wr64(st, slot + SEG_BASE, selector << 4)
    wr64(st, slot + SEG_ATTR, (attr & 0xF000) | 0x93)


@inline
def set_virtual(st: State, number: int, selector: int) -> None:
    """Load a segment register in virtual-8086 mode (SDM Vol. 3A 20.2.1)."""
    slot = SEG + SEG_BYTES * number
    wr64(st, slot + SEG_SELECTOR, selector)
    wr64(st, slot + SEG_BASE, selector << 4)
    wr64(st, slot + SEG_LIMIT, 0xFFFF)
    wr64(st, slot + SEG_ATTR, 0xF3)


@inline
def fetch_code(st: State, selector: int) -> int:
    """Read the descriptor of a far transfer's target: #GP(EXT) for a null selector, else as read_descriptor."""
    if is_null(selector):
        return general_protection(st, rd64(st, FAULT_EXT))
    return fetch(st, selector, 13)
