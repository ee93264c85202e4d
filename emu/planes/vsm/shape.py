"""Which VTLs there are: made to fit a saved state before its contents are put back (emu/snapshot)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.planes.vsm.enable import create_planes

if TYPE_CHECKING:
    from emu.planes.vsm.partition import Partition, Vp


def resize(partition: Partition, vp: Vp, planes: int, enabled_here: int, enabled: int) -> None:
    """Give a virtual processor so many planes, with the state of the VTLs of the set `enabled_here`; `enabled` are
    those of the partition."""
    vcpu = vp.vcpu
    while len(vcpu.planes) > planes:
        number = len(vcpu.planes) - 1
        partition.apic_bus(number).detach(vcpu.remove_plane())
    for vtl in [number for number in vp.vtls if not enabled_here >> number & 1]:
        del vp.vtls[vtl]
    for vtl in [number for number in partition.vtls if not enabled >> number & 1]:
        del partition.vtls[vtl]
    create_planes(partition, vp, planes - 1)
    for vtl in range(enabled.bit_length()):
        if enabled >> vtl & 1 and vtl not in partition.vtls:
            partition.enable_vtl(vtl)
    for vtl in range(enabled_here.bit_length()):
        if enabled_here >> vtl & 1 and vtl not in vp.vtls:
            vp.add_vtl(vtl)
