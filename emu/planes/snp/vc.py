"""#VC, the VMM communication exception (APM Vol. 2 15.35.5, 15.36.9): events that would show the hypervisor too much
go to the guest first, or, with ReflectVC, to a more privileged VMPL of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.planes.snp import exits, injection, vmsa
from jit import exits as engine_exits
from jit import layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.snp.guest import SnpGuest
    from emu.vcpu import VCpu

DF, PF, VC = 8, 14, 29
CONTRIBUTORY = frozenset((0, 10, 11, 12, 13, 21, VC))       # APM Vol. 2 table 8-6


def event(guest: SnpGuest, vcpu: VCpu, code: int, info1: int = 0, info2: int = 0, linear: int | None = None) -> None:
    """A non-automatic exit of the instruction at RIP, or of the delivery of the pending event: exit code, EXITINFO1 and
    EXITINFO2 as the hypervisor would see them, and for CR2 the linear address."""
    vp, plane = guest.vps[vcpu.index], vcpu.plane
    if guest.running(vp).has(vmsa.REFLECT_VC):
        reflect(guest, vcpu, code, info1, info2)
        return
    if linear is not None:
        plane.set(layout.CR2, linear)
    _raise(guest, vcpu, plane, code)


def _raise(guest: SnpGuest, vcpu: VCpu, plane: Plane, code: int) -> None:
    first = plane.get(layout.FAULT_VECTOR) if plane.get(layout.FAULT_PENDING) else None
    if first is None or plane.get(layout.FAULT_KIND) != engine_exits.KIND_FAULT:
        plane.raise_exception(VC, code)
    elif first == DF:
        plane.set(layout.FAULT_PENDING, 0)
        vcpu.shut_down(plane)
    elif first in CONTRIBUTORY or first == PF:
        plane.raise_exception(DF, 0)
    else:
        plane.raise_exception(VC, code)


def reflect(guest: SnpGuest, vcpu: VCpu, code: int, info1: int, info2: int) -> None:
    """Exit to the hypervisor as VMEXIT_VC, which can only run the VMPL that manages this one."""
    interrupted = injection.pending(vcpu)
    vcpu.plane.set(layout.FAULT_PENDING, 0)
    guest.world.vmexit(vcpu, exits.VMEXIT_VC, info1, info2, interrupted, reflected=code)
    guest.hypervisor.reflected(vcpu, code)
    guest.resume(vcpu)
