"""What a debugger looks for, seen from compiled code: watchpoints, deliveries of interrupts, plane switches.

Pages with a watchpoint get TLB entries that the usual fast path does not take for the accesses watched: only what
touches none of the page's 64-byte lines with a watchpoint goes past (`beside` of jit/access.py, and regions that are
compiled while there are watchpoints, jit/region_watched.py); the rest comes here. Other pages cost nothing. As with the
guest's own breakpoints (jit/watch.py), a hit is noted when the instruction runs on its own (ALONE); where others would
follow, the access gives AGAIN and is made again. The run loop then leaves with PROBED.
"""

from numba import types

from jit.access import PAGE_MASK, load_host
from jit.exits import AGAIN, OK
from jit.layout import ALONE, LINE_SHIFT, PLANE, PROBE_HITS, PROBES, VCPU
from jit.native import State, inline, ld64, rd64, shr, st64, ult, wr64
from jit.paging import WRITE, host_page
from jit.probe_layout import (
    ADDRESS,
    COUNT,
    EXCEPT,
    HIT_GPA,
    HIT_KIND,
    HIT_LINEAR,
    HIT_OLD,
    HIT_SIZE,
    HIT_VALUE,
    HIT_VECTOR,
    HITS,
    IGNORE,
    KINDS,
    LENGTH,
    LOW,
    MASK,
    ON,
    ONE_VCPU,
    PHYSICAL,
    PLANES,
    READ_BIT,
    RECORD_BYTES,
    SPACE,
    SPAN,
    SWITCH_BIT,
    SWITCHES,
    VECTOR_BIT,
    VECTORS,
    WATCHES,
    WRITE_BIT,
)

__all__ = ["READ_BIT", "SWITCHES", "SWITCH_BIT", "WRITE_BIT", "watched_lines"]
PAGE = 4096

matching = types.ExternalFunction(
    "strata_matching_watches", types.int64(types.voidptr, types.int64, types.int64, types.int64, types.int64))
watched_lines = types.ExternalFunction(
    "strata_lines_watched", types.int64(types.voidptr, types.int64, types.int64))
_note_access = types.ExternalFunction(
    "strata_note_access", types.int64(types.voidptr, types.int64, types.int64, types.int64, types.int64))


@inline
def hit(st: State, bits: int) -> None:
    wr64(st, PROBE_HITS, rd64(st, PROBE_HITS) | bits)


@inline
def for_us(st: State, record: int) -> bool:
    """Whether a record concerns this plane of this vCPU."""
    if shr(ld64(record + PLANES), rd64(st, PLANE)) & 1 == 0:
        return False
    vcpu = ld64(record + ONE_VCPU)
    return vcpu < 0 or vcpu == rd64(st, VCPU)


@inline
def in_range(record: int, value: int) -> bool:
    """The record's comparison."""
    outside = ult(ld64(record + SPAN), (value & ld64(record + MASK)) - ld64(record + LOW))
    return outside == (ld64(record + EXCEPT) != 0)


def matching_watches(st: State, linear: int, gpa: int, size: int, kinds: int) -> int:
    """Set of the watchpoints of `kinds` (READ_BIT, WRITE_BIT) that overlap `size` bytes of one page."""
    table = rd64(st, PROBES)
    found = 0
    for n in range(ld64(table + COUNT)):
        record = table + WATCHES + n * RECORD_BYTES
        if ld64(record + ON) != 0 and ld64(record + KINDS) & kinds and for_us(st, record):
            at = gpa if ld64(record + SPACE) == PHYSICAL else linear
            start, length = ld64(record + ADDRESS), ld64(record + LENGTH)
            if ult(at - start, length) or ult(start - at, size):
                found |= 1 << n
    return found


@inline
def watched(st: State, page: int, gpa: int) -> int:
    """READ_BIT and WRITE_BIT for what a TLB entry of a linear page must not allow."""
    kinds = 0
    if rd64(st, PROBES) != 0:
        if matching(st, page, gpa & PAGE_MASK, PAGE, READ_BIT) != 0:
            kinds |= READ_BIT
        if matching(st, page, gpa & PAGE_MASK, PAGE, WRITE_BIT) != 0:
            kinds |= WRITE_BIT
    return kinds


def lines_watched(st: State, page: int, gpa: int) -> int:
    """Set of the 64-byte lines of a linear page that watchpoints of any kind touch, and of those before."""
    lines = 0
    for line in range(PAGE >> LINE_SHIFT):
        at = line << LINE_SHIFT
        if matching(st, page + at, (gpa & PAGE_MASK) + at, 1 << LINE_SHIFT, READ_BIT | WRITE_BIT) != 0:
            lines |= 1 << line
    return lines | shr(lines, 1)


def note_access(st: State, linear: int, gpa: int, size_and_kind: int, value: int) -> int:
    """An access to one page: OK, with the hits noted; or AGAIN when it hits and other instructions would follow."""
    size, kind = size_and_kind & 0xFF, shr(size_and_kind, 8)
    hits = matching(st, linear, gpa, size, kind)
    if hits == 0:
        return OK
    if rd64(st, ALONE) == 0:
        return AGAIN
    table = rd64(st, PROBES)
    for n in range(ld64(table + COUNT)):
        record = table + WATCHES + n * RECORD_BYTES
        if shr(hits, n) & 1 and (kind == READ_BIT or in_range(record, value)):
            count = ld64(record + HITS) + 1
            st64(record + HITS, count)
            if ult(ld64(record + IGNORE), count):
                hit(st, 1 << n)
                st64(table + HIT_LINEAR, linear)
                st64(table + HIT_GPA, gpa)
                st64(table + HIT_SIZE, size)
                st64(table + HIT_KIND, kind)
                st64(table + HIT_VALUE, value)
                host = host_page(st, gpa) & PAGE_MASK
                plain = host != 0 and size & (size - 1) == 0 and size <= 8
                st64(table + HIT_OLD, load_host(host | (gpa & 0xFFF), size) if plain else 0)
    return OK


@inline
def note(st: State, linear: int, gpa: int, size: int, access: int, value: int) -> int:
    """An access of the slow path, within one page: OK or AGAIN."""
    if rd64(st, PROBES) == 0:
        return OK
    return _note_access(st, linear, gpa, size | ((WRITE_BIT if access == WRITE else READ_BIT) << 8), value)


@inline
def look(st: State, linear: int, gpa: int, size: int) -> int:
    """The same for asking whether a store can be made; notes nothing."""
    if (rd64(st, PROBES) != 0 and rd64(st, ALONE) == 0
            and matching(st, linear, gpa, size, READ_BIT | WRITE_BIT) != 0):
        return AGAIN
    return OK


@inline
def note_vector(st: State, vector: int) -> None:
    """An interrupt or exception was delivered; its handler's first instruction is next."""
    table = rd64(st, PROBES)
    if table != 0 and shr(ld64(table + VECTORS + (shr(vector & 0xFF, 6) << 3)), vector & 63) & 1:
        st64(table + HIT_VECTOR, vector)
        hit(st, VECTOR_BIT)
