"""Loads and stores of 16, 32 and 64 bytes (and, for MMX and scalars, fewer) between guest memory and the FPU file.

The fast path is that of jit/access.py. The slow path goes in pieces of at most 8 bytes; as a handler may change
nothing unless it succeeds, a load gathers its pieces in a buffer, and a store first asks whether all of it can be
written. Alignment is checked by the callers.
"""

from jit.access import PAGE_MASK, data_entry, slow_load, slow_probe, slow_store
from jit.exits import AGAIN, OK
from jit.fpu_layout import VECTOR_BUFFER
from jit.layout import FPU, SLOW_VALUE, TLB_ADDEND, TLB_READ, TLB_WRITE
from jit.native import State, ld8, ld64, memmove, rd64, st64, wr64
from jit.paging import READ, WRITE
from jit.region_access import fill
from jit.slow import check_address, wrap


def slow_loadv(st: State, linear: int, size_and_flags: int, host: int) -> int:
    """Read `size` bytes at `linear` to host address `host`."""
    size = size_and_flags & 0xFF
    flags = size_and_flags & ~0xFF
    status = check_address(st, wrap(st, linear, size_and_flags), size, size_and_flags)
    if status != OK:
        return status
    buffer = rd64(st, FPU) + VECTOR_BUFFER
    at = 0
    while at < size:
        piece = min(8, size - at)
        status = slow_load(st, linear + at, piece | flags)
        if status != OK:
            return status
        st64(buffer + at, rd64(st, SLOW_VALUE))
        at += 8
    memmove(host, buffer, size)
    return OK


def slow_storev(st: State, linear: int, size_and_flags: int, host: int) -> int:
    """Write the `size` bytes at host address `host` to `linear`."""
    size = size_and_flags & 0xFF
    flags = size_and_flags & ~0xFF
    status = slow_probe(st, linear, size | flags)
    if status != OK:
        return status
    at = 0
    while at < size:
        piece = min(8, size - at)
        value = 0
        for i in range(piece):
            value |= ld8(host + at + i) << (8 * i)
        wr64(st, SLOW_VALUE, value)
        status = slow_store(st, linear + at, piece | flags)
        if status != OK:
            return status
        at += 8
    return OK


def region_loadv(st: State, linear: int, size_and_flags: int, host: int) -> int:
    """`slow_loadv` inside a region: try a TLB fill."""
    size = size_and_flags & 0xFF
    if fill(st, linear, READ) != OK:
        return AGAIN
    entry = data_entry(st, linear)
    if ld64(entry + TLB_READ) != (linear + (size - 1)) & PAGE_MASK:
        return AGAIN
    memmove(host, linear + ld64(entry + TLB_ADDEND), size)
    return OK


def region_storev(st: State, linear: int, size_and_flags: int, host: int) -> int:
    """`slow_storev` inside a region: try a TLB fill."""
    size = size_and_flags & 0xFF
    if fill(st, linear, WRITE) != OK:
        return AGAIN
    entry = data_entry(st, linear)
    if ld64(entry + TLB_WRITE) != (linear + (size - 1)) & PAGE_MASK:
        return AGAIN
    memmove(linear + ld64(entry + TLB_ADDEND), host, size)
    return OK
