"""Who denies what of a guest-physical page: the layers of permission behind a table of denials (jit/guards.py)."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, NamedTuple

from emu.mem.ram import PAGE
from jit import layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.vcpu import VCpu


class Origin(NamedTuple):
    """The instruction that set a permission: number `icount` of the run, so that going there stands before it; the
    vCPU, the plane and the RIP that executed it."""

    icount: int
    vcpu: int
    plane: int
    rip: int


class Layer(NamedTuple):
    """One decision about a page: whose it is (for people), what it denies (DENY_* of jit/guards.py), and the
    instruction that made it; None where none did, but a virtual machine monitor or a launch."""

    name: str
    denied: int
    origin: Origin | None = None


def origin_of(vcpu: VCpu) -> Origin:
    """The instruction that a vCPU is executing."""
    plane = vcpu.plane
    return Origin(vcpu.machine.clock.icount, vcpu.index, plane.number, plane.get(layout.RIP))


def denials(machine: Machine, plane: Plane, first: int, count: int) -> bytes:
    """What all layers together deny a plane of `count` pages from page number `first` on: DENY_* in a byte for each.
    Pages beyond the guest-physical space have no byte."""
    pages = plane.get(layout.NESTED_PAGES) or machine.map.space // PAGE
    count = max(0, min(first + count, pages) - first)
    table = plane.get(layout.DENIALS)
    return ctypes.string_at(table + first, count) if table else bytes(count)
