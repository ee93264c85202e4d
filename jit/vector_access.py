"""Loads and stores of 16, 32 and 64 bytes (and, for MMX and scalars, fewer) between guest memory and the FPU file.

The fast path is that of jit/access.py. The slow path goes in pieces of at most 8 bytes; as a handler may change
nothing unless it succeeds, a load gathers its pieces in a buffer, and a store first asks whether all of it can be
written. Alignment is checked by the callers.

Under a mask (the bits of jit/semantics/wiring.py's operand word, moved above the size and the slow path's flags) the
pieces are the elements that it selects: the others are not accessed, and so raise no fault (SDM Vol. 2A 2.7.5).
"""

from jit.access import PAGE_MASK, beside, data_entry, slow_load, slow_probe, slow_store, store_host
from jit.exits import AGAIN, OK
from jit.fault import PF
from jit.fpu_layout import OPMASK, VECTOR_BUFFER, VECTOR_BYTES
from jit.layout import FAULT_ADDRESS, FAULT_VECTOR, FPU, SLOW_VALUE, TLB_ADDEND, TLB_READ, TLB_WRITE
from jit.native import State, ctlz, cttz, inline, ld8, ld64, memmove, memset, rd64, shr, st64, wr64
from jit.paging import READ, WRITE
from jit.region_access import fill
from jit.semantics.wiring import ELEMENT_SHIFT, OPMASK_NUMBER, OPMASK_SHIFT
from jit.slow import check_address, wrap

MASK_FLAGS_SHIFT = 12                       # where operand word D's mask bits are in `size_and_flags`
OPMASK_BITS = OPMASK_NUMBER << MASK_FLAGS_SHIFT         # register 0 is no mask
ELEMENT_AT = MASK_FLAGS_SHIFT + ELEMENT_SHIFT - OPMASK_SHIFT


@inline
def mask_of(st: State, flags: int) -> int:
    """The opmask register that `flags` name."""
    return ld64(rd64(st, FPU) + OPMASK + ((shr(flags, MASK_FLAGS_SHIFT) & OPMASK_NUMBER) << 3))


@inline
def check_elements(st: State, linear: int, size: int, flags: int) -> int:
    """A non-canonical address among the selected elements comes before the page faults of others, as processors do
    it."""
    mask, width = mask_of(st, flags), 1 << (shr(flags, ELEMENT_AT) & 3)
    at = 0
    while at < size:
        if mask & 1:
            status = check_address(st, wrap(st, linear + at, flags), width, flags)
            if status != OK:
                return status
        mask = shr(mask, 1)
        at += width
    return OK


@inline
def load_elements(st: State, linear: int, size: int, flags: int, host: int) -> int:
    """Read the elements that the mask selects; the others become 0."""
    mask, width = mask_of(st, flags), 1 << (shr(flags, ELEMENT_AT) & 3)
    access = width | flags & 0xF00
    buffer = rd64(st, FPU) + VECTOR_BUFFER
    status = check_elements(st, linear, size, flags)
    if status != OK:
        return status
    memset(buffer, 0, VECTOR_BYTES)
    at = 0
    while at < size:
        if mask & 1:
            status = slow_load(st, linear + at, access)
            if status != OK:
                return status
            store_host(buffer + at, width, rd64(st, SLOW_VALUE))
        mask = shr(mask, 1)
        at += width
    memmove(host, buffer, size)
    return OK


@inline
def name_last_byte(st: State, linear: int, size: int, flags: int) -> None:
    """Of a store that writes to two pages, the second of which faults, Intel processors report the last byte (SDM Vol.
    3A 4.7 leaves open which of the page's it is)."""
    log, lanes = shr(flags, ELEMENT_AT) & 3, shr(size, shr(flags, ELEMENT_AT) & 3)
    mask = mask_of(st, flags) << (64 - lanes)
    first = linear + ((cttz(mask) - (64 - lanes)) << log)
    last = linear + ((lanes - ctlz(mask)) << log) - 1
    if rd64(st, FAULT_VECTOR) == PF and (rd64(st, FAULT_ADDRESS) ^ wrap(st, first, flags)) & PAGE_MASK:
        wr64(st, FAULT_ADDRESS, wrap(st, last, flags))


@inline
def store_elements(st: State, linear: int, size: int, flags: int, host: int) -> int:
    """Write the elements that the mask selects, once all of them are known to be writable."""
    width = 1 << (shr(flags, ELEMENT_AT) & 3)
    access = width | flags & 0xF00
    status = check_elements(st, linear, size, flags)
    if status != OK:
        return status
    mask, at = mask_of(st, flags), 0
    while at < size:
        if mask & 1:
            status = slow_probe(st, linear + at, access)
            if status != OK:
                name_last_byte(st, linear, size, flags)
                return status
        mask = shr(mask, 1)
        at += width
    mask, at = mask_of(st, flags), 0
    while at < size:
        if mask & 1:
            value = 0
            for i in range(width):
                value |= ld8(host + at + i) << (8 * i)
            wr64(st, SLOW_VALUE, value)
            status = slow_store(st, linear + at, access)
            if status != OK:
                return status
        mask = shr(mask, 1)
        at += width
    return OK


def slow_loadv(st: State, linear: int, size_and_flags: int, host: int) -> int:
    """Read `size` bytes at `linear` to host address `host`."""
    size = size_and_flags & 0xFF
    flags = size_and_flags & 0xF00
    if size_and_flags & OPMASK_BITS:
        return load_elements(st, linear, size, size_and_flags, host)
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
    flags = size_and_flags & 0xF00
    if size_and_flags & OPMASK_BITS:
        return store_elements(st, linear, size, size_and_flags, host)
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
    host_of = beside(st, linear, size, TLB_READ)
    if host_of != 0:
        memmove(host, host_of, size)
        return OK
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
    host_of = beside(st, linear, size, TLB_WRITE)
    if host_of != 0 and size_and_flags & OPMASK_BITS == 0:
        memmove(host_of, host, size)
        return OK
    if fill(st, linear, WRITE) != OK:
        return AGAIN
    entry = data_entry(st, linear)
    if ld64(entry + TLB_WRITE) != (linear + (size - 1)) & PAGE_MASK or size_and_flags & OPMASK_BITS:
        return AGAIN
    memmove(linear + ld64(entry + TLB_ADDEND), host, size)
    return OK
