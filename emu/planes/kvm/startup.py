"""INIT and start-up IPIs within planes above 0 (SDM Vol. 3A 8.4; for contexts that INIT starts, GHCB, AP_CREATION)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu import boot
from emu.planes.kvm import calls
from emu.waiting import RESET_HOLD, RUNNING, WAIT_FOR_SIPI
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.planes.kvm.model import KvmModel
    from emu.vcpu import VCpu


def signal(model: KvmModel, vcpu: VCpu, number: int, kind: str, vector: int) -> None:
    """INIT or SIPI reaches a plane's local APIC."""
    plane = vcpu.planes[number]
    if kind == "init":
        page = model.armed.pop((vcpu.index, number), None)
        vcpu.lapics[number].init()
        if page is not None:
            calls.start(model, vcpu, number, page)
            return
        boot.initialise(plane)
        plane.set(layout.ACTIVITY, RUNNING if vcpu.lapics[number].bsp else WAIT_FOR_SIPI)
    elif kind == "sipi" and plane.get(layout.ACTIVITY) == RESET_HOLD:
        plane.set(layout.ACTIVITY, RUNNING)
    elif kind == "sipi" and plane.get(layout.ACTIVITY) == WAIT_FOR_SIPI:
        boot.startup(plane, vector)
        plane.set(layout.ACTIVITY, RUNNING)
        vcpu.group.mark(group_layout.ENTERED, number, True)
        model.machine.reschedule = model.machine.reschedule or vcpu.index != model.machine.turn
    elif kind == "smi":
        model.machine.report(f"SMI to plane {number}: system management mode is not implemented; ignored")
