"""What a memory access that misses the TLB does inside a compiled region: try a fill, else leave the region.

These stand in for `slow_load`, `slow_store` and `slow_probe` (jit/slow.py), and are given the real state, not the
region's copy (jit/region.py).
"""

from numba import types

from jit import pmap
from jit.access import PAGE_MASK, beside, data_entry, load_host, store_host
from jit.exits import AGAIN, OK
from jit.layout import (
    LINE_SHIFT,
    MODE,
    MODE_64,
    PROBES,
    SET_ALIGN,
    SLOW_VALUE,
    TLB_ADDEND,
    TLB_READ,
    TLB_SET,
    TLB_WRITE,
    WALK_GPA,
)
from jit.native import State, inline, ld64, rd64, wr64
from jit.paging import READ, WRITE, host_page
from jit.probe import READ_BIT, WRITE_BIT, matching
from jit.slow import SHADOW, is_canonical
from jit.watch import enabled

translate = types.ExternalFunction(
    "strata_translate", types.int64(types.voidptr, types.int64, types.int64, types.int64))


@inline
def fill(st: State, linear: int, access: int) -> int:
    """Fill the TLB for a page: OK, or AGAIN when the interpreter has to look."""
    if rd64(st, MODE) & 3 == MODE_64 and not is_canonical(st, linear):
        return AGAIN
    if translate(st, linear, access, rd64(st, TLB_SET)) != OK:
        return AGAIN
    return OK


@inline
def unwatched(st: State, linear: int, size: int, access: int) -> int:
    """Host address of an access on a line with a watchpoint, of whose bytes it touches none; 0: let the interpreter
    look. The page was just translated."""
    if rd64(st, PROBES) == 0 or (linear & 0xFFF) + size > 0x1000 or rd64(st, TLB_SET) == SET_ALIGN:
        return 0
    gpa = rd64(st, WALK_GPA)
    backing = host_page(st, gpa)
    wanted = pmap.WRITE if access == WRITE else pmap.READ
    if backing & (wanted | pmap.CODE) != wanted or enabled(st):
        return 0
    if matching(st, linear, gpa, size, WRITE_BIT if access == WRITE else READ_BIT) != 0:
        return 0
    return (backing & PAGE_MASK) | (gpa & 0xFFF)


@inline
def resolve(st: State, linear: int, size: int, access: int, tag: int) -> int:
    """Host address of an access that the region's fast path did not take, or 0."""
    host = beside(st, linear, size, tag)
    if host != 0:
        return host
    if fill(st, linear, access) != OK:
        return 0
    entry = data_entry(st, linear)
    if ld64(entry + tag) == (linear + (size - 1)) & PAGE_MASK:
        return linear + ld64(entry + TLB_ADDEND)
    host = beside(st, linear, size, tag)
    return host if host != 0 else unwatched(st, linear, size, access)


def region_load(st: State, linear: int, size_and_flags: int) -> int:
    size = size_and_flags & 0xFF
    host = 0 if size_and_flags & SHADOW else resolve(st, linear, size, READ, TLB_READ)
    if host == 0:
        return AGAIN
    wr64(st, SLOW_VALUE, load_host(host, size))
    return OK


def region_store(st: State, linear: int, size_and_flags: int) -> int:
    size = size_and_flags & 0xFF
    host = 0 if size_and_flags & SHADOW else resolve(st, linear, size, WRITE, TLB_WRITE)
    if host == 0:
        return AGAIN
    store_host(host, size, rd64(st, SLOW_VALUE))
    return OK


def region_probe(st: State, linear: int, size_and_flags: int) -> int:
    size = size_and_flags & 0xFF
    if size_and_flags & SHADOW:
        return AGAIN
    if size > 1 << LINE_SHIFT:
        return AGAIN if fill(st, linear, WRITE) != OK or ld64(data_entry(st, linear) + TLB_WRITE) != (
            linear + (size - 1)) & PAGE_MASK else OK
    return OK if resolve(st, linear, size, WRITE, TLB_WRITE) != 0 else AGAIN
