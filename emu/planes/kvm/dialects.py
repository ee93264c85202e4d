"""What the published series for KVM planes have in common and where they differ (2024 to 2026, kvm mailing list)."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

PLANE_EVENT_CREATE_VCPU = 1             # cause of a plane event, where `starts`
KVM_CAP_PLANES, KVM_CAP_PLANES_FPU, KVM_CAP_CHECK_EXTENSION_VM = 239, 240, 105
KVM_CAP_X86_DISABLE_EXITS = 143
KVM_CAP_PLANE, KVM_CAP_PLANE_FPU = 239, 240             # their names in oct24
KVM_CAP_NR_VCPUS, KVM_CAP_MAX_VCPUS, KVM_CAP_MEMORY_ATTRIBUTES = 9, 66, 233
KVM_CAP_IRQCHIP, KVM_CAP_SPLIT_IRQCHIP = 0, 121
# MP_STATE, IRQ_ROUTING, VCPU_EVENTS, DEBUGREGS, XSAVE, XCRS, SIGNAL_MSI, IMMEDIATE_EXIT, MEMORY_FAULT_INFO
ALWAYS = frozenset((14, 25, 41, 50, 55, 56, 77, 136, 232, KVM_CAP_CHECK_EXTENSION_VM))


class KvmError(OSError):
    """An ioctl failed; `errno` says how."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(number, f"{os.strerror(number)}: {why}")


def refuse(number: int, why: str) -> KvmError:
    """The error to raise."""
    return KvmError(number, why)


class Dialect(NamedTuple):
    """One series. `counts`: the capability is the number of planes, else the highest number; `by_plane0`: a vCPU of a
    plane is created from plane 0's vCPU, else by its id; `chosen`: run.plane chooses what runs; `attributes`: planes
    have memory attributes; `fpu_capability`: what capability 240 says, "splits": planes have x87 and vector state of
    their own, "shares": enabling it lets them share it, "": the series has none; `enables`: planes are there once
    capability 239 is enabled with their number; `bitmap`: `target` of a plane event is a set, else a number;
    `plane_extension`: plane descriptors answer KVM_CHECK_EXTENSION; `starts`: KVM itself carries out a guest's request
    to start a plane, and exits for one that is missing; `routing`: which plane a GSI goes to, "zero" plane 0, "entry"
    as each entry says, "owner" the plane that set the table; `vtl_interrupt`: events of planes that userspace schedules
    have an exit of their own; `overlays`: planes have pages of their own; `policy`: what decides where nobody else says
    so."""

    name: str
    limit: int
    counts: bool
    by_plane0: bool
    chosen: bool
    attributes: bool
    bitmap: bool
    plane_extension: bool
    plane_event: int
    interrupt_cause: int
    fpu_capability: str
    enables: bool
    starts: bool
    routing: str
    vtl_interrupt: bool
    overlays: bool
    policy: str


DIALECTS = {dialect.name: dialect for dialect in (
    Dialect("oct24", 16, counts=False, by_plane0=True, chosen=True, attributes=True, bitmap=False, plane_extension=True,
            plane_event=40, interrupt_cause=0, fpu_capability="splits", enables=False, starts=False,
            routing="zero", vtl_interrupt=False, overlays=False, policy="USER"),
    Dialect("apr25", 16, counts=True, by_plane0=True, chosen=True, attributes=True, bitmap=True, plane_extension=True,
            plane_event=40, interrupt_cause=1, fpu_capability="shares", enables=False, starts=False,
            routing="entry", vtl_interrupt=False, overlays=False, policy="USER"),
    Dialect("jun26", 4, counts=True, by_plane0=False, chosen=False, attributes=False, bitmap=True,
            plane_extension=False, plane_event=44, interrupt_cause=1, fpu_capability="", enables=False,
            starts=True, routing="owner", vtl_interrupt=False, overlays=False, policy="LOWEST_RUNNABLE"),
    Dialect("vsm26", 16, counts=True, by_plane0=False, chosen=False, attributes=True, bitmap=True,
            plane_extension=False, plane_event=44, interrupt_cause=1, fpu_capability="", enables=True,
            starts=True, routing="owner", vtl_interrupt=True, overlays=True, policy="HIGHEST_RUNNABLE+fpu+gpr"))}


def dialect(name: str) -> Dialect:
    """A dialect by its name. ValueError: one line that lists them."""
    if name not in DIALECTS:
        raise ValueError(f"dialect {name!r}: not one of {', '.join(DIALECTS)}")
    return DIALECTS[name]


EINVAL, EEXIST, ENOTTY, EINTR, EAGAIN, EBUSY, ENXIO, ENOMEM = (
    errno.EINVAL, errno.EEXIST, errno.ENOTTY, errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ENXIO,
    errno.ENOMEM)
