"""A plane switch taken apart: why it happened, what was put aside, what the entered plane may access, the context that
it was entered with, its first instruction. For any design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emu import Machine
from emu.api.views import PlaneView
from emu.group import Switch
from emu.mem.ram import PAGE
from emu.state_names import REGISTERS
from jit.guards import DENY_EXECUTE, DENY_READ, DENY_WRITE
from tools.debug.changes import GENERAL, SYSTEM

STAGES = ("cause", "saved state", "permission set", "entry context", "first instruction")
ENTRY = ("rip", "rsp", "rflags", "cs", "ss", "cr0", "cr3", "cr4", "efer", "idtr_base", "gdtr_base")
BITS = (("read", DENY_READ), ("write", DENY_WRITE), ("execute", DENY_EXECUTE))


@dataclass
class Crossing:
    """The switch at which the machine stands, and its two planes."""

    switch: Switch
    source: PlaneView
    target: PlaneView


def crossing(machine: Machine) -> Crossing | None:
    """The plane switch that happened right before the next instruction; None if there was none."""
    plane = machine.current
    vcpu = machine.vcpu[plane.vcpu]
    last = vcpu.last_switch
    if last is None or last.icount != machine.icount or last.target != plane.number:
        return None
    if last.source >= len(vcpu.plane):
        return None
    return Crossing(last, vcpu.plane[last.source], plane)


def cause(machine: Machine, found: Crossing) -> dict[str, Any]:
    """Why: the switch's cause, the instruction, and what goes with it: the intercept, or vectors that wait."""
    facts: dict[str, Any] = {"cause": found.switch.cause, "rip": found.switch.rip_from}
    before = machine.vcpu[found.target.vcpu].switch_table()[:-1, 0][-1:].tolist()
    for seen in reversed(machine.plane_model.intercepts_seen if machine.plane_model is not None else ()):
        if (seen.vcpu, seen.to) == (found.target.vcpu, found.target.number):
            if seen.icount >= max(before, default=0):
                facts["intercept"] = f"{seen.kind}: {seen.what}, by {seen.instruction}"
            break
    apic = found.target.apic
    facts["irr"] = [n for n in range(256) if apic.irr >> n & 1]
    facts["pending"] = [name for name, yes in found.target.pending.items() if yes]
    return facts


def saved(machine: Machine, found: Crossing) -> dict[str, int]:
    """What was put aside, by name: the registers that the plane that was left has for itself. All of them, where the
    design names only the place that they are put to."""
    names = [name for name in _saved_names(machine) if name in REGISTERS] or (*GENERAL, *SYSTEM)
    return {name: found.source.regs[name] for name in names}


def saved_to(machine: Machine) -> str:
    """The place to which registers are put aside, "" where they just stay."""
    return ", ".join(name for name in _saved_names(machine) if name not in REGISTERS)


def _saved_names(machine: Machine) -> Sequence[str]:
    return machine.plane_model.saved if machine.plane_model is not None else ()


def shared(machine: Machine, found: Crossing) -> tuple[str, ...]:
    """The 64-bit registers that the switch carried over."""
    carried = machine.vcpu[found.target.vcpu].shared
    return tuple(name for name in sorted(carried, key=list(REGISTERS).index) if REGISTERS[name].bits == 64)


def pages(machine: Machine) -> int:
    """How many guest-physical pages have memory."""
    return int(np.count_nonzero(np.frombuffer(machine.memory.map, np.uint64)[:machine.map.space // PAGE]))


def permissions(machine: Machine, plane: PlaneView) -> dict[str, int]:
    """How many of the pages that have memory a plane must not read, write, execute."""
    table = np.frombuffer(plane.denials(0, machine.map.space // PAGE), np.uint8)
    table = table[np.frombuffer(machine.memory.map, np.uint64)[:len(table)] != 0]
    return {name: int(np.count_nonzero(table & bit)) for name, bit in BITS}
