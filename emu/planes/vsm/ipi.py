"""Interrupts that software sends through the hypervisor (TLFS, hypercall reference: HvCallSendSyntheticClusterIpi and
its Ex form, HvCallAssertVirtualInterrupt)."""

from __future__ import annotations

import struct

from emu.irq import apicbus
from emu.irq.apicbus import ApicMessage
from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.hypercall import Caller, simple_call
from emu.planes.vsm.operands import check_reserved, in_mask, input_vtl, processor_set, set_bytes
from emu.planes.vsm.vp import Vp

FIRST_VECTOR, LAST_VECTOR = 0x10, 0xFF
TYPE_FIXED, TYPE_NMI = 0, 4             # HV_INTERRUPT_TYPE
LEVEL, LOGICAL = 1 << 32, 1 << 33
CONTROL_BITS = 0xFFFFFFFF | LEVEL | LOGICAL


@simple_call(codes.SEND_IPI, 16)
def send_synthetic_cluster_ipi(caller: Caller, data: bytes) -> bytes:
    """u32 vector, u8 HV_INPUT_VTL, 3 reserved bytes, u64 mask of virtual processors."""
    return _send(caller, data, in_mask(caller.vp.partition.vps, int.from_bytes(data[8:16], "little")))


@simple_call(codes.SEND_IPI_EX, 24, variable=set_bytes)
def send_synthetic_cluster_ipi_ex(caller: Caller, data: bytes) -> bytes:
    """u32 vector, u8 HV_INPUT_VTL, 3 reserved bytes, processor set."""
    return _send(caller, data, processor_set(caller, data[8:]))


def _send(caller: Caller, data: bytes, vps: list[Vp]) -> bytes:
    vector, which = struct.unpack_from("<IB", data)
    if not FIRST_VECTOR <= vector <= LAST_VECTOR:
        raise HvError(codes.INVALID_PARAMETER)
    check_reserved(caller, data[5:8])
    vtl = input_vtl(caller, which)
    if vtl > caller.vtl and not (caller.vp.partition.dialect.ipi_to_higher
                                and vtl <= caller.vp.partition.highest(caller.vtl)):
        raise HvError(codes.ACCESS_DENIED)
    for vp in vps:
        if vp.enabled >> vtl & 1:
            vp.vcpu.lapics[vtl].accept(ApicMessage(vector))
    return b""


@simple_call(codes.ASSERT_VIRTUAL_INTERRUPT, 32)
def assert_virtual_interrupt(caller: Caller, data: bytes) -> bytes:
    """u64 partition, u64 control (31:0 type, 32 level, 33 logical), u64 APIC destination, u32 vector, u8 VTL, 3
    reserved bytes: a fixed interrupt or NMI for a lower VTL."""
    partition = caller.vp.partition
    identity, control, destination, vector, vtl = struct.unpack_from("<QQQIB", data)
    partition.check_self(identity)
    kind = control & 0xFFFFFFFF
    if vtl >= caller.vtl:
        raise HvError(codes.ACCESS_DENIED)
    check_reserved(caller, data[29:])
    if (control & ~CONTROL_BITS or kind not in (TYPE_FIXED, TYPE_NMI) or destination >> 32
            or kind == TYPE_FIXED and not FIRST_VECTOR <= vector <= LAST_VECTOR):
        raise HvError(codes.INVALID_PARAMETER)
    wide = any(vp.vcpu.lapics[vtl].x2apic for vp in partition.vps if vp.enabled >> vtl & 1)
    partition.apic_bus(vtl).send(ApicMessage(
        vector=vector & 0xFF, mode=apicbus.NMI if kind == TYPE_NMI else apicbus.FIXED, destination=destination,
        logical=bool(control & LOGICAL), level_triggered=bool(control & LEVEL), wide=wide))
    return b""
