"""All of a machine's state but RAM, as plain data; and putting it back.

It is taken between instructions (`Machine.settled`), so nothing of an instruction is under way. What the engine derived
(decoded code, regions, TLBs) is not state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emu.mem.ram import PAGE
from emu.snapshot.fields import ObjectState
from emu.snapshot.registers import load_group, load_plane, save_group, save_plane
from jit import group_layout, pmap

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.vcpu import VCpu

MODELS = "emu.planes."


def _objects(machine: Machine) -> ObjectState:
    return ObjectState(machine.plane_model, MODELS, machine.clock)


def _save_vcpu(vcpu: VCpu) -> dict[str, Any]:
    return {
        "icount": vcpu.icount, "enabled": vcpu.group.get(group_layout.ENABLED), "group": save_group(vcpu.group),
        "msrs": sorted(vcpu.msrs.values.items()),
        "planes": [save_plane(plane, vcpu.planes) for plane in vcpu.planes],
        "waiting": vcpu.waiting.save(), "lapics": [lapic.save() for lapic in vcpu.lapics[1:]],
    }


def save(machine: Machine) -> dict[str, Any]:
    """The state as plain data: numbers, strings, bytes, lists and dicts."""
    return {
        "pc": machine.pc.save(), "vcpus": [_save_vcpu(vcpu) for vcpu in machine.vcpus],
        "model": None if machine.plane_model is None else _objects(machine).save(),
        "machine": {"turn": machine.turn, "turn_left": machine.turn_left, "patience": machine.patience,
                    "input": machine.input.save(), "monitors": machine.engine.monitors.save(),
                    "smm": machine.smm.save()},
        "events": machine.clock.order(),
    }


def load(machine: Machine, state: dict[str, Any]) -> None:
    """Put a state of a machine with the same options back. The caller puts RAM back and flushes TLBs.

    Devices come first, since loading one drives its lines; what those changed elsewhere is then overwritten.
    """
    for vcpu, saved in zip(machine.vcpus, state["vcpus"], strict=True):
        if machine.plane_model is not None:
            machine.plane_model.resize(vcpu, len(saved["planes"]), saved["enabled"], state["model"])
        vcpu.group.set(group_layout.ACTIVE, 0)      # until the group is loaded: the models' objects are not theirs yet
    machine.pc.load(state["pc"])
    for vcpu, saved in zip(machine.vcpus, state["vcpus"], strict=True):
        for lapic, data in zip(vcpu.lapics[1:], saved["lapics"], strict=True):
            lapic.load(data)
        vcpu.msrs.values.clear()
        vcpu.msrs.values.update(saved["msrs"])
    if machine.plane_model is not None:
        _objects(machine).load(state["model"])
    for vcpu, saved in zip(machine.vcpus, state["vcpus"], strict=True):
        vcpu.icount = saved["icount"]
        vcpu.group.now = machine.clock.icount
        for plane, data in zip(vcpu.planes, saved["planes"], strict=True):
            load_plane(plane, vcpu.planes, data)
        vcpu.waiting.load(saved["waiting"])
        load_group(vcpu.group, saved["group"])
        vcpu.counters.refresh()
    if machine.plane_model is not None:
        machine.plane_model.restored()
    machine.turn, machine.turn_left = state["machine"]["turn"], state["machine"]["turn_left"]
    machine.patience = state["machine"]["patience"]
    for gpa in machine.engine.monitors.load(state["machine"]["monitors"]):
        machine.memory.map[gpa // PAGE] |= pmap.WATCHED
    machine.input.load(state["machine"]["input"])
    machine.smm.load(state["machine"]["smm"])
    machine.clock.reorder(state["events"])


Walk = Callable[[str, Any], None]


def flatten(state: Any, visit: Walk, path: str = "") -> None:
    """Call `visit(path, value)` for each piece of a state: what two states differ in is found by it."""
    if isinstance(state, dict):
        for key, value in state.items():
            flatten(value, visit, f"{path}.{key}" if path else str(key))
    elif isinstance(state, list | tuple):
        for n, value in enumerate(state):
            flatten(value, visit, f"{path}[{n}]")
    else:
        visit(path, state)


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Paths at which two states differ."""
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}
    flatten(one, first.__setitem__)
    flatten(other, second.__setitem__)
    return sorted(path for path in first.keys() | second.keys()
                  if path not in first or path not in second or first[path] != second[path])
