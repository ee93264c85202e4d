"""Threads as GDB sees them: each plane of each vCPU is one."""

from __future__ import annotations

from emu import Machine
from emu.api.views import PlaneView

PLANES = 16
PROCESS = 1


def number(vcpu: int, plane: int) -> int:
    """A plane's thread number, from 1."""
    return vcpu * PLANES + plane + 1


def name(thread: int) -> str:
    """A thread as packets name it."""
    return f"p{PROCESS:x}.{thread:x}"


def parse(text: str) -> int:
    """The number of a thread that a packet names; 0 for any, -1 for all. ValueError: that is no thread."""
    if text.startswith("p"):
        process, dot, thread = text[1:].partition(".")
        if int(process, 16) not in (-1, 0, PROCESS):
            raise ValueError("no such process")
        text = thread if dot else "-1"
    return int(text, 16)


def all_threads(machine: Machine) -> list[PlaneView]:
    """The planes that exist, by thread number."""
    return [plane for vcpu in machine.vcpu for plane in vcpu.plane]


def find(machine: Machine, thread: int) -> PlaneView:
    """A thread's plane; the current one for 0 and -1. ValueError: there is no such thread."""
    if thread in (0, -1):
        return machine.current
    vcpu, plane = divmod(thread - 1, PLANES)
    if not 0 <= vcpu < len(machine.vcpus) or plane >= len(machine.vcpus[vcpu].planes):
        raise ValueError("no such thread")
    return machine.view(vcpu, plane)


def of(plane: PlaneView) -> int:
    """A plane's thread number."""
    return number(plane.vcpu, plane.number)


def describe(plane: PlaneView) -> str:
    """What GDB shows beside a thread."""
    state = "running" if plane.active else "enabled" if plane.enabled else "not enabled"
    halted = ", halted" if plane.halted else ""
    return f"{plane.name} of vCPU {plane.vcpu}, {state}{halted}"
