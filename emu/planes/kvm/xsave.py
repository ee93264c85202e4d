"""The area of KVM_GET_XSAVE and KVM_SET_XSAVE: the standard form of XSAVE (SDM Vol. 1 13.4), in 4096 bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from jit import fpu_layout as f
from jit import layout
from jit.fxsave import EXCEPTIONS, FCW_FIXED, FCW_WRITABLE, MXCSR_MASK, SUMMARY
from jit.xsave_layout import AREA_BYTES, COMPONENTS, HEADER, SSE, X87, XCOMP_BV

if TYPE_CHECKING:
    from emu.plane import Plane
    from jit.xsave_layout import Component

AREA = 4096
assert AREA >= AREA_BYTES
_FIRST = struct.Struct("<HHBxHQQII")        # FCW FSW abridged-FTW FOP FIP FDP MXCSR MXCSR_MASK
ST_AT, ST_BYTES = 32, 16


def _offered(plane: Plane) -> list[Component]:
    return [part for part in COMPONENTS if plane.get(layout.XCR0_VALID) >> part.number & 1]


def _top(status: int) -> int:
    return status >> 11 & 7


def pack(plane: Plane) -> bytes:
    """The state of a plane. XSTATE_BV names all components that the processor has."""
    area = bytearray(AREA)
    get = plane.fpu_get
    _FIRST.pack_into(area, 0, get(f.FCW) & 0xFFFF, get(f.FSW) & 0xFFFF, get(f.FTW) & 0xFF, get(f.FOP) & 0x7FF,
                     get(f.FIP), get(f.FDP), get(f.MXCSR) & MXCSR_MASK, MXCSR_MASK)
    for i in range(8):
        at = f.ST + 16 * (_top(get(f.FSW)) + i & 7)
        area[ST_AT + ST_BYTES * i:ST_AT + ST_BYTES * i + 10] = struct.pack("<QH", get(at), get(at + 8) & 0xFFFF)
    bits = 0
    for part in _offered(plane):
        bits |= 1 << part.number
        for i in range(part.count):
            at, file = part.offset + part.each * i, part.file + part.stride * i
            area[at:at + part.each] = b"".join(get(file + n).to_bytes(8, "little") for n in range(0, part.each, 8))
    area[HEADER:HEADER + 8] = bits.to_bytes(8, "little")
    return bytes(area)


def unpack(plane: Plane, area: bytes) -> None:
    """Put an area's state in place; components that XSTATE_BV leaves out become what they are after reset. ValueError,
    with nothing changed: a compacted area, or what the processor has not."""
    bits = int.from_bytes(area[HEADER:HEADER + 8], "little") if len(area) == AREA else -1
    offered = sum(1 << part.number for part in _offered(plane))
    if bits < 0 or bits & ~offered or any(area[XCOMP_BV:XCOMP_BV + 8]):
        raise ValueError(f"XSAVE area of {len(area)} bytes with components {bits:#x}: the processor has {offered:#x}")
    control, status, tags, opcode, ip, dp, mxcsr, _ = _FIRST.unpack_from(area)
    if bits & ~X87 and mxcsr & ~MXCSR_MASK:
        raise ValueError(f"MXCSR {mxcsr:#x} has reserved bits")
    plane.init_fpu()
    put = plane.fpu_set
    if bits & X87:
        control, status = control & FCW_WRITABLE | FCW_FIXED, status & ~SUMMARY
        status |= SUMMARY if status & ~control & EXCEPTIONS else 0
        for offset, value in ((f.FCW, control), (f.FSW, status), (f.FTW, tags), (f.FOP, opcode & 0x7FF), (f.FIP, ip),
                              (f.FDP, dp)):
            put(offset, value)
        for i in range(8):
            low, high = struct.unpack_from("<QH", area, ST_AT + ST_BYTES * i)
            put(f.ST + 16 * (_top(status) + i & 7), low)
            put(f.ST + 16 * (_top(status) + i & 7) + 8, high)
    if bits & (SSE | 4):
        put(f.MXCSR, mxcsr)
    for part in _offered(plane):
        if bits >> part.number & 1:
            for i in range(part.count):
                at, file = part.offset + part.each * i, part.file + part.stride * i
                for n in range(0, part.each, 8):
                    put(file + n, int.from_bytes(area[at + n:at + n + 8], "little"))
