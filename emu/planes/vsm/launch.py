"""Starting in VTL1 or VTL2: a partition that had this VTL before VTL0's first instruction.

The boot processor is the only one that has it at first. It runs there, and enables itself on the others: VTL1 when VTL0
has started them, since INIT and start-up IPIs no longer reach a processor that has VTL1 (TLFS, Virtual Secure Mode).
VTL2 is a paravisor: lower VTLs do not see it, and it says whether they may have VTL1 (GuestVsmPartitionConfig).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu import boot
from emu.planes.vsm.enable import create_planes, reset_apic
from emu.planes.vsm.trapped import arm
from jit import group_layout

if TYPE_CHECKING:
    from emu.load.model import Image
    from emu.planes.vsm.partition import Partition

PARAVISOR = 2


def start(partition: Partition, image: Image, vtl: int) -> None:
    """Enable a VTL, with mode-based execution control where the dialect has it, and enter it on virtual processor 0 at
    the image's entry. The shared registers are those with which VTL0 will start."""
    vp = partition.vps[0]
    partition.enable_vtl(vtl, mbec=partition.dialect.mbec)
    if vtl >= PARAVISOR:
        partition.paravisor, partition.guest_max_vtl = vtl, vtl - 1
    create_planes(partition, vp, vtl)
    reset_apic(vp, vtl)
    plane = vp.vcpu.planes[vtl]
    boot.start(plane, image.boot)
    vp.add_vtl(vtl)
    for word in (group_layout.ENABLED, group_layout.RUNNABLE):
        vp.vcpu.group.set(word, vp.enabled | 1 << vtl)
    vp.vcpu.group.set(group_layout.FORCED, vtl + 1)
    vp.vcpu.group.set(group_layout.FORCED_CAUSE, group_layout.CAUSE_START)
    vp.protect()
    arm(vp)
