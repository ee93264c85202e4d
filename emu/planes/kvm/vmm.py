"""The VMM of guests that `strata run --planes kvm` starts: it creates the planes that a guest asks for, and where the
policy leaves the choice to userspace it schedules as Hyper-V's calls, returns and interrupts do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.planes.kvm.calls import RAX, answer
from emu.planes.kvm.model import KvmModel
from jit import group_layout as g
from jit import layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.planes.policies import Policy
    from emu.vcpu import VCpu

ENOSYS, UD = 1000, 6                # KVM_ENOSYS (Linux, include/uapi/linux/kvm_para.h)


class BuiltinVmm:
    """Userspace for one vCPU."""

    def __init__(self, model: KvmModel, vcpu: VCpu, reported: set[int]) -> None:
        self._model, self._vcpu, self._reported = model, vcpu, reported

    def create_vcpu(self, plane: Plane, number: int, apic_id: int) -> None:
        self._model.add_twin(apic_id, number)

    def hypercall(self, plane: Plane) -> None:
        number = plane.get(RAX)
        if self._model.policy.mode == g.MODE_USER and number in (g.PLANE_CALL, g.PLANE_RETURN):
            self._call_or_return(plane, number)
            return
        if number not in self._reported:
            self._reported.add(number)
            self._model.machine.report(f"KVM hypercall {number:#x} is not implemented under policy "
                                       f"{self._model.policy.name}: -KVM_ENOSYS")
        answer(plane, -ENOSYS)

    def waits(self, plane: Plane, instruction: str) -> None:
        """KVM lets the vCPU sleep."""

    def memory_denied(self, plane: Plane) -> None:
        raise AssertionError("planes of such guests have no memory attributes")

    def interrupt_window(self, plane: Plane) -> bool:
        """The local APICs are KVM's."""
        return False

    def notice(self) -> None:
        """The machine looks by itself."""

    # --- scheduling in userspace -----------------------------------------------------------------------------------

    def plane_event(self) -> None:
        """Enter the most privileged plane that has an event; planes that have nothing to run are not asked about
        again until the next switch."""
        group = self._vcpu.group
        pending = group.get(g.PENDING) & group.get(g.REQUESTED)
        there = [n for n in self._there() if pending >> n & 1]
        if there:
            self._enter(min(there, key=self._model.policy.rank), g.CAUSE_INTERRUPT, 0)
        else:
            group.set(g.REQUESTED, group.get(g.REQUESTED) & ~pending)

    def _there(self) -> list[int]:
        present = self._vcpu.group.get(g.ENABLED) & self._vcpu.group.get(g.ENTERED)
        return [plane.number for plane in self._vcpu.planes if present >> plane.number & 1]

    def _call_or_return(self, plane: Plane, number: int) -> None:
        """To the next more privileged plane, or to the most privileged of those that were interrupted."""
        rank, group = self._model.policy.rank, self._vcpu.group
        mine, rip = rank(plane.number), plane.get(layout.RIP)
        if number == g.PLANE_CALL:
            target = max((n for n in self._there() if rank(n) < mine), key=rank, default=None)
        else:
            below = [n for n in self._there() if rank(n) > mine]
            target = min((n for n in below if group.get(g.RUNNABLE) >> n & 1), key=rank,
                         default=min(below, key=rank, default=None))
        if target is None:
            plane.raise_exception(UD)
            return
        answer(plane, 0)
        if number == g.PLANE_RETURN:
            group.mark(g.RUNNABLE, plane.number, False)
        self._enter(target, g.CAUSE_CALL if number == g.PLANE_CALL else g.CAUSE_RETURN, rip)

    def _enter(self, target: int, cause: int, rip: int) -> None:
        """Switch before anything else runs, and ask about events of all planes above the one entered."""
        group, rank = self._vcpu.group, self._model.policy.rank
        group.mark(g.RUNNABLE, target, True)
        for word, value in ((g.FORCED, target + 1), (g.FORCED_CAUSE, cause), (g.FORCED_RIP, rip)):
            group.set(word, value)
        group.set(g.REQUESTED, sum(1 << n for n in range(self._model.limit) if rank(n) < rank(target)))


def serve(machine: Machine, policy: Policy) -> KvmModel:
    """Offer planes to a machine's guest under a policy."""
    if policy.mode == g.MODE_USER:
        policy = policy._replace(descending=True)       # as its scheduler, which is Hyper-V's
    model = KvmModel(machine, policy)
    reported: set[int] = set()
    for vcpu in machine.vcpus:
        model.handlers[vcpu.index] = BuiltinVmm(model, vcpu, reported)
        vcpu.group.set(g.REQUESTED, sum(1 << n for n in range(model.limit) if policy.rank(n) < policy.rank(0)))
    return model
