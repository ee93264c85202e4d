"""A vCPU of a plane; plane 0's also runs (KVM_RUN) for all of them."""

from __future__ import annotations

import weakref
from threading import get_ident
from typing import TYPE_CHECKING

from emu.planes.kvm import vina
from emu.planes.kvm.dialects import EAGAIN, EBUSY, EEXIST, EINTR, EINVAL, ENXIO, PLANE_EVENT_CREATE_VCPU, refuse
from emu.planes.kvm.lazy_timers import LazyTimers
from emu.planes.kvm.notify import RunnableEvent
from emu.planes.kvm.run import (
    IDLE_HLT,
    IDLE_MWAIT,
    KVM_EXIT_HLT,
    KVM_EXIT_HYPERCALL,
    KVM_EXIT_HYPERV_VTL_INTERRUPT,
    KVM_EXIT_INTERNAL_ERROR,
    KVM_EXIT_INTR,
    KVM_EXIT_IRQ_WINDOW_OPEN,
    KVM_EXIT_MEMORY_FAULT,
    KVM_EXIT_MWAIT,
    KVM_EXIT_PAUSE,
    KVM_EXIT_SHUTDOWN,
    KVM_EXIT_SYSTEM_EVENT,
    KVM_SYSTEM_EVENT_RESET,
    KVM_SYSTEM_EVENT_SHUTDOWN,
    USERSPACE_EXIT_HLT,
    USERSPACE_EXIT_MWAIT,
    USERSPACE_EXIT_PAUSE,
    Hypercall,
    MemoryFault,
    PlaneEvent,
    Run,
)
from emu.planes.kvm.state import VcpuState
from emu.planes.shared import exchange_pkru, shared_words
from emu.stop import POWER_OFF, RESET, TRIPLE_FAULT, UNIMPLEMENTED, Stop
from emu.waiting import FOR_LINE, HALTED, RUNNING, TPAUSE, UNINITIALIZED, interrupt_ends
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.kvm.vm import KvmPlane

LEAVES = {"HLT": (USERSPACE_EXIT_HLT, KVM_EXIT_HLT), "MWAIT": (USERSPACE_EXIT_MWAIT, KVM_EXIT_MWAIT),
          "PAUSE": (USERSPACE_EXIT_PAUSE, KVM_EXIT_PAUSE)}
STOPS = {TRIPLE_FAULT: (KVM_EXIT_SHUTDOWN, 0), UNIMPLEMENTED: (KVM_EXIT_INTERNAL_ERROR, 0),
         RESET: (KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_RESET),
         POWER_OFF: (KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_SHUTDOWN)}
SLICE = 1_000_000
IF = 1 << 9
RESPECTS = ("if", "shadow", "none")
Watcher = tuple["weakref.ref[RunnableEvent]", "Vcpu", str]


