"""Accesses to the areas of XSAVE and FXSAVE, which processors make part by part: each part's effective address wraps
within the address size, and outside 64-bit mode the segment is asked for each.

`area` is the effective address of the area's start; `how`: the segment register's number in bits 2:0, and AREA_* bits
of jit/semantics/wiring.py.
"""

from jit.access import load, probe, store
from jit.exits import OK
from jit.fault import general_protection
from jit.layout import SEG, SEG_BASE, SEG_BYTES
from jit.native import State, inline, rd64, shr
from jit.semantics.segmentation import READ, WRITE, linear_address
from jit.semantics.wiring import AREA_16, AREA_32, AREA_64, AREA_BASED, SEGMENT_SHIFT
from jit.slow import check_address, wrap


@inline
def area_form(b: int) -> int:
    """`how` of a micro-op's operand word B."""
    return shr(b, SEGMENT_SHIFT)


@inline
def area_part(st: State, area: int, how: int, offset: int, size: int, access: int) -> tuple[int, int]:
    """(linear address, status) of `size` bytes at an offset."""
    effective = area + offset
    if how & AREA_32:
        effective &= 0xFFFFFFFF
    elif how & AREA_16:
        effective &= 0xFFFF
    if how & AREA_64 == 0:
        return linear_address(st, how & 7, effective, size, access)
    if how & AREA_BASED:
        effective += rd64(st, SEG + SEG_BYTES * (how & 7) + SEG_BASE)
    return effective, OK


@inline
def area_load(st: State, area: int, how: int, offset: int, size: int, hint: int) -> tuple[int, int]:
    """(value, status) of a read as jit.access.load makes it."""
    linear, status = area_part(st, area, how, offset, size, READ)
    if status != OK:
        return 0, status
    return load(st, linear, size, hint)


@inline
def area_store(st: State, area: int, how: int, offset: int, hint: int, value: int) -> int:
    """Status of a write of 8 bytes."""
    linear, status = area_part(st, area, how, offset, 8, WRITE)
    if status != OK:
        return status
    return store(st, linear, 8, hint, value)


@inline
def area_probe(st: State, area: int, how: int, offset: int, size: int, hint: int) -> int:
    """Status of asking whether a write of at most 64 bytes can complete."""
    linear, status = area_part(st, area, how, offset, size, WRITE)
    if status != OK:
        return status
    return probe(st, linear, size, hint)


@inline
def area_start(st: State, area: int, how: int, alignment: int, hint: int) -> int:
    """Status of the start's address, which must be canonical, and then a multiple of `alignment`."""
    linear, status = area_part(st, area, how, 0, 1, READ)
    if status == OK:
        status = check_address(st, wrap(st, linear, hint), 1, hint)
    if status == OK and linear & (alignment - 1):
        return general_protection(st, 0)
    return status
