"""Whose turn it is: the loop that runs vCPUs, lets time pass and hands over input."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from emu import stop as reasons
from emu.clock import SECOND, Clock
from emu.engine import Engine
from emu.inputs import InputLog
from emu.observer import Observer
from emu.stop import Stop
from emu.waiting import could_end
from jit import layout

if TYPE_CHECKING:
    from emu.pc import PC
    from emu.vcpu import VCpu

SLICE = 20_000_000              # instructions without looking at the host: Ctrl-C and time-outs
SLICE_COMPILING = 1_000_000     # while code is being compiled that should soon be put to use
PATIENCE = 1024                 # PAUSEs of a vCPU in one turn while all of them spin
INPUT_WAIT = 0.1                # host seconds between looks at time-out and keyboard while waiting for input


class Scheduling:
    """The part of a machine that runs it. `turn`: index of the vCPU whose turn it is, `turn_left`: instructions left of
    that. `patience`: how many PAUSEs pass a turn on; it grows while nobody does anything else. `frontier`: instruction
    count up to which the guest's output has been passed on."""

    clock: Clock
    engine: Engine
    pc: PC
    vcpus: list[VCpu]
    input: InputLog
    observer: Observer | None
    stopping: Stop | None
    seconds: float
    quantum: int
    turn: int
    turn_left: int
    frontier: int
    reschedule: bool
    patience: int = 1
    spinning: bool = False

    @property
    def icount(self) -> int:
        """Instructions retired by all vCPUs."""
        return sum(vcpu.retired() for vcpu in self.vcpus)

    def stop(self, reason: str, message: str, vcpu: VCpu | None = None, status: int | None = None) -> None:
        """End the run at the next opportunity."""
        raise NotImplementedError

    def goes_on(self) -> bool:
        """Whether the run does not end although there is a reason: it is dealt with then."""
        raise NotImplementedError

    def run_plain(self, max_insns: int | None = None, timeout: float | None = None) -> Stop:
        """Run until the guest ends, `max_insns` more instructions have retired, or `timeout` host seconds are over.
        What is due then has not happened yet (see `settled`)."""
        started = time.perf_counter()
        limit = None if max_insns is None else self.icount + max_insns
        deadline = None if timeout is None else started + timeout
        self.stopping = None
        size = SLICE if deadline is None else SLICE // 4
        try:
            while self.stopping is None or self.goes_on():
                if limit is not None and self.icount >= limit:
                    self.stop(reasons.MAX_INSNS, "out of instructions; --max-insns allows more")
                elif deadline is not None and time.perf_counter() >= deadline:
                    self.stop(reasons.TIMEOUT, "out of time; --timeout allows more")
                else:
                    vcpu = self._prepare()
                    if vcpu is not None and self.stopping is None:
                        self._slice(vcpu, size if limit is None else min(size, limit - self.icount))
                    elif self.observer is not None and self.stopping is None:
                        self.observer.while_idle()
        except KeyboardInterrupt:
            self.stop(reasons.INTERRUPTED, "stopped from the keyboard")
        finally:
            self.seconds += time.perf_counter() - started
        result = self.stopping
        assert result is not None
        return result

    def settled(self) -> bool:
        """Whether the next thing to happen is an instruction of the vCPU whose turn it is; if not, what is in the way
        happens now, or part of it."""
        before = self.clock.now, self.turn
        vcpu = self._prepare()
        if vcpu is None or self.stopping is not None:
            return False
        self._run(vcpu, 0)
        return (self.clock.now, self.turn) == before and vcpu.runs() and not self.reschedule

    def _prepare(self) -> VCpu | None:
        """Let everything happen that is due, and give the vCPU whose turn it is; None: nobody can run yet, and idle
        time was skipped or waited for."""
        self.clock.run_due()
        self.input.deliver(self.icount, self.clock.now, live=self.icount >= self.frontier)
        self._wake()
        running = [vcpu for vcpu in self.vcpus if vcpu.runs()]
        if not running:
            self._idle()
            return None
        return self._whose_turn(running)

    def _wake(self) -> None:
        """End the waits of vCPUs that have a reason to end."""
        for vcpu in self.vcpus:
            vcpu.waiting.poll(vcpu.plane)

    def _whose_turn(self, running: list[VCpu]) -> VCpu:
        """The vCPU that has not used up its quantum, else the next one. A slice that ends for other reasons than the
        quantum changes nothing, so that where a run is interrupted does not matter."""
        vcpu = self.vcpus[self.turn]
        if self.turn_left <= 0 or vcpu not in running:
            vcpu = next((v for v in running if v.index > self.turn), running[0])
            self.patience = 1 if self.turn_left > 0 else self.patience      # the one before has gone to sleep
            self.turn, self.turn_left = vcpu.index, self.quantum
            vcpu.plane.set(layout.PAUSES, self.patience)
        return vcpu

    def pass_turn(self) -> None:
        """The vCPU that runs waits for others by PAUSE."""
        self.reschedule = self.spinning = True

    def _slice(self, vcpu: VCpu, size: int) -> None:
        """Run a vCPU for at most `size` instructions, 0 to deliver only what waits for it."""
        clock = self.clock
        if self.engine.regions.busy:
            self.engine.regions.poll()
            size = min(size, SLICE_COMPILING)
        if len(self.vcpus) > 1:
            size = min(size, self.turn_left)
        observed = None if self.observer is None else self.observer.next_icount()
        for limit in (clock.deadline_icount(), self.input.next_icount(), observed):
            if limit is not None and limit > clock.icount:
                size = min(size, limit - clock.icount)
        self._run(vcpu, size)
        self.frontier = max(self.frontier, clock.icount)
        if self.observer is not None and self.stopping is None:
            self.observer.after_slice()

    def _run(self, vcpu: VCpu, size: int) -> None:
        self.reschedule = self.spinning = False
        done = vcpu.run(size)
        if len(self.vcpus) > 1:
            self.turn_left = 0 if self.reschedule else self.turn_left - done
            if self.turn_left <= 0:
                self.patience = min(2 * self.patience, PATIENCE) if self.spinning else 1

    def waits_for_outside(self) -> bool:
        """Whether no vCPU runs, and time passes as the host's does until input comes."""
        return (self.input.open and self.input.next_now(self.icount) is None and self.icount >= self.frontier
                and not any(vcpu.runs() for vcpu in self.vcpus) and self._wakeable())

    def _idle(self) -> None:
        """No vCPU runs: skip time, or, in an interactive run, let it pass as the host's does until input comes."""
        deadline, recorded = self.clock.next_deadline(), self.input.next_now(self.icount)
        if recorded is not None:
            self.clock.skip_to(recorded if deadline is None else min(deadline, recorded))
        elif self.waits_for_outside():
            now, started = self.clock.now, time.perf_counter()
            self.input.wait(INPUT_WAIT if deadline is None else min(INPUT_WAIT, (deadline - now) / SECOND))
            if deadline is not None:
                self.clock.skip_to(min(deadline, now + int((time.perf_counter() - started) * SECOND)))
        elif deadline is None or not (any(v.listens() for v in self.vcpus) or self.pc.may_raise_nmi()
                                      or self.pc.acpi_pm.asleep):
            self.stop(reasons.HALTED, "every vCPU is halted and nothing can wake one")
        else:
            self.clock.skip_to(deadline)

    def _wakeable(self) -> bool:
        """Whether a device interrupt, which goes to the lowest plane, could wake a vCPU."""
        return any(v.group.active == 0 and could_end(v.plane) for v in self.vcpus)

    def _once(self, sink: Callable[[bytes], None]) -> Callable[[int], None]:
        """Output to the outside: not again when instructions are executed again."""
        def pass_on(byte: int) -> None:
            if self.clock.icount >= self.frontier:
                sink(bytes((byte,)))
        return pass_on