class Vcpu(VcpuState):
    """One plane of one vCPU. `run_area`, `runnable`, `watchers` and `completes`, the plane whose hypercall waits for
    its answer, are plane 0's."""

    def __init__(self, plane: KvmPlane, number: int) -> None:
        super().__init__(plane, number)
        self.run_area = Run()
        self.watchers: list[Watcher] = []
        self.runnable = RunnableEvent()
        self._exit = False
        self.completes: int | None = None
        self._kicked = False
        if plane.number == 0:
            plane.vm.model.handlers[number] = self
        if number and plane.vm.irqchip:
            self.state.set(layout.ACTIVITY, UNINITIALIZED)
        self.first: Vcpu = self if plane.number == 0 else plane.vm.planes[0].vcpus[number]
        if plane.number == 0:
            self.timers = LazyTimers(self.notice)
        if plane.vm.lazy_timers:
            self.first.timers.attach(self.cpu.lapics[plane.number], plane.number)

    def set_run_state(self, runnable: bool) -> None:
        """KVM_SET_PLANE_RUN_STATE: whether the plane may be chosen. Under USER, where run.plane does not choose, the
        plane that becomes runnable is chosen."""
        self.cpu.group.mark(group_layout.RUNNABLE, self.plane.number, runnable)
        vm = self.plane.vm
        if runnable and vm.model.policy.mode == group_layout.MODE_USER and not vm.dialect.chosen:
            self._activate(self.plane.number)

    def get_vina(self) -> int:
        """Whether and how this plane is told of interrupts for less privileged ones (emu/planes/kvm/vina.py)."""
        return vina.read(self.cpu, self.plane.number)

    def set_vina(self, value: int) -> None:
        """Change that. KvmError EINVAL: not a value of the register."""
        try:
            vina.write(self.cpu, self.plane.number, value)
        except ValueError as error:
            raise refuse(EINVAL, str(error)) from error

    # --- interrupts of a VMM with local APICs of its own -----------------------------------------------------------

    def interrupt(self, vector: int) -> None:
        """KVM_INTERRUPT: inject one before the next instruction. KvmError: ENXIO with local APICs in the kernel, EINVAL
        for no vector and on other planes than 0, EEXIST while another event is on its way."""
        if self.plane.number:
            raise refuse(EINVAL, "KVM_INTERRUPT is for plane 0's vCPU")
        if self.plane.vm.irqchip:
            raise refuse(ENXIO, "the local APICs are in the kernel")
        if not 0 <= vector < 256:
            raise refuse(EINVAL, f"vector {vector}")
        if self.state.get(layout.FAULT_PENDING):
            raise refuse(EEXIST, "another event is on its way")
        self.state.inject_interrupt(vector)
        self.notice()

    def _ready(self) -> bool:
        """Whether KVM_INTERRUPT would be taken at once."""
        plane = self.cpu.plane
        return bool(plane.get(layout.RFL) & IF) and not plane.get(layout.SHADOW) and not plane.get(layout.FAULT_PENDING)

    def interrupt_window(self, plane: Plane) -> bool:
        """The guest could take an interrupt, and a VMM that has them asked to know."""
        if self.plane.vm.irqchip:
            return False
        plane.set(layout.INTERRUPT, 0)
        self._leave(KVM_EXIT_IRQ_WINDOW_OPEN)
        return True

    # --- waiting ---------------------------------------------------------------------------------------------------

    def wakes(self, respect: str = "if") -> bool:
        """Whether this plane has an event that would wake it. `respect`: "if" as HLT does, "shadow" whatever RFLAGS.IF
        says, "none" whatever the interrupt shadow says, too."""
        if respect not in RESPECTS:
            raise refuse(EINVAL, f"filter {respect!r}: not one of {', '.join(RESPECTS)}")
        state = self.state
        if respect != "none" and state.get(layout.SHADOW) and self.cpu.group.get(group_layout.STRICT_SHADOW):
            return False
        if state.get(layout.NMI) and not state.get(layout.NMI_BLOCKED):
            return True
        return bool(state.get(layout.INTERRUPT)) and (respect != "if" or bool(state.get(layout.RFL) & IF))

    def wait(self, respect: str = "if") -> None:
        """Let time pass until `wakes`, executing nothing and changing no state. KvmError EAGAIN: nothing is to come."""
        clock = self.plane.vm.machine.clock
        clock.run_due()
        while not self.wakes(respect):
            deadline = clock.next_deadline()
            if deadline is None:
                raise refuse(EAGAIN, "nothing is to come")
            clock.skip_to(deadline)
            clock.run_due()

    def watch(self, respect: str = "if") -> RunnableEvent:
        """A descriptor that is signalled whenever `wakes` becomes true; each call gives one of its own."""
        event = RunnableEvent()
        event.level(self.wakes(respect))
        self.first.watchers.append((weakref.ref(event), self, respect))
        return event

    # --- running -------------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """What a signal to the thread does: the run ends with EINTR, once the state is up to date."""
        self._kicked = True

    def run(self) -> int:
        """KVM_RUN: gives the exit reason. KvmError: EINVAL on other planes than 0 and for a plane that does not exist,
        EINTR after a kick or with immediate_exit, EAGAIN where KVM's thread would sleep and nothing is to come, EBUSY
        while another thread runs the vCPU."""
        if self.plane.number:
            raise refuse(EINVAL, "KVM_RUN is for plane 0's vCPU")
        running = self.plane.vm.running
        if self.id in running or running.setdefault(self.id, get_ident()) != get_ident():
            raise refuse(EBUSY, f"vCPU {self.id} runs")
        try:
            return self._run()
        finally:
            del running[self.id]

    def _run(self) -> int:
        vm, run, group = self.plane.vm, self.run_area, self.cpu.group
        if vm.dialect.chosen and len(vm.planes) > 1:
            if run.plane not in vm.planes or self.id not in vm.planes[run.plane].vcpus:
                raise refuse(EINVAL, f"run.plane = {run.plane}")
            if vm.model.policy.marker not in (None, run.plane) and run.plane != group.active:
                raise refuse(EINVAL, f"{vm.model.policy.name} alone names planes")
        self._complete()
        if vm.dialect.chosen and len(vm.planes) > 1:
            self._activate(run.plane)
        if run.immediate_exit:
            run.exit_reason = KVM_EXIT_INTR
            raise refuse(EINTR, "immediate_exit")
        self.take_startup()
        if self.state.get(layout.ACTIVITY) == UNINITIALIZED:
            raise refuse(EAGAIN, "the vCPU waits for INIT")
        group.set(group_layout.REQUESTED, run.req_exit_planes)
        if not vm.irqchip:
            self.state.set(layout.INTERRUPT, int(bool(run.request_interrupt_window)))
        run.idle = 0
        self.timers.runs = True
        try:
            return self._loop()
        finally:
            self.timers.runs = False

    def _loop(self) -> int:
        machine, run = self.plane.vm.machine, self.run_area
        self._exit, machine.stopping = False, None
        while True:
            machine.clock.run_due()
            self.cpu.waiting.poll(self.cpu.plane)
            injected = self.timers.inject()
            if self._kicked:
                self._kicked = False
                run.exit_reason = KVM_EXIT_INTR
                self._out()
                raise refuse(EINTR, "kicked")
            if injected:
                continue
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
                return self._stopped(machine.stopping)

    def _stopped(self, stop: Stop) -> int:
        """The machine cannot go on. KvmError EINVAL: nothing that KVM has an exit for."""
        if stop.reason not in STOPS:
            raise refuse(EINVAL, stop.message)
        self.run_area.exit_reason, self.run_area.system_event_type = STOPS[stop.reason]
        self._out()
        return self.run_area.exit_reason

    def _activate(self, number: int) -> None:
        """Userspace's choice of a plane."""
        group = self.cpu.group
        if number != group.active:
            old, new = group.plane, group.planes[number]
            new.set(layout.SAMPLE, old.get(layout.SAMPLE))
            for offset, words in shared_words(self.plane.vm.model.policy.shares):
                for at in range(offset, offset + 8 * words, 8):
                    new.set(at, old.get(at))
            exchange_pkru(old, new)
            new.update_mode()
            new.flush()
            self.cpu.engine.monitors.disarm(self.id)
            group.set(group_layout.ACTIVE, number)
            group.mark(group_layout.ENTERED, number, True)
            if group.get(group_layout.MODE) == group_layout.MODE_EVENT:
                rank = self.plane.vm.model.policy.rank
                for other in group.planes:                  # nothing waits above it any more
                    if rank(other.number) < rank(number):
                        group.mark(group_layout.RUNNABLE, other.number, False)
            vina.entered(self.cpu)

    def _out(self) -> None:
        self.plane.vm.machine.clock.run_due()       # so that the state shows timers that have expired meanwhile
        run, plane, group = self.run_area, self.cpu.plane, self.cpu.group
        activity = plane.get(layout.ACTIVITY)
        run.idle = IDLE_HLT if activity == HALTED else IDLE_MWAIT if activity in FOR_LINE | {TPAUSE} else 0
        run.if_flag = plane.get(layout.RFL) >> 9 & 1
        run.cr8 = self.cpu.lapic.tpr >> 4
        run.apic_base = self.cpu.lapic.base
        run.ready_for_interrupt_injection = int(self._ready())
        run.plane = group.active
        put_aside = group.get(group_layout.MODE) == group_layout.MODE_EVENT
        run.suspended_planes = group.get(group_layout.RUNNABLE) & ~(1 << group.active) if put_aside else 0
        self.runnable.level(self.is_runnable())

    def _leave(self, reason: int) -> None:
        self.run_area.exit_reason = reason
        self._exit = self.plane.vm.machine.reschedule = True

    def _complete(self) -> None:
        """The plane whose hypercall it was gets the answer, whichever userspace has chosen meanwhile."""
        if self.completes is not None:
            shared = "gpr" in self.plane.vm.model.policy.shares
            plane = self.cpu.plane if shared else self.cpu.planes[self.completes]
            plane.set(layout.gpr(0), self.run_area.hypercall.ret)
            self.completes = None

    # --- what happens while it runs (emu/planes/kvm/model.py) ------------------------------------------------------

    def is_runnable(self) -> bool:
        """Whether KVM_RUN would execute something, or leave with an event, now."""
        return self.cpu.runs() or interrupt_ends(self.cpu.plane) or bool(self.timers.expired)

    def notice(self) -> None:
        """Something changed that may make it runnable."""
        self.runnable.level(self.is_runnable())
        for event, vcpu, respect in list(self.watchers):
            watched = event()
            if watched is None:
                self.watchers.remove((event, vcpu, respect))
            else:
                watched.level(vcpu.wakes(respect))

    def plane_event(self) -> None:
        group, dialect = self.cpu.group, self.plane.vm.dialect
        pending = group.get(group_layout.PENDING)
        target = pending & group.get(group_layout.REQUESTED)
        if not dialect.bitmap:
            target = (target & -target).bit_length() - 1
        self.run_area.plane_event = PlaneEvent(dialect.interrupt_cause, pending, target)
        self._leave(KVM_EXIT_HYPERV_VTL_INTERRUPT if dialect.vtl_interrupt else dialect.plane_event)

    def create_vcpu(self, plane: Plane, number: int, apic_id: int) -> None:
        """Leave for userspace to create it, where the series does; elsewhere the guest's hypercall is userspace's."""
        if not self.plane.vm.dialect.starts:
            self.hypercall(plane)
            return
        self.run_area.plane_event = PlaneEvent(PLANE_EVENT_CREATE_VCPU, plane=number, extra=(apic_id,))
        self._leave(self.plane.vm.dialect.plane_event)

    def waits(self, plane: Plane, instruction: str) -> None:
        bit, reason = LEAVES[instruction]
        if instruction == "HLT" and not self.plane.vm.irqchip:
            plane.set(layout.ACTIVITY, RUNNING)             # it is the VMM that waits
            self._leave(reason)
        elif self.run_area.userspace_exits & bit:
            self._leave(reason)

    def hypercall(self, plane: Plane) -> None:
        self.run_area.hypercall = Hypercall(plane.get(layout.gpr(0)),
                                            tuple(plane.get(layout.gpr(n)) for n in (3, 1, 2, 6)))
        plane.retire()
        self.completes = plane.number
        self._leave(KVM_EXIT_HYPERCALL)

    def memory_denied(self, plane: Plane) -> None:
        gpa, access = plane.get(layout.DENIED_GPA), plane.get(layout.DENIED_ACCESS)
        self.run_area.memory_fault = MemoryFault(1 << access, gpa & -4096, 4096)
        self._leave(KVM_EXIT_MEMORY_FAULT)
