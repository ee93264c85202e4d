"""Loads and stores of guest memory by linear address.

A TLB hit is the only fast path: the entry's tag says that the page is RAM and that this kind of access is allowed
there now. Everything else (miss, page crossing, device, code page, fault) goes to `slow_load`, `slow_store` or
`slow_probe`, whose symbols are resolved twice: to the real ones (jit/slow.py) in the interpreter, and in compiled
regions to ones that only try a TLB fill (jit/region.py), so that a region holds fast paths alone.

Every function returns an EXIT status, OK or why the instruction cannot go on; nothing is changed unless it is OK.
"""

from numba import types

from jit.exits import OK
from jit.layout import (
    DATA_ENTRIES,
    DATA_SHIFT,
    LINE_SHIFT,
    SLOW_VALUE,
    TLB,
    TLB_ADDEND,
    TLB_LINES,
    TLB_READ,
    TLB_WATCHED,
    TLB_WRITE,
)
from jit.native import State, inline, ld8, ld16, ld32, ld64, rd64, shr, st8, st16, st32, st64, wr64

PAGE = 4096
PAGE_MASK = -PAGE
INDEX_MASK = DATA_ENTRIES - 1

_ACCESS = types.int64(types.voidptr, types.int64, types.int64)
slow_load = types.ExternalFunction("strata_slow_load", _ACCESS)         # (state, linear, bytes): value in SLOW_VALUE
slow_store = types.ExternalFunction("strata_slow_store", _ACCESS)       # (state, linear, bytes): value in SLOW_VALUE
translate = types.ExternalFunction(                                     # jit/tlb.py: (state, linear, access, TLB set)
    "strata_translate", types.int64(types.voidptr, types.int64, types.int64, types.int64))
slow_probe = types.ExternalFunction("strata_slow_probe", _ACCESS)       # (state, linear, bytes): may it be written?
note_write = types.ExternalFunction("strata_note_write", _ACCESS)       # jit/monitor.py: (state, GPA, bytes)


@inline
def data_entry(st: State, linear: int) -> int:
    """Host address of the TLB entry that serves `linear`."""
    return rd64(st, TLB) + ((shr(linear, 12) & INDEX_MASK) << DATA_SHIFT)


@inline
def near_watched_line(entry: int, linear: int) -> bool:
    """Whether an access of at most 64 bytes within the page of a data entry may touch one of its watched lines: the set
    has the lines before those, too, so that one look is enough."""
    return shr(ld64(entry + TLB_LINES), shr(linear, LINE_SHIFT) & 63) & 1 != 0


@inline
def beside(st: State, linear: int, size: int, tag: int) -> int:
    """Host address of an access to a page with watchpoints that touches no line with one, or 0. `size`: at most 64;
    `tag`: TLB_READ or TLB_WRITE. Such pages have entries whose tags no other fast path takes."""
    entry = data_entry(st, linear)
    if ld64(entry + tag) == (linear + (size - 1)) & PAGE_MASK | TLB_WATCHED and not near_watched_line(entry, linear):
        return linear + ld64(entry + TLB_ADDEND)
    return 0


@inline
def load_host(host: int, size: int) -> int:
    if size == 1:
        return ld8(host)
    if size == 2:
        return ld16(host)
    if size == 4:
        return ld32(host)
    return ld64(host)


@inline
def store_host(host: int, size: int, value: int) -> None:
    if size == 1:
        st8(host, value)
    elif size == 2:
        st16(host, value)
    elif size == 4:
        st32(host, value)
    else:
        st64(host, value)


@inline
def load(st: State, linear: int, size: int, hint: int) -> tuple[int, int]:
    """(value, status) of a read of `size` (1, 2, 4, 8) bytes, zero-extended. `hint`: flags of jit/slow.py, or 0."""
    entry = data_entry(st, linear)
    if ld64(entry + TLB_READ) == (linear + (size - 1)) & PAGE_MASK:
        return load_host(linear + ld64(entry + TLB_ADDEND), size), OK
    status = slow_load(st, linear, size | hint)
    return rd64(st, SLOW_VALUE), status


@inline
def store(st: State, linear: int, size: int, hint: int, value: int) -> int:
    """Status of a write of the low `size` (1, 2, 4, 8) bytes of `value`."""
    entry = data_entry(st, linear)
    if ld64(entry + TLB_WRITE) == (linear + (size - 1)) & PAGE_MASK:
        store_host(linear + ld64(entry + TLB_ADDEND), size, value)
        return OK
    wr64(st, SLOW_VALUE, value)
    return slow_store(st, linear, size | hint)


@inline
def probe(st: State, linear: int, size: int, hint: int) -> int:
    """Status of asking whether a write of `size` bytes at `linear` can complete; sets what a write would (A, D)."""
    entry = data_entry(st, linear)
    if ld64(entry + TLB_WRITE) == (linear + (size - 1)) & PAGE_MASK:
        return OK
    return slow_probe(st, linear, size | hint)


@inline
def load_for_write(st: State, linear: int, size: int, hint: int) -> tuple[int, int]:
    """(value, status) of the read of a read-modify-write: faults as a write (SDM Vol. 3A 4.7)."""
    status = probe(st, linear, size, hint)
    if status != OK:
        return 0, status
    return load(st, linear, size, hint)
