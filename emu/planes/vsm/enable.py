"""HvCallEnablePartitionVtl and HvCallEnableVpVtl (TLFS, hypercall reference; Virtual Secure Mode, "VTL enablement")."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emu.irq.apicbus import ApicBus
from emu.irq.lapic import LocalApic
from emu.irq.lapic_msr import LapicMsrs
from emu.plane import Plane
from emu.planes.context import apply
from emu.planes.vsm import codes, context
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.hypercall import Caller, simple_call
from emu.planes.vsm.operands import check_reserved
from emu.planes.vsm.trapped import arm
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.planes.vsm.partition import Partition
    from emu.planes.vsm.vp import Vp

FLAG_MBEC = 1
SVR_SOFTWARE_ENABLED = 0x1FF    # how a VTL's APIC starts: some VTL1 kernels never write SVR
# What a new plane takes from VTL0's: the processor model and the machine, not the guest's state.
MODEL = (layout.PHYS_MASK, layout.A20_MASK, layout.CR4_VALID, layout.EFER_VALID, layout.XCR0_VALID,
         layout.XSS_VALID, layout.CET_VALID, layout.VENDOR, layout.TSC_SCALE, layout.TSC_OFFSET)


@simple_call(codes.ENABLE_PARTITION_VTL, 16)
def enable_partition_vtl(caller: Caller, data: bytes) -> bytes:
    """u64 partition, u8 VTL, u8 flags, 6 reserved bytes. No virtual processor changes."""
    partition = caller.vp.partition
    identity, vtl, flags = struct.unpack("<QBB6x", data)
    partition.check_self(identity)
    if partition.highest(caller.vtl) == 0:
        raise HvError(codes.ACCESS_DENIED)      # VSM is not offered
    if not 0 < vtl <= partition.highest(caller.vtl):
        raise HvError(codes.INVALID_PARAMETER)
    if partition.enabled >> vtl & 1:
        raise HvError(partition.dialect.partition_vtl_enabled)
    below = partition.enabled & (1 << vtl) - 1
    if caller.vtl < vtl and caller.vtl != below.bit_length() - 1:
        raise HvError(codes.ACCESS_DENIED)      # only the highest enabled VTL may enable a higher one
    if flags & ~(FLAG_MBEC if partition.dialect.mbec else 0):
        raise HvError(codes.INVALID_PARAMETER)  # shadow stacks and HVPT are not among VsmCapabilities
    check_reserved(caller, data[10:])
    partition.enable_vtl(vtl, mbec=bool(flags & FLAG_MBEC))
    return b""


@simple_call(codes.ENABLE_VP_VTL, 16 + context.SIZE, may_be_fast=False)
def enable_vp_vtl(caller: Caller, data: bytes) -> bytes:
    """u64 partition, u32 VP, u8 VTL, 3 reserved bytes, initial context. The active VTL stays active."""
    partition = caller.vp.partition
    identity, index, vtl = struct.unpack_from("<QIB", data)
    partition.check_self(identity)
    vp = partition.vp(caller.vp, index)
    if vtl == 0:
        raise HvError(codes.INVALID_PARAMETER)
    check_reserved(caller, data[13:16])
    if vtl > partition.highest(caller.vtl) or not partition.enabled >> vtl & 1:
        raise HvError(partition.dialect.partition_vtl_disabled)
    already = vp.enabled >> vtl & 1
    if already and partition.dialect.vp_vtl_enabled_first:
        raise HvError(partition.dialect.vp_vtl_enabled)
    # Once a VTL runs somewhere, only it or a higher one enables it elsewhere.
    if caller.vtl < vtl and (vp is not caller.vp or any(other.enabled >> vtl & 1 for other in partition.vps)):
        raise HvError(codes.ACCESS_DENIED)
    if already:
        raise HvError(partition.dialect.vp_vtl_enabled)
    initial = context.parse(data[16:])
    context.check(initial, vp.vcpu.planes[0])
    create_planes(partition, vp, vtl)
    reset_apic(vp, vtl)
    apply(initial, vp.vcpu.planes[vtl], partition.machine)
    vp.add_vtl(vtl)
    vp.vcpu.group.set(group_layout.ENABLED, vp.enabled | 1 << vtl)
    vp.protect()
    arm(vp)
    return b""


def create_planes(partition: Partition, vp: Vp, vtl: int) -> None:
    """Planes up to that of a VTL. Numbers have no gaps: those of VTLs below that are not enabled
    exist too."""
    vcpu = vp.vcpu
    for number in range(len(vcpu.planes), vtl + 1):
        plane = Plane(vcpu.engine, vcpu.index, number)
        for field in MODEL:
            plane.set(field, vcpu.planes[0].get(field))
        plane.use_fpu(vcpu.planes[0].get(layout.FPU))       # x87 and vector state is shared (TLFS, as in shared.py)
        lapic = _local_apic(partition, vp, number)
        vcpu.add_plane(plane, lapic, LapicMsrs(lapic))


def _local_apic(partition: Partition, vp: Vp, number: int) -> LocalApic:
    """A VTL's own local APIC: xAPIC mode at the default base, software-enabled, on a bus that links this VTL's APICs of
    all virtual processors. Devices, the 8259A and the I/O APIC are VTL0's."""
    vcpu, machine = vp.vcpu, partition.machine
    bus: ApicBus = partition.apic_bus(number)

    def changed() -> None:
        if len(vcpu.planes) > number:
            vcpu.interrupt_changed(number)

    def signal(kind: str, vector: int) -> None:
        if kind == "nmi":
            vcpu.planes[number].set(layout.NMI, 1)
        else:
            partition.report(f"{kind.upper()} to {partition.plane_name(number)}")

    lapic = LocalApic(vp.index, machine.clock, send=bus.send, notify=changed, signal=signal, eoi=lambda vector: None,
                      extint=lambda: SVR_SOFTWARE_ENABLED & 0xFF, bsp=vcpu.lapics[0].bsp)
    bus.attach(lapic)
    return lapic


def reset_apic(vp: Vp, vtl: int) -> None:
    """A VTL that is being enabled finds its local APIC software-enabled, also where a partition reset took it away
    before."""
    lapic = vp.vcpu.lapics[vtl]
    lapic.reset()
    lapic.svr = SVR_SOFTWARE_ENABLED
    lapic.timer.tsc_offset = vp.vcpu.lapics[0].timer.tsc_offset
