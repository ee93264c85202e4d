"""Starting in VTL1: a partition whose VTL1 was enabled before VTL0's first instruction, as a paravisor's VTL2 is.

The boot processor is the only one that has VTL1 at first. VTL1 runs there, and enables itself on the others when VTL0
has started them: INIT and start-up IPIs no longer reach a processor that has a higher VTL (TLFS, Virtual Secure Mode).
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

VTL = 1


def start(partition: Partition, image: Image) -> None:
    """Enable VTL1, with mode-based execution control where the dialect has it, and enter it on virtual processor 0 at
    the image's entry. The shared registers are those with which VTL0 will start."""
    if VTL > partition.max_vtl:
        raise ValueError("this partition has no VTL1")
    vp = partition.vps[0]
    partition.enable_vtl(VTL, mbec=partition.dialect.mbec)
    create_planes(partition, vp, VTL)
    reset_apic(vp, VTL)
    plane = vp.vcpu.planes[VTL]
    boot.start(plane, image.boot)
    vp.add_vtl(VTL)
    for word in (group_layout.ENABLED, group_layout.RUNNABLE):
        vp.vcpu.group.set(word, vp.enabled | 1 << VTL)
    vp.vcpu.group.set(group_layout.FORCED, VTL + 1)
    vp.vcpu.group.set(group_layout.FORCED_CAUSE, group_layout.CAUSE_START)
    vp.protect()
    arm(vp)
