"""What KVM itself does for a guest that asks by VMCALL or VMMCALL, besides switching (jit/plane_call.py): starting
planes and interrupting them.

Numbers and operands are those of the GHCB's events of the same names, with SW_EXITINFO1 in RBX and SW_EXITINFO2 in RCX;
a plane takes the place of a VMPL. RAX becomes 0 or one of Linux's error numbers, negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.apicbus import FIXED, NMI, ApicMessage
from emu.mem.ram import PAGE
from emu.planes import context as contexts
from emu.planes.kvm import context, vina
from emu.planes.snp.exits import AP_CREATION, HV_IPI
from emu.waiting import RUNNING, WAIT_FOR_SIPI
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.kvm.model import KvmModel
    from emu.vcpu import VCpu

EPERM, EINVAL = 1, 22
SET_VINA = 0x80005002                   # after PLANE_NOTICES
CREATE_ON_INIT, CREATE, DESTROY = range(3)
REQUEST_RESERVED = 0xFFF0_0000          # of AP_CREATION's low word; 19:16 the plane
ICR_RESERVED = 0xFFF3_0000 | 0x3000 | 0x8000        # of the ICR in x2APIC format, and level triggering
RAX, RBX, RCX = layout.gpr(0), layout.gpr(3), layout.gpr(1)


def carry_out(model: KvmModel, vcpu: VCpu, plane: Plane) -> bool:
    """Answer the hypercall at RIP; False: it is userspace's."""
    number, first, second = (plane.get(register) for register in (RAX, RBX, RCX))
    if number == AP_CREATION:
        result = _create(model, vcpu, plane, first, second)
    elif number == HV_IPI:
        result = _interrupt(model, vcpu, plane, first, second)
    elif number == SET_VINA:
        result = _set_vina(vcpu, plane, first)
    else:
        return False
    if result is not None:
        answer(plane, result)
    return True


def answer(plane: Plane, result: int) -> None:
    """The hypercall at RIP is done."""
    plane.set(RAX, result)
    plane.retire()


def _create(model: KvmModel, vcpu: VCpu, plane: Plane, request: int, gpa: int) -> int | None:
    """AP_CREATION: RBX 15:0 the request, 19:16 the plane, 63:32 the APIC ID of its vCPU; RCX the page with its context.
    None: the plane has to be created first."""
    action, number, apic_id = request & 0xFFFF, request >> 16 & 15, request >> 32
    vcpus = model.machine.vcpus
    if action > DESTROY or request & REQUEST_RESERVED or number >= model.limit or apic_id >= len(vcpus):
        return -EINVAL
    target = vcpus[apic_id]
    if target is vcpu and number == plane.number:
        return -EINVAL
    rank = model.policy.rank
    known = number == 0 or (apic_id, number) in model.twins
    if known and target.group.get(group_layout.ENTERED) >> number & 1 and rank(number) < rank(plane.number):
        return -EPERM
    if action == DESTROY:
        if known:
            stop(model, target, number)
        return 0
    if gpa % PAGE or not model.machine.memory.backed(gpa, PAGE):
        return -EINVAL
    page = bytes(model.machine.memory.read(gpa, PAGE))
    if illegal(page, vcpu.planes[0]):
        return -EINVAL
    if not known:
        model.handlers[vcpu.index].create_vcpu(plane, number, apic_id)
        return None
    if action == CREATE:
        start(model, target, number, page)
    else:
        model.armed[apic_id, number] = page
    return 0


def illegal(page: bytes, plane: Plane) -> bool:
    """Whether a plane cannot start so; `plane` is of the same processor model."""
    initial = context.parse(page)
    values = dict(initial.others)
    wrong_xcr0 = values[layout.XCR0] & ~plane.get(layout.XCR0_VALID) or not values[layout.XCR0] & 1
    addresses = (layout.LSTAR, layout.CSTAR, layout.KERNEL_GS_BASE, layout.SYSENTER_ESP, layout.SYSENTER_EIP)
    return bool(wrong_xcr0 or values[layout.DR6] >> 32 or values[layout.DR7] >> 32
                or not all(contexts.canonical(values[offset]) for offset in addresses)
                or not all(contexts.canonical(segment.base) for segment in initial.segments)
                or contexts.illegal(initial, plane))


def start(model: KvmModel, vcpu: VCpu, number: int, page: bytes) -> None:
    """Let a plane that exists start in a legal context."""
    twin = vcpu.planes[number]
    contexts.apply(context.parse(page), twin, model.machine)
    if not model.shares_fpu:
        context.start_fpu(page, twin)
    twin.pkru = 0
    twin.set(layout.DR6, twin.get(layout.DR6) | 0xFFFF0FF0)
    twin.set(layout.DR7, twin.get(layout.DR7) | 0x400)
    twin.set(layout.ACTIVITY, RUNNING)
    vcpu.group.mark(group_layout.ENTERED, number, True)
    if model.policy.mode == group_layout.MODE_RUNNABLE:
        vcpu.group.mark(group_layout.RUNNABLE, number, True)
    vcpu.engine.monitors.disarm(vcpu.index)
    vcpu.interrupt_changed(number)
    if vcpu.engine.select(vcpu.group.address) != vcpu.group.active:
        vcpu.group.set(group_layout.CAUSE, group_layout.CAUSE_START)
    model.machine.reschedule = model.machine.reschedule or vcpu.index != model.machine.turn


def stop(model: KvmModel, vcpu: VCpu, number: int) -> None:
    """A plane has nothing to run any more."""
    model.armed.pop((vcpu.index, number), None)
    vcpu.planes[number].set(layout.ACTIVITY, WAIT_FOR_SIPI)
    for word in (group_layout.ENTERED, group_layout.RUNNABLE):
        vcpu.group.mark(word, number, False)


def _set_vina(vcpu: VCpu, plane: Plane, value: int) -> int:
    """RBX: how the calling plane is told of interrupts for less privileged ones (emu/planes/kvm/vina.py)."""
    try:
        vina.write(vcpu, plane.number, value)
    except ValueError:
        return -EINVAL
    return 0


def _interrupt(model: KvmModel, vcpu: VCpu, plane: Plane, icr: int, number: int) -> int:
    """HV_IPI: RBX the ICR in x2APIC format, fixed or NMI; RCX the plane whose local APICs it is for. Interrupts for a
    more privileged plane are refused (as vsm26 does for synthetic IPIs), unless the policy lets them through."""
    mode = icr >> 8 & 7
    if icr & ICR_RESERVED or mode not in (FIXED, NMI) or number and not any(n == number for _, n in model.twins):
        return -EINVAL
    if model.policy.rank(number) < model.policy.rank(plane.number) and not model.policy.upward_ipis:
        return -EPERM
    model.bus(number).send(
        ApicMessage(icr & 0xFF, mode, icr >> 32, logical=bool(icr & 0x800), shorthand=icr >> 18 & 3, wide=True),
        vcpu.lapics[number] if number < len(vcpu.lapics) else None)
    return 0
