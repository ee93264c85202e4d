"""PVALIDATE, RMPADJUST, RMPQUERY, INVLPGB and TLBSYNC, and the host's instructions when a guest executes them (APM
Vol. 3; Vol. 2 15.36.6 to 15.36.15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emu.planes.snp import exits, vc
from emu.planes.snp import rmp as r
from emu.planes.snp.operands import (
    RAX,
    RCX,
    RDX,
    Answer,
    Denied,
    Intercepted,
    Raises,
    Untranslated,
    check_alignment,
    check_size,
    find,
    translate,
)
from emu.tlb_broadcast import operands_fault
from emu.vcpu import GP
from jit import exits as engine_exits
from jit import layout
from jit.semantics import wiring

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.snp.guest import SnpGuest
    from emu.vcpu import VCpu

STATUS_FLAGS, CF, PF, ZF, SF = 0x8D5, 1, 4, 0x40, 0x80
VMSA_BIT = 1 << 16


def finish(plane: Plane, code: int, carry: bool = False) -> None:
    """A return code in EAX, the flags that follow from it, and CF."""
    plane.set(RAX, code)
    flags = plane.rflags & ~STATUS_FLAGS | (CF if carry else 0)
    plane.rflags = flags | (0 if code else ZF) | (PF if code.bit_count() % 2 == 0 else 0)


def pvalidate(guest: SnpGuest, vcpu: VCpu, plane: Plane) -> None:
    """rAX: linear address; ECX bit 0: 2 MiB; EDX bit 0: validate, else rescind. CF: it was so before."""
    if guest.vmpl(vcpu, plane) and not guest.options.pvalidate_by_vmpl:
        raise Raises(GP, 0)
    size, valid = plane.get(RCX) & 1, bool(plane.get(RDX) & 1)
    check_alignment(plane, size)
    operand = find(guest, translate(guest, vcpu, plane), size)
    check_size(guest, operand, size)
    unchanged = bool(guest.rmp.validated[operand.page]) == valid
    if not unchanged:
        guest.rmp.validate(operand.page, valid)
    finish(plane, r.SUCCESS, unchanged)


def rmpadjust(guest: SnpGuest, vcpu: VCpu, plane: Plane) -> None:
    """RAX: linear address; RCX bit 0: 2 MiB; RDX: VMPL, mask in bits 15:8, VMSA in bit 16, which only VMPL0 changes."""
    own = guest.vmpl(vcpu, plane)
    size, target, mask = plane.get(RCX) & 1, plane.get(RDX) & 0xFF, plane.get(RDX) >> 8 & 0xFF
    check_alignment(plane, size)
    if target >= r.VMPLS or mask & ~r.ALL:
        raise Answer(r.FAIL_INPUT)
    if target <= own:
        raise Answer(r.FAIL_PERMISSION)
    operand = find(guest, translate(guest, vcpu, plane), size)
    if not guest.rmp.validated[operand.page]:
        raise Denied(None)
    check_size(guest, operand, size)
    if mask & ~int(guest.rmp.permissions[own, operand.page]):
        raise Answer(r.FAIL_PERMISSION)
    vmsa = bool(plane.get(RDX) & VMSA_BIT) if own == 0 else None
    if vmsa is not None and guest.rmp.busy(operand.page, 1):
        raise Answer(r.FAIL_INUSE)
    guest.rmp.adjust(operand.page, target, mask, vmsa)
    finish(plane, r.SUCCESS)


def rmpquery(guest: SnpGuest, vcpu: VCpu, plane: Plane) -> None:
    """RAX: linear address; RDX: VMPL. Gives mask and VMSA bit in RDX, and the page size in RCX bit 0."""
    own, target = guest.vmpl(vcpu, plane), plane.get(RDX) & 0xFF
    if target >= r.VMPLS:
        raise Answer(r.FAIL_INPUT)
    if target < own:
        raise Answer(r.FAIL_PERMISSION)
    operand = find(guest, translate(guest, vcpu, plane), None)
    if not guest.rmp.validated[operand.page]:
        raise Denied(None)
    page = operand.page
    mask = int(guest.rmp.permissions[target, page])
    plane.set(RDX, target | mask << 8 | (VMSA_BIT if guest.rmp.vmsa[page] else 0))
    plane.set(RCX, int(guest.rmp.large[page]))
    finish(plane, r.SUCCESS)


def host_only(guest: SnpGuest, vcpu: VCpu, plane: Plane) -> None:
    """RMPUPDATE and PSMASH are refused where the ASID is not 0."""
    raise Answer(r.FAIL_PERMISSION)


def invlpgb(guest: SnpGuest, vcpu: VCpu, plane: Plane) -> None:
    """Drop translations of the guest's ASID on all processors and at all VMPLs: at least those that are named. The
    processor takes the guest's ASID, whatever the operand (APM Vol. 2 15.36.15)."""
    if operands_fault(plane):
        raise Raises(GP, 0)
    if exits.INVLPGB in guest.hypervisor.intercepts:
        raise Intercepted(exits.INVLPGB)
    guest.flush()


def tlbsync(guest: SnpGuest, vcpu: VCpu, plane: Plane) -> None:
    """INVLPGB has taken effect everywhere when it ends."""
    if exits.TLBSYNC in guest.hypervisor.intercepts:
        raise Intercepted(exits.TLBSYNC)


SERVE: dict[int, Callable[[SnpGuest, VCpu, Plane], None]] = {
    wiring.SNP_PVALIDATE: pvalidate, wiring.SNP_RMPADJUST: rmpadjust, wiring.SNP_RMPQUERY: rmpquery,
    wiring.SNP_RMPUPDATE: host_only, wiring.SNP_PSMASH: host_only, wiring.SNP_INVLPGB: invlpgb,
    wiring.SNP_TLBSYNC: tlbsync,
}


def execute(guest: SnpGuest, vcpu: VCpu, plane: Plane) -> None:
    """The instruction at RIP, whose number the engine left in IO_VALUE; CPL and mode were checked."""
    try:
        SERVE[plane.get(layout.IO_VALUE)](guest, vcpu, plane)
    except Answer as answer:
        finish(plane, answer.code)
    except Intercepted as intercepted:
        vc.event(guest, vcpu, intercepted.code)
        return
    except Raises as exception:
        plane.raise_exception(exception.vector, exception.error)
        return
    except Untranslated as stopped:
        if stopped.status == engine_exits.DENIED:
            guest.memory_denied(vcpu, plane)
        else:
            plane.set(layout.FAULT_KIND, engine_exits.KIND_FAULT)
            plane.set(layout.FAULT_PENDING, 1)
        return
    except Denied as denied:
        guest.refuse(vcpu, plane, denied.nested)
        return
    plane.retire()
