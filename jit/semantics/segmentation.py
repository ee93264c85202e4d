"""Segment checks of memory accesses outside 64-bit mode (SDM Vol. 3A 5.3, 5.5).

ATTR holds descriptor byte 5 in bits 7:0 (P, DPL, S, type) and G, D/B, L, AVL in bits 15:12. An unusable (null) segment
has ATTR 0. Limits are kept in bytes.
"""

from jit.exits import OK
from jit.fault import general_protection, stack_fault
from jit.layout import SEG, SEG_ATTR, SEG_BASE, SEG_BYTES, SEG_LIMIT, SS
from jit.native import State, inline, rd64, ult

READ, WRITE, EXECUTE = 0, 1, 2
CODE_SEGMENT, EXPAND_DOWN, WRITABLE = 8, 4, 2       # type bits of a code or data descriptor
BIG = 0x4000                                        # D/B


@inline
def limit_allows(attr: int, limit: int, offset: int, size: int) -> bool:
    """Whether `size` bytes at `offset` lie inside the segment; expand-down data segments lie above their limit. An
    access to a 4 GiB segment may wrap around its end."""
    last = offset + size - 1
    if attr & (CODE_SEGMENT | EXPAND_DOWN) == EXPAND_DOWN:
        top = 0xFFFFFFFF if attr & BIG else 0xFFFF
        return ult(limit, offset) and not ult(top, last)
    return limit == 0xFFFFFFFF or not ult(limit, last)


@inline
def type_allows(attr: int, access: int) -> bool:
    if attr & 0x80 == 0:
        return False
    if access == WRITE:
        return attr & (CODE_SEGMENT | WRITABLE) == WRITABLE
    return attr & (CODE_SEGMENT | WRITABLE) != CODE_SEGMENT


@inline
def linear_address(st: State, segment: int, offset: int, size: int, access: int) -> tuple[int, int]:
    """(linear address, status) of an access through segment register number `segment`. Around the end of 4 GiB only
    an access through a segment that starts at 0 may wrap, as processors do it; the SDM leaves it open (Vol. 3A 5.3)."""
    fields = SEG + SEG_BYTES * segment
    attr, base = rd64(st, fields + SEG_ATTR), rd64(st, fields + SEG_BASE)
    wraps = base != 0 and offset + size - 1 > 0xFFFFFFFF
    if not wraps and type_allows(attr, access) and limit_allows(attr, rd64(st, fields + SEG_LIMIT), offset, size):
        return (base + offset) & 0xFFFFFFFF, OK
    if segment == SS:
        return 0, stack_fault(st, 0)
    return 0, general_protection(st, 0)
