"""The initial context of a VTL on a virtual processor (TLFS, HV_INITIAL_VP_CONTEXT, 224 bytes)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emu.load.model import SegmentRegister
from emu.planes.context import CR0_PE, CR0_PG, Context, illegal
from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError

if TYPE_CHECKING:
    from emu.plane import Plane

SIZE = 224
_FORMAT = struct.Struct("<3Q" + "QIHH" * 8 + "6xHQ" * 2 + "5Q")
assert _FORMAT.size == SIZE
ATTRIBUTES = 0xF0FF             # bits 11:8 are reserved


def parse(data: bytes) -> Context:
    """The fields of 224 bytes."""
    words = _FORMAT.unpack(data)
    segments = tuple(SegmentRegister(selector=words[i + 2], base=words[i], limit=words[i + 1],
                                     attributes=words[i + 3] & ATTRIBUTES) for i in range(3, 35, 4))
    return Context(words[0], words[1], words[2], segments, (words[35], words[36]), (words[37], words[38]), *words[39:])


def check(context: Context, plane: Plane) -> None:
    """HvError INVALID_REGISTER_VALUE for a state that no processor can be in, and for modes without paging, which VTLs
    above 0 cannot use."""
    if context.cr0 & (CR0_PE | CR0_PG) != CR0_PE | CR0_PG or illegal(context, plane):
        raise HvError(codes.INVALID_REGISTER_VALUE)
