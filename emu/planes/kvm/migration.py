"""Saving a vCPU with all its planes between runs, or a whole VM, and restoring it into a VM made the same way.

What follows from the rest is not saved: which planes have events comes from the local APICs again. Memory is for
userspace to copy. Waits that may end early have ended when they are restored, and monitored lines are forgotten.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from emu.planes.kvm.dialects import EINVAL, refuse
from emu.planes.kvm.vcpu import Vcpu
from emu.snapshot.registers import load_group, load_plane, save_group, save_plane
from emu.waiting import EARLY_END, RUNNING
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.planes.kvm.vm import KvmVm


def save(vcpu: Vcpu) -> dict[str, Any]:
    """Plane 0's vCPU and all that belongs to it, as plain data."""
    cpu, armed = vcpu.cpu, vcpu.plane.vm.model.armed
    vcpu.plane.vm.machine.clock.run_due()                   # a timer's state does not say that it has yet to fire
    return {"planes": [save_plane(plane, cpu.planes) for plane in cpu.planes], "group": save_group(cpu.group),
            "enabled": cpu.group.get(group_layout.ENABLED), "lapics": [lapic.save() for lapic in cpu.lapics],
            "msrs": dict(cpu.msrs.values), "icount": cpu.icount, "run": deepcopy(vcpu.run_area),
            "completes": vcpu.completes, "expired": sorted(vcpu.timers.expired),
            "startups": [(twin.sipi_vector, twin.sipi_pending) for twin in _twins(vcpu)],
            "armed": {plane: page for (index, plane), page in armed.items() if index == vcpu.id}}


def restore(vcpu: Vcpu, state: dict[str, Any]) -> None:
    """Continue from what `save` gave. KvmError EINVAL: the vCPU has other planes."""
    cpu, armed = vcpu.cpu, vcpu.plane.vm.model.armed
    if cpu.group.get(group_layout.ENABLED) != state["enabled"]:
        raise refuse(EINVAL, f"saved with planes {state['enabled']:#b}, not {cpu.group.get(group_layout.ENABLED):#b}")
    cpu.msrs.values.clear()
    cpu.msrs.values.update(state["msrs"])
    cpu.wait_rules.apply()
    cpu.counters.refresh()
    cpu.icount = state["icount"]
    cpu.group.now = vcpu.plane.vm.machine.clock.icount
    for plane, saved in zip(cpu.planes, state["planes"], strict=True):
        load_plane(plane, cpu.planes, saved)
        if plane.get(layout.ACTIVITY) in EARLY_END:
            plane.set(layout.ACTIVITY, RUNNING)
        plane.update_mode()
        plane.flush()
    switches = cpu.group.get(group_layout.SWITCHES)         # the records of those before stay where they were made
    load_group(cpu.group, state["group"])
    cpu.group.set(group_layout.SWITCHES, switches)
    for number, lapic in enumerate(state["lapics"]):
        cpu.lapics[number].load(lapic)
        cpu.interrupt_changed(number)
    cpu.engine.monitors.disarm(vcpu.id)
    for key in [key for key in armed if key[0] == vcpu.id]:
        del armed[key]
    armed.update({(vcpu.id, plane): page for plane, page in state["armed"].items()})
    vcpu.run_area, vcpu.completes = deepcopy(state["run"]), state["completes"]
    vcpu.timers.expired = set(state["expired"])
    for twin, (vector, pending) in zip(_twins(vcpu), state["startups"], strict=True):
        twin.sipi_vector, twin.sipi_pending = vector, pending


def _twins(vcpu: Vcpu) -> list[Vcpu]:
    """All planes of a vCPU, by number."""
    return [plane.vcpus[vcpu.id] for _, plane in sorted(vcpu.plane.vm.planes.items()) if vcpu.id in plane.vcpus]


def _kind(vm: KvmVm) -> dict[str, Any]:
    """What a VM must have in common with the one that it goes on for."""
    return {**vm.machine.options, "dialect": vm.dialect.name, "policy": vm.model.policy.name, "irqchip": vm.irqchip,
            "split": vm.split, "lazy_timers": vm.lazy_timers}


def save_vm(vm: KvmVm) -> dict[str, Any]:
    """A VM but for its memory, as plain data: planes with attributes and overlays, GSIs, vCPUs, devices and time."""
    machine = vm.machine
    machine.clock.run_due()
    return {"kind": _kind(vm), "limit": vm.limit, "shares_fpu": vm.model.shares_fpu, "halts_unseen": vm.halts_unseen,
            "planes": {number: {"vcpus": list(plane.vcpus), **plane.save()} for number, plane in vm.planes.items()},
            "routing": vm.routing.save(), "pc": machine.pc.save(), "smm": machine.smm.save(),
            "vcpus": {number: save(vcpu) for number, vcpu in vm.planes[0].vcpus.items()},
            "events": machine.clock.order()}


def restore_vm(vm: KvmVm, state: dict[str, Any]) -> None:
    """Continue from what `save_vm` gave in a VM that has no vCPUs yet, into whose memory userspace puts the saved one's
    before it runs. KvmError EINVAL: a VM of another kind, or one that has vCPUs."""
    machine = vm.machine
    if _kind(vm) != state["kind"] or vm.planes[0].vcpus:
        raise refuse(EINVAL, f"it takes a VM without vCPUs of this kind: {state['kind']}")
    vm.limit = state["limit"]
    vm.model.shares_fpu, vm.halts_unseen = state["shares_fpu"], state["halts_unseen"]
    for number, plane in sorted(state["planes"].items()):
        made = vm.planes.get(number) or vm.create_plane(number)
        for vcpu in plane["vcpus"]:
            made.create_vcpu(vm.planes[0].vcpus[vcpu] if number and vm.dialect.by_plane0 else vcpu)
    machine.pc.load(state["pc"])
    for number, saved in state["vcpus"].items():
        restore(vm.planes[0].vcpus[number], saved)
    for number, plane in state["planes"].items():
        vm.planes[number].load(plane)
    vm.routing.load(state["routing"])
    machine.smm.load(state["smm"])
    machine.clock.reorder(state["events"])
