"""A vCPU of a plane; plane 0's also runs (KVM_RUN) for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.planes.kvm.dialects import EAGAIN, EINTR, EINVAL, PLANE_EVENT_CREATE_VCPU, refuse
from emu.planes.kvm.notify import RunnableEvent
from emu.planes.kvm.run import (
    IDLE_HLT,
    IDLE_MWAIT,
    KVM_EXIT_HLT,
    KVM_EXIT_HYPERCALL,
    KVM_EXIT_INTR,
    KVM_EXIT_MEMORY_FAULT,
    KVM_EXIT_MWAIT,
    KVM_EXIT_PAUSE,
    USERSPACE_EXIT_HLT,
    USERSPACE_EXIT_MWAIT,
    USERSPACE_EXIT_PAUSE,
    Hypercall,
    MemoryFault,
    PlaneEvent,
    Run,
)
from emu.waiting import FOR_LINE, HALTED, IDLE, RUNNING, TPAUSE, WAIT_FOR_SIPI, interrupt_ends
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.kvm.vm import KvmPlane
    from emu.vcpu import VCpu

(KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_HALTED) = range(4)
STATES = {RUNNING: KVM_MP_STATE_RUNNABLE, WAIT_FOR_SIPI: KVM_MP_STATE_INIT_RECEIVED, HALTED: KVM_MP_STATE_HALTED,
          IDLE: KVM_MP_STATE_HALTED}
GPRS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
LEAVES = {"HLT": (USERSPACE_EXIT_HLT, KVM_EXIT_HLT), "MWAIT": (USERSPACE_EXIT_MWAIT, KVM_EXIT_MWAIT),
          "PAUSE": (USERSPACE_EXIT_PAUSE, KVM_EXIT_PAUSE)}
SLICE = 1_000_000


class Vcpu:
    """The state of one plane of one vCPU. `run_area`, `runnable` and `completes`, whether a hypercall waits for its
    answer, are plane 0's."""

    def __init__(self, plane: KvmPlane, number: int) -> None:
        self.plane, self.id = plane, number
        self.cpu: VCpu = plane.vm.machine.vcpus[number]
        self.state: Plane = self.cpu.planes[plane.number]
        self.run_area = Run()
        self.runnable = RunnableEvent()
        self._exit = False
        self.completes = False
        self._kicked = False
        if plane.number == 0:
            plane.vm.model.handlers[number] = self

    # --- state ---------------------------------------------------------------------------------------------------

    def get_regs(self) -> dict[str, int]:
        """KVM_GET_REGS."""
        values = {name: self.state.get(layout.gpr(n)) for n, name in enumerate(GPRS)}
        return values | {"rip": self.state.get(layout.RIP), "rflags": self.state.rflags}

    def set_regs(self, **values: int) -> None:
        """KVM_SET_REGS of those that are named."""
        for name, value in values.items():
            if name == "rip":
                self.state.set(layout.RIP, value)
            elif name == "rflags":
                self.state.rflags = value
                self.state.update_mode()
            elif name in GPRS:
                self.state.set(layout.gpr(GPRS.index(name)), value)
            else:
                raise refuse(EINVAL, f"no register {name}")
        self.cpu.group.mark(group_layout.ENTERED, self.plane.number, True)

    def get_mp_state(self) -> int:
        """KVM_GET_MP_STATE; waits that may end early count as running."""
        return STATES.get(self.state.get(layout.ACTIVITY), KVM_MP_STATE_RUNNABLE)

    def set_mp_state(self, value: int) -> None:
        """KVM_SET_MP_STATE. KvmError EINVAL: not a state of x86."""
        activity = {KVM_MP_STATE_RUNNABLE: RUNNING, KVM_MP_STATE_UNINITIALIZED: WAIT_FOR_SIPI,
                    KVM_MP_STATE_INIT_RECEIVED: WAIT_FOR_SIPI, KVM_MP_STATE_HALTED: HALTED}.get(value)
        if activity is None:
            raise refuse(EINVAL, f"MP state {value}")
        self.state.set(layout.ACTIVITY, activity)

    def set_run_state(self, runnable: bool) -> None:
        """KVM_SET_PLANE_RUN_STATE: whether the plane may be chosen."""
        self.cpu.group.mark(group_layout.RUNNABLE, self.plane.number, runnable)

    # --- running -------------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """What a signal to the thread does: the run ends with EINTR, once the state is up to date."""
        self._kicked = True

    def run(self) -> int:
        """KVM_RUN: gives the exit reason. KvmError: EINVAL on other planes than 0 and for a plane that does not exist,
        EINTR after a kick or with immediate_exit, EAGAIN where KVM's thread would sleep and nothing is to come."""
        vm, run, group = self.plane.vm, self.run_area, self.cpu.group
        if self.plane.number:
            raise refuse(EINVAL, "KVM_RUN is for plane 0's vCPU")
        if vm.dialect.chosen and len(vm.planes) > 1:
            if run.plane not in vm.planes or self.id not in vm.planes[run.plane].vcpus:
                raise refuse(EINVAL, f"run.plane = {run.plane}")
            if vm.model.policy.marker not in (None, run.plane) and run.plane != group.active:
                raise refuse(EINVAL, f"{vm.model.policy.name} alone names planes")
            self._activate(run.plane)
        self._complete()
        if run.immediate_exit:
            run.exit_reason = KVM_EXIT_INTR
            raise refuse(EINTR, "immediate_exit")
        group.set(group_layout.REQUESTED, run.req_exit_planes)
        run.idle = 0
        return self._loop()

    def _loop(self) -> int:
        machine, run = self.plane.vm.machine, self.run_area
        self._exit, machine.stopping = False, None
        while True:
            machine.clock.run_due()
            self.cpu.waiting.poll(self.cpu.plane)
            if self._kicked:
                self._kicked = False
                run.exit_reason = KVM_EXIT_INTR
                self._out()
                raise refuse(EINTR, "kicked")
            if self.cpu.runs():
                machine.reschedule = False
                due = machine.clock.deadline_icount()
                self.cpu.run(SLICE if due is None else max(1, min(SLICE, due - machine.clock.icount)))
            else:
                deadline = machine.clock.next_deadline()
                self._out()
                if deadline is None:
                    raise refuse(EAGAIN, "the vCPU sleeps and nothing is to come")
                machine.clock.skip_to(deadline)
            if self._exit:
                self._out()
                return run.exit_reason
            if machine.stopping is not None:
                raise refuse(EINVAL, machine.stopping.message)

    def _activate(self, number: int) -> None:
        """Userspace's choice of a plane."""
        group = self.cpu.group
        if number != group.active:
            old, new = group.plane, group.planes[number]
            new.set(layout.SAMPLE, old.get(layout.SAMPLE))
            self.cpu.engine.monitors.disarm(self.id)
            group.set(group_layout.ACTIVE, number)
            group.mark(group_layout.ENTERED, number, True)
            if group.get(group_layout.MODE) == group_layout.MODE_EVENT:
                rank = self.plane.vm.model.policy.rank
                for other in group.planes:                  # nothing waits above it any more
                    if rank(other.number) < rank(number):
                        group.mark(group_layout.RUNNABLE, other.number, False)

    def _out(self) -> None:
        run, plane, group = self.run_area, self.cpu.plane, self.cpu.group
        activity = plane.get(layout.ACTIVITY)
        run.idle = IDLE_HLT if activity == HALTED else IDLE_MWAIT if activity in FOR_LINE | {TPAUSE} else 0
        run.if_flag = plane.get(layout.RFL) >> 9 & 1
        run.plane = group.active
        put_aside = group.get(group_layout.MODE) == group_layout.MODE_EVENT
        run.suspended_planes = group.get(group_layout.RUNNABLE) & ~(1 << group.active) if put_aside else 0
        self.runnable.level(self.is_runnable())

    def _leave(self, reason: int) -> None:
        self.run_area.exit_reason = reason
        self._exit = self.plane.vm.machine.reschedule = True

    def _complete(self) -> None:
        if self.completes:
            self.completes = False
            plane = self.cpu.plane
            plane.set(layout.gpr(0), self.run_area.hypercall.ret)

    # --- what happens while it runs (emu/planes/kvm/model.py) ------------------------------------------------------

    def is_runnable(self) -> bool:
        """Whether KVM_RUN would execute something, or leave with an event, now."""
        return self.cpu.runs() or interrupt_ends(self.cpu.plane)

    def notice(self) -> None:
        """Something changed that may make it runnable."""
        self.runnable.level(self.is_runnable())

    def plane_event(self) -> None:
        group, dialect = self.cpu.group, self.plane.vm.dialect
        pending = group.get(group_layout.PENDING)
        target = pending & group.get(group_layout.REQUESTED)
        if not dialect.bitmap:
            target = (target & -target).bit_length() - 1
        self.run_area.plane_event = PlaneEvent(dialect.interrupt_cause, pending, target)
        self._leave(dialect.plane_event)

    def create_vcpu(self, plane: Plane, number: int, apic_id: int) -> None:
        """Leave for userspace to create it, where the series does; elsewhere the guest's hypercall is userspace's."""
        if not self.plane.vm.dialect.starts:
            self.hypercall(plane)
            return
        self.run_area.plane_event = PlaneEvent(PLANE_EVENT_CREATE_VCPU, plane=number, extra=(apic_id,))
        self._leave(self.plane.vm.dialect.plane_event)

    def waits(self, plane: Plane, instruction: str) -> None:
        bit, reason = LEAVES[instruction]
        if self.run_area.userspace_exits & bit:
            self._leave(reason)

    def hypercall(self, plane: Plane) -> None:
        self.run_area.hypercall = Hypercall(plane.get(layout.gpr(0)),
                                            tuple(plane.get(layout.gpr(n)) for n in (3, 1, 2, 6)))
        plane.retire()
        self.completes = True
        self._leave(KVM_EXIT_HYPERCALL)

    def memory_denied(self, plane: Plane) -> None:
        gpa, access = plane.get(layout.DENIED_GPA), plane.get(layout.DENIED_ACCESS)
        self.run_area.memory_fault = MemoryFault(1 << access, gpa & -4096, 4096)
        self._leave(KVM_EXIT_MEMORY_FAULT)
