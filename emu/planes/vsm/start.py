"""HvCallStartVirtualProcessor and HvCallGetVpIndexFromApicId (TLFS, hypercall reference)."""

from __future__ import annotations

import struct

from emu.planes.context import apply
from emu.planes.vsm import codes, config, context
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.hypercall import Caller, Element, repeated_call, simple_call
from emu.planes.vsm.operands import check_reserved, input_vtl
from emu.waiting import RUNNING, WAIT_FOR_SIPI
from jit import group_layout, layout


@simple_call(codes.START_VIRTUAL_PROCESSOR, 16 + context.SIZE, may_be_fast=False)
def start_virtual_processor(caller: Caller, data: bytes) -> bytes:
    """u64 partition, u32 VP, u8 VTL, 3 reserved bytes, initial context. The processor starts in its highest enabled
    VTL, and goes on in lower ones as those above return, down to this one; those below still wait to be started."""
    partition = caller.vp.partition
    identity, index, which = struct.unpack_from("<QIB", data)
    partition.check_self(identity)
    vp = partition.vp(caller.vp, index)
    if vp is caller.vp:
        raise HvError(codes.INVALID_VP_INDEX)
    check_reserved(caller, data[13:16])
    if which & codes.INPUT_VTL_RESERVED:
        raise HvError(codes.INVALID_PARAMETER)
    vtl = input_vtl(caller, which) if which & codes.USE_TARGET_VTL else which & codes.TARGET_VTL
    denied = any(state.config & config.DENY_LOWER_VTL_STARTUP for number, state in partition.vtls.items()
                 if number > caller.vtl)
    if vtl > caller.vtl or denied:
        raise HvError(codes.ACCESS_DENIED)
    if not vp.enabled >> vtl & 1 or vp.vcpu.planes[0].get(layout.ACTIVITY) != WAIT_FOR_SIPI:
        raise HvError(codes.INVALID_VP_STATE)
    initial = context.parse(data[16:])
    context.check(initial, vp.vcpu.planes[0])
    group = vp.vcpu.group
    apply(initial, vp.vcpu.planes[vtl], partition.machine)
    for plane in vp.vcpu.planes[vtl:]:
        plane.set(layout.ACTIVITY, RUNNING)
    started = vp.enabled & -(1 << vtl)
    group.set(group_layout.RUNNABLE, group.get(group_layout.RUNNABLE) | started)
    highest = started.bit_length() - 1
    if highest > group.active:
        group.set(group_layout.FORCED, highest + 1)
        group.set(group_layout.FORCED_CAUSE, group_layout.CAUSE_START)
    partition.machine.reschedule = True
    return b""


@repeated_call(codes.GET_VP_INDEX_FROM_APIC_ID, 16, 4, 4)
def get_vp_index_from_apic_id(caller: Caller, header: bytes) -> Element:
    """u64 partition, u8 HV_INPUT_VTL, 7 reserved bytes; elements: u32 APIC ID in, u32 VP index out."""
    partition = caller.vp.partition
    identity, which = struct.unpack_from("<QB", header)
    partition.check_self(identity)
    check_reserved(caller, header[9:])
    input_vtl(caller, which)

    def element(data: bytes) -> bytes:
        wanted = int.from_bytes(data, "little")
        for vp in partition.vps:
            if vp.vcpu.lapics[0].apic_id == wanted:
                return struct.pack("<I", vp.index)
        raise HvError(codes.INVALID_PARAMETER)
    return element
