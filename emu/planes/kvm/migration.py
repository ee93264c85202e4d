"""Saving a vCPU with all its planes between runs, and restoring it into a VM made the same way.

What follows from the rest is not saved: which planes have events comes from the local APICs again. Memory, attributes
and the clock are the VM's. Waits that may end early have ended when they are restored.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from emu.digest import REGISTERS
from emu.planes.kvm.dialects import EINVAL, refuse
from emu.planes.kvm.vcpu import Vcpu
from emu.waiting import EARLY_END, RUNNING
from jit import fpu_layout, group_layout, layout

POLICY_WORDS = (
    group_layout.ACTIVE, group_layout.ENABLED, group_layout.RUNNABLE, group_layout.MODE, group_layout.MPP,
    group_layout.FILTER, group_layout.STRICT_SHADOW, group_layout.RETURN_RULE, group_layout.FALLBACK,
    group_layout.MEDIATED, group_layout.ENTERED, group_layout.BLOCKED, group_layout.REQUESTED, group_layout.NOTICES,
    group_layout.NOTICED, group_layout.CAUSE,
    group_layout.FORCED, group_layout.FORCED_CAUSE, group_layout.FORCED_RIP,
    *(group_layout.RANK + 8 * n for n in range(group_layout.MAX_PLANES)))
FIELDS = (*REGISTERS, "apic_base", "pdpte", "random", "fault_pending", "fault_vector", "fault_error",
          "fault_has_error", "fault_address", "fault_kind")
OFFSETS = tuple(layout.FIELDS[name].offset + 8 * i for name in FIELDS for i in range(layout.FIELDS[name].count))


def save(vcpu: Vcpu) -> dict[str, Any]:
    """Plane 0's vCPU and all that belongs to it, as plain data."""
    cpu = vcpu.cpu
    planes = [{"fields": [plane.get(offset) for offset in OFFSETS], "rflags": plane.rflags,
               "fpu": [plane.fpu_get(offset) for offset in range(0, fpu_layout.TMPV, 8)], "lapic": lapic.save()}
              for plane, lapic in zip(cpu.planes, cpu.lapics, strict=True)]
    return {"policy": [cpu.group.get(word) for word in POLICY_WORDS], "planes": planes,
            "msrs": dict(cpu.msrs.values), "run": deepcopy(vcpu.run_area), "completes": vcpu.completes}


def restore(vcpu: Vcpu, state: dict[str, Any]) -> None:
    """Continue from what `save` gave. KvmError EINVAL: the vCPU has other planes."""
    cpu = vcpu.cpu
    if len(cpu.planes) != len(state["planes"]):
        raise refuse(EINVAL, f"saved with {len(state['planes'])} planes, not {len(cpu.planes)}")
    cpu.msrs.values.update(state["msrs"])
    cpu.wait_rules.apply()
    cpu.counters.refresh()
    for number, (plane, saved) in enumerate(zip(cpu.planes, state["planes"], strict=True)):
        for offset, value in zip(OFFSETS, saved["fields"], strict=True):
            plane.set(offset, value)
        plane.rflags = saved["rflags"]
        for n, value in enumerate(saved["fpu"]):
            plane.fpu_set(8 * n, value)
        if plane.get(layout.ACTIVITY) in EARLY_END:
            plane.set(layout.ACTIVITY, RUNNING)
        plane.update_mode()
        plane.flush()
        cpu.lapics[number].load(saved["lapic"])
        cpu.interrupt_changed(number)
    for word, value in zip(POLICY_WORDS, state["policy"], strict=True):
        cpu.group.set(word, value)
    cpu.engine.monitors.disarm(vcpu.id)
    vcpu.run_area, vcpu.completes = deepcopy(state["run"]), state["completes"]
