"""VTL return actions: what the VP assist page asks for at a VTL return (HV_VP_VTL_RETURN_ACTION of Microsoft's headers;
VsmCapabilities bit 28)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emu.planes.vsm.msrs import ENABLE, PAGE_BITS
from emu.planes.vsm.synic import EVENT_FLAGS, SINTS
from jit.group_layout import RETURN_ACTIONS

if TYPE_CHECKING:
    from emu.planes.vsm.vp import Vp

BYTES, ENTRY = 256, 16
SIGNAL_EVENT = 1


def carry_out(vp: Vp, vtl: int) -> None:
    """Take the list out of a VTL's page and do what it says, as far as it is known; errors are ignored. An entry: u64
    type 1, u32 VP, u8 VTL, u8 SINT, u16 flag."""
    page = vp.vtls[vtl].assist_page
    if not page & ENABLE:
        return
    at, machine = (page & PAGE_BITS) + RETURN_ACTIONS, vp.partition.machine
    data = machine.memory.read(at, BYTES)
    vp.partition.store(vtl, at, bytes(BYTES))
    for start in range(0, BYTES, ENTRY):
        kind, index, target, sint, flag = struct.unpack_from("<QIBBH", data, start)
        if kind != SIGNAL_EVENT:
            return
        other = vp.partition.vps[index] if index < len(vp.partition.vps) else None
        if other is not None and target <= vtl and target in other.vtls and sint < SINTS and flag < EVENT_FLAGS:
            other.vtls[target].synic.signal(sint, flag)
