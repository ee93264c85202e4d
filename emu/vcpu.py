"""A vCPU: its planes, and what Python does when compiled code leaves (jit/exits.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from iced_x86 import Decoder

from emu import tlb_broadcast
from emu.code_exits import CodeExits
from emu.decode.names import mnemonic_name
from emu.disassembly import instruction_text
from emu.group import Group
from emu.irq.lapic import TPR, LocalApic
from emu.irq.lapic_msr import GeneralProtection, LapicMsrs
from emu.isa.cpuid import Cpuid
from emu.isa.debugctl import DebugControl
from emu.isa.msr import Msrs
from emu.isa.perfmon import PerformanceCounters
from emu.isa.seed import first_state
from emu.isa.tsc import TimeStampCounter
from emu.isa.wait_rules import WaitRules
from emu.observer import Observed
from emu.plane import Plane
from emu.stop import TRIPLE_FAULT
from emu.waiting import HALTED, RUNNING, SHUT_DOWN, WAIT_FOR_SIPI, Waiting
from emu.walk import read_virtual
from jit import exits, group_layout, layout

if TYPE_CHECKING:
    from emu.machine import Machine

UD, GP = 6, 13
INTERCEPTED = frozenset((exits.CPUID, exits.RDMSR, exits.WRMSR, exits.HYPERCALL, exits.CR_WRITE))
MASK32 = 0xFFFFFFFF
RAX, RCX, RDX, RBX = (layout.gpr(n) for n in range(4))


class VCpu:
    """One vCPU. `icount` counts the instructions it has retired in all planes."""

    def __init__(self, machine: Machine, index: int) -> None:
        self.machine, self.index = machine, index
        self.engine = machine.engine
        self.group = Group(Plane(machine.engine, index, 0))
        self.plane.set(layout.RANDOM, first_state(machine.seed, index, 0))
        self.lapics: list[LocalApic] = [machine.pc.lapics[index]]     # one for each plane, like its MSRs
        self.lapics[0].timer.name = f"local APIC timer {index}"
        self.lapic_msrs = [machine.pc.lapic_msrs[index]]
        self.icount, self._slice = 0, 0     # _slice: instructions of the time slice that runs
        self.cpuid = Cpuid(machine.cpu, index, machine.vcpu_count)
        self.cpuid.os_view = lambda: (
            self.plane.get(layout.CR4), self.plane.get(layout.XCR0), self.plane.get(layout.XSS))
        self.msrs = Msrs(machine.report, machine.cpu.offers)
        self.counters = PerformanceCounters(self)
        self.msrs.owners += (TimeStampCounter(self), DebugControl(self), self.counters)
        self.wait_rules = WaitRules(self)
        self.cpuid.monitor_enabled = lambda: self.wait_rules.monitor
        self.waiting, self.observed = Waiting(self), Observed(self)
        self._code = CodeExits(self)
        self._reported: set[str] = set()
        self._io_uop = 0                # micro-op whose device accesses IO_LOG holds
        self._serve: dict[int, Callable[[Plane], None]] = {
            **self._code.serve, exits.IO: self._io, exits.RUNTIME: self._runtime, exits.HALT: self.waiting.halt,
            exits.SHUTDOWN: self.shut_down,
            exits.CPUID: self._cpuid, exits.RDMSR: self._rdmsr, exits.WRMSR: self._wrmsr,
            exits.HYPERCALL: self._hypercall, exits.UNIMPLEMENTED: self._unimplemented,
            exits.INTERRUPT: self._interrupt, exits.CR_WRITE: self._cr_write,
            exits.FERR: self._coprocessor_error, exits.DENIED: self.denied, exits.TRAPPED: self._trapped,
            exits.NOTIFY: self._notify, exits.WAIT: self.waiting.wait, exits.WATCH: self.waiting.watch,
            exits.PAUSE: self.waiting.pause, exits.PROBE: self.observed.probe, exits.PROBED: self.observed.probed,
            exits.SMI: lambda plane: machine.smm.enter(self, plane),
            exits.RSM: lambda plane: machine.smm.resume(self, plane),
            exits.RDPMC: self._rdpmc, exits.PLANE_EVENT: self._plane_event, exits.SNP: self._snp,
            exits.VMGEXIT: self._vmgexit,
        }

    @property
    def planes(self) -> list[Plane]:
        """The planes that exist, by number."""
        return self.group.planes

    @property
    def plane(self) -> Plane:
        """The plane that runs."""
        return self.group.plane

    @property
    def lapic(self) -> LocalApic:
        """The local APIC of the plane that runs."""
        return self.lapics[self.group.active]

    def apic_enabled(self) -> bool:
        """IA32_APIC_BASE.EN as the plane that runs sees it."""
        return self.lapic.enabled

    def add_plane(self, plane: Plane, lapic: LocalApic, msrs: LapicMsrs) -> None:
        """A further plane with its own local APIC."""
        self.group.add(plane)
        lapic.timer.name = f"local APIC timer {self.index} of {self.machine.plane_name(plane.number)}"
        plane.set(layout.RANDOM, first_state(self.machine.seed, self.index, plane.number))
        self.lapics.append(lapic)
        self.lapic_msrs.append(msrs)
        self.wait_rules.apply()

    def remove_plane(self) -> LocalApic:
        """Take the highest plane away, as when execution goes back to before there was one. Gives its local APIC."""
        self.group.remove()
        self.lapic_msrs.pop()
        return self.lapics.pop()

    # --- running -----------------------------------------------------------------------------------------------------

    def run(self, budget: int) -> int:
        """Run at most `budget` instructions, fewer if the machine wants to stop or is idle. Gives how many."""
        machine = self.machine
        if machine.plane_model is not None:
            machine.plane_model.slice_begins(self)
            if machine.stopping is not None:
                return 0
        plane = self.plane
        start = machine.clock.icount
        machine.smm.show(bool(plane.get(layout.SMM)))
        if self.counters.due is not None:
            budget = min(budget, self.counters.due - self.icount)
        self._slice = budget
        self.group.set(group_layout.SLICE_END, start + budget)
        plane.set(layout.BUDGET, budget)
        plane.set(layout.TSC_BASE, machine.clock.tsc + budget)
        while True:
            status = self.engine.run_group(self.group.address)
            plane = self.plane
            if status == exits.EVENT:
                break
            if status != exits.DECODE:
                self.engine.regions.poll()
                done = budget - plane.signed(layout.BUDGET)
                if start + done > machine.clock.icount:
                    machine.clock.advance(start + done)
                if status in INTERCEPTED:
                    machine.clock.skip_to(machine.clock.now + machine.clock.model.exit_ns)
            self._serve[status](plane)
            if status == exits.DECODE and not machine.stopping:
                continue                        # it takes no time, and nothing falls due
            plane = self.plane
            budget = self._follow_clock(plane, start, budget)
            if machine.stopping or machine.reschedule or plane.get(layout.ACTIVITY) != RUNNING:
                if not plane.get(layout.RESUME):
                    break
                budget = self._shorten(plane, start, budget, budget - plane.signed(layout.BUDGET), 1)   # to its end
        if machine.plane_model is not None:
            machine.plane_model.slice_ends(self)
        done = budget - plane.signed(layout.BUDGET)
        self.icount += done
        self._slice = 0
        plane.set(layout.BUDGET, 0)
        if start + done > machine.clock.icount:
            machine.clock.advance(start + done)
        self.group.now = machine.clock.icount
        if self.counters.due is not None and self.icount >= self.counters.due:
            self.counters.reached()
        return done

    def _follow_clock(self, plane: Plane, start: int, budget: int) -> int:
        """After Python has acted in a slice of `budget` instructions: the TSC follows time that a device took, and the
        slice ends where an event is due now. Gives the new length."""
        clock = self.machine.clock
        done = budget - plane.signed(layout.BUDGET)
        if start + done > clock.icount:
            clock.advance(start + done)
        due = clock.deadline_icount()
        if due is not None and due < start + budget:
            budget = self._shorten(plane, start, budget, done, max(due - start - done, 0))
        if self.counters.due is not None:
            budget = self._shorten(plane, start, budget, done, self.counters.due - self.icount - done)
        plane.set(layout.TSC_BASE, clock.tsc - (clock.icount - start - done) + budget - done)
        return budget

    def _shorten(self, plane: Plane, start: int, budget: int, done: int, more: int) -> int:
        """Let the slice that began at `start` and has retired `done` instructions end after `more`, unless its budget
        ends first. Gives the new length."""
        wanted = done + more
        if wanted >= budget:
            return budget
        self._slice = wanted
        self.group.set(group_layout.SLICE_END, start + wanted)
        plane.set(layout.BUDGET, wanted - done)
        plane.set(layout.TSC_BASE, plane.get(layout.TSC_BASE) - (budget - wanted) * plane.get(layout.TSC_SCALE))
        return wanted

    def retired(self) -> int:
        """Instructions retired, those of the current time slice included."""
        return self.icount + self._slice - self.plane.signed(layout.BUDGET)

    def runs(self) -> bool:
        """Whether there is something to execute: the active plane is not halted, or a higher one preempts it."""
        if self.plane.get(layout.ACTIVITY) == RUNNING:
            return True
        return len(self.planes) > 1 and self.engine.select(self.group.address) != self.group.active

    def listens(self) -> bool:
        """Whether an interrupt could make it run. Higher planes take theirs whatever RFLAGS.IF is."""
        activity = self.plane.get(layout.ACTIVITY)
        if len(self.planes) > 1:
            return True
        if activity == HALTED:
            return bool(self.plane.get(layout.RFL) & 0x200)
        return activity not in (WAIT_FOR_SIPI, SHUT_DOWN)

    def interrupt_changed(self, number: int) -> None:
        """What the local APIC of a plane holds for it may have changed, its TPR too."""
        plane, lapic = self.planes[number], self.lapics[number]
        model = self.machine.plane_model
        plane.set(layout.INTERRUPT, int(lapic.pending()))
        if model is None or not model.keeps_priority(self, number):
            plane.set(layout.CR8, lapic.tpr >> 4)
        self.group.mark(group_layout.WAITING, number, bool(lapic.irr))
        if model is not None:
            model.interrupt_changed(self, number)

    def where(self, plane: Plane) -> str:
        """For messages: vCPU (when there are several), plane, RIP and the instruction there."""
        rip = plane.get(layout.RIP)
        who = (f"vCPU {self.index}, " if self.machine.vcpu_count > 1 else "") + self.machine.plane_name(plane.number)
        return f"{who}, RIP {rip:#x} ({instruction_text(self.machine, plane, rip)})"

    # --- exits -------------------------------------------------------------------------------------------------------

    def _io(self, plane: Plane) -> None:
        kind, address = plane.get(layout.IO_KIND), plane.get(layout.IO_ADDRESS)
        size, value = plane.get(layout.IO_SIZE), plane.get(layout.IO_VALUE)
        if self._intercepts_io(plane, kind, address, size, value & (1 << 8 * size) - 1):
            self._abandon(plane)
            return
        answer = self.machine.device_access(self, kind, address, size, value & (1 << 8 * size) - 1)
        if plane.get(layout.EXIT_UOP) != self._io_uop:      # a later micro-op of the same instruction
            self._io_uop = plane.get(layout.EXIT_UOP)
            plane.set(layout.IO_DONE, 0)
        done = plane.get(layout.IO_DONE)
        plane.set(layout.IO_LOG + 8 * (done & layout.IO_LOGGED - 1), answer)
        plane.set(layout.IO_DONE, done + 1)
        plane.set(layout.RESUME, 1)

    def _intercepts_io(self, plane: Plane, kind: int, address: int, size: int, value: int) -> bool:
        model = self.machine.plane_model
        if model is None:
            return False
        writes = kind in (exits.IO_PORT_WRITE, exits.IO_MMIO_WRITE)
        if kind in (exits.IO_PORT_READ, exits.IO_PORT_WRITE):
            return model.intercepts_port(self, plane, address, size, value if writes else None)
        return not self.machine.exists(address) and model.intercepts_unmapped(self, plane, address, writes)

    def _abandon(self, plane: Plane) -> None:
        """The instruction at RIP does not go on from where it is: device accesses are made again if it is retried."""
        plane.set(layout.IO_DONE, 0)
        plane.set(layout.DEBUG_HITS, 0)
        plane.set(layout.PROBE_HITS, 0)
        if plane.get(layout.SMC_PASS):
            self._code.smc_done(plane)

    def denied(self, plane: Plane) -> None:
        """A more privileged plane does not allow an access."""
        self._abandon(plane)
        self.observed.violation(plane)
        assert self.machine.plane_model is not None
        self.machine.plane_model.memory_denied(self, plane)

    def _trapped(self, plane: Plane) -> None:
        assert self.machine.plane_model is not None
        self.machine.plane_model.register_trapped(self, plane)

    def _notify(self, plane: Plane) -> None:
        assert self.machine.plane_model is not None
        self.machine.plane_model.notify(self)

    def _snp(self, plane: Plane) -> None:
        if plane.get(layout.SNP_ACTIVE):
            assert self.machine.plane_model is not None
            self.machine.plane_model.snp_instruction(self, plane)
        else:
            tlb_broadcast.execute(self.machine, plane)

    def _vmgexit(self, plane: Plane) -> None:
        assert self.machine.plane_model is not None
        self.machine.plane_model.vmgexit(self, plane)

    def _plane_event(self, plane: Plane) -> None:
        assert self.machine.plane_model is not None
        self.machine.plane_model.plane_event(self)

    def _runtime(self, plane: Plane) -> None:
        self.engine.provide(plane.get(layout.IO_VALUE))

    def _coprocessor_error(self, plane: Plane) -> None:
        """FERR# reaches IRQ 13, and the processor waits before the instruction until an interrupt comes (SDM Vol. 1
        8.7.2)."""
        self.machine.pc.coprocessor.signal()
        self.waiting.begin(plane, HALTED)

    def shut_down(self, plane: Plane) -> None:
        """A triple fault."""
        model = self.machine.plane_model
        if model is not None and model.intercepts_shutdown(self, plane):
            return
        vector = plane.get(layout.FAULT_VECTOR)
        self.end_in_shutdown(plane, f"triple fault (last exception: vector {vector}) at {self.where(plane)}; "
                       "check the IDT and the stack that its handlers use")

    def end_in_shutdown(self, plane: Plane, why: str) -> None:
        """The processor does nothing any more, and the run ends."""
        plane.set(layout.ACTIVITY, SHUT_DOWN)
        self.machine.stop(TRIPLE_FAULT, why, self)

    def _cpuid(self, plane: Plane) -> None:
        leaf, subleaf = plane.get(RAX) & MASK32, plane.get(RCX) & MASK32
        model = self.machine.plane_model
        if model is not None and model.intercepts_cpuid(self, plane, leaf, subleaf):
            return
        answer = self.cpuid.read(leaf, subleaf)
        for register, value in zip((RAX, RBX, RCX, RDX), answer, strict=True):
            plane.set(register, value)
        plane.retire()

    def _rdmsr(self, plane: Plane) -> None:
        index, model = plane.get(RCX) & MASK32, self.machine.plane_model
        if model is not None and model.intercepts_msr(self, plane, index, None):
            return
        self._give(plane, self.msrs.read, index)

    def _rdpmc(self, plane: Plane) -> None:
        """Intel's models have no counters."""
        model = self.machine.plane_model
        if model is not None and model.intercepts_counter(self, plane):
            return
        self._give(plane, self.msrs.read_counter, plane.get(RCX) & MASK32 if self.machine.cpu.amd else MASK32)

    @staticmethod
    def _give(plane: Plane, read: Callable[[int], int], index: int) -> None:
        """EDX:EAX = read(index), or #GP(0)."""
        try:
            value = read(index)
        except GeneralProtection:
            plane.raise_exception(GP, 0)
            return
        plane.set(RAX, value & MASK32)
        plane.set(RDX, value >> 32)
        plane.retire()

    def _wrmsr(self, plane: Plane) -> None:
        value = plane.get(RAX) & MASK32 | (plane.get(RDX) & MASK32) << 32
        index, model = plane.get(RCX) & MASK32, self.machine.plane_model
        if model is not None and model.intercepts_msr(self, plane, index, value):
            return
        try:
            self.msrs.write(index, value)
        except GeneralProtection:
            plane.raise_exception(GP, 0)
            return
        plane.retire()

    def _hypercall(self, plane: Plane) -> None:
        interface = self.machine.plane_model or self.machine.paravirt
        if interface is None:
            plane.raise_exception(UD)
        else:
            interface.hypercall(self, plane)

    def _unimplemented(self, plane: Plane) -> None:
        rip = plane.get(layout.RIP)
        data = read_virtual(self.machine, plane, rip + plane.get(layout.CS_BASE), 15)
        cpu = self.machine.cpu
        insn = (Decoder((16, 32, 64)[plane.get(layout.MODE) & 3], data, cpu.decoder_options, ip=rip).decode()
                if data else None)
        name = mnemonic_name(insn.mnemonic) if insn else "?"
        if name not in self._reported:
            self._reported.add(name)
            why = cpu.lacks(insn.code) if insn else ""
            self.machine.report(f"{name} is not implemented{' (' + why + ')' if why else ''}: #UD at "
                                f"{self.where(plane)}")
        plane.raise_exception(UD)

    def _interrupt(self, plane: Plane) -> None:
        """Deliver the interrupt controller's vector (SDM Vol. 3A 6.9)."""
        model = self.machine.plane_model
        if model is not None and model.interrupt_window(self, plane):
            return
        model = self.machine.plane_model
        if model is not None and model.injects(self, plane):
            return
        vector = self.lapic.acknowledge()
        plane.set(layout.INTERRUPT, int(self.lapic.pending()))
        plane.inject_interrupt(vector)

    def _cr_write(self, plane: Plane) -> None:
        """CR8 is bits 7:4 of the local APIC's TPR (SDM Vol. 3A 10.8.6.1)."""
        self.lapic.write_register(TPR, plane.get(layout.IO_VALUE) << 4)
        plane.retire()
