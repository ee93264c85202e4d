"""What a memory access that misses the TLB does inside a compiled region: try a fill, else leave the region.

These stand in for `slow_load`, `slow_store` and `slow_probe` (jit/slow.py), and are given the real state, not the
region's copy (jit/region.py).
"""

from numba import types

from jit.access import PAGE_MASK, data_entry, load_host, store_host
from jit.exits import AGAIN, OK
from jit.layout import MODE, MODE_64, SLOW_VALUE, TLB_ADDEND, TLB_READ, TLB_SET, TLB_WRITE
from jit.native import State, inline, ld64, rd64, wr64
from jit.paging import READ, WRITE
from jit.slow import is_canonical

translate = types.ExternalFunction(
    "strata_translate", types.int64(types.voidptr, types.int64, types.int64, types.int64))


@inline
def fill(st: State, linear: int, access: int) -> int:
    """Fill the TLB for a page: OK, or AGAIN when the interpreter has to look."""
    if rd64(st, MODE) & 3 == MODE_64 and not is_canonical(linear):
        return AGAIN
    if translate(st, linear, access, rd64(st, TLB_SET)) != OK:
        return AGAIN
    return OK


def region_load(st: State, linear: int, size_and_flags: int) -> int:
    size = size_and_flags & 0xFF
    if fill(st, linear, READ) != OK:
        return AGAIN
    entry = data_entry(st, linear)
    if ld64(entry + TLB_READ) != (linear + (size - 1)) & PAGE_MASK:
        return AGAIN
    wr64(st, SLOW_VALUE, load_host(linear + ld64(entry + TLB_ADDEND), size))
    return OK


def region_store(st: State, linear: int, size_and_flags: int) -> int:
    size = size_and_flags & 0xFF
    if fill(st, linear, WRITE) != OK:
        return AGAIN
    entry = data_entry(st, linear)
    if ld64(entry + TLB_WRITE) != (linear + (size - 1)) & PAGE_MASK:
        return AGAIN
    store_host(linear + ld64(entry + TLB_ADDEND), size, rd64(st, SLOW_VALUE))
    return OK


def region_probe(st: State, linear: int, size_and_flags: int) -> int:
    size = size_and_flags & 0xFF
    if fill(st, linear, WRITE) != OK:
        return AGAIN
    if ld64(data_entry(st, linear) + TLB_WRITE) != (linear + (size - 1)) & PAGE_MASK:
        return AGAIN
    return OK
