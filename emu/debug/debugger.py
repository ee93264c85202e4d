"""Runs a machine as a debugger does: to a breakpoint, by steps, to an instruction count, forwards and backwards.

Every position is the instruction count N at which the machine stands *before* executing instruction N: all that is to
happen before it, such as the delivery of an interrupt, has happened. Going to N always gives the same state.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from emu import stop as reasons
from emu.debug import event as kinds
from emu.debug.breakpoint import Breakpoint
from emu.debug.event import Event
from emu.debug.history import History
from emu.debug.probes import Probes
from emu.debug.sight import Sight
from emu.stop import Stop
from jit import layout, probe_layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.vcpu import VCpu

SETTLING = 10_000           # rounds of idle time after which a stopped machine is left as it is


class Debugger:
    """Accompanies one machine (`Machine.observer`). `history` None: there is no going back."""

    def __init__(self, machine: Machine, history: bool = True, budget: int | None = None) -> None:
        self.machine = machine
        self.probes = Probes(machine)
        self.history = History(machine, **({} if budget is None else {"budget": budget})) if history else None
        self.fired: list[Event] = []
        self._passed = -1               # position whose breakpoints were reported, so that the run goes on from there
        self._error: BaseException | None = None
        self._seen: Callable[[Event], None] | None = None       # while searching: told of hits, which then end nothing
        self._interrupted = False
        self._sight = Sight(machine)
        machine.observer = self

    # --- what the machine asks (emu.machine.Observer) ----------------------------------------------------------------

    def next_icount(self) -> int | None:
        """Where the history wants to act next."""
        return None if self.history is None else self.history.next_icount()

    def after_slice(self) -> None:
        """Between slices: history, and Ctrl-C."""
        if self.history is not None:
            self.history.after_slice()
        self.while_idle()

    def while_idle(self) -> None:
        """Ctrl-C."""
        if self._interrupted:
            self._interrupted = False
            self.machine.stop(reasons.INTERRUPTED, "stopped from the keyboard")

    def probe(self, vcpu: VCpu, plane: Plane) -> bool:
        """A probe in front of the next instruction; True: go on."""
        if self.machine.clock.icount == self._passed:
            return True
        found = self.probes.at(plane.get(layout.EXIT_UOP))
        if found is not None:
            self._act(self._sight.before_instruction(found, vcpu, plane), vcpu)
        return self.machine.stopping is None

    def probed(self, vcpu: VCpu, plane: Plane) -> None:
        """Watchpoints, vectors and plane switches that were noted."""
        bits = plane.get(layout.PROBE_HITS)
        for n, found in enumerate(self.probes.watches):
            if bits >> n & 1 and found is not None:
                self._act(self._sight.access(found, vcpu, plane, self.probes.table), vcpu, counted=True)
        if bits & probe_layout.VECTOR_BIT:
            vector = self.probes.table.get(probe_layout.HIT_VECTOR)
            for found, vectors in list(self.probes.vectors.values()):
                if vector in vectors and found.enabled:
                    self._act(self._sight.delivery(found, vcpu, plane, vector), vcpu)
        if bits & probe_layout.SWITCH_BIT:
            for found in list(self.probes.switches.values()):
                if found.enabled:
                    self._act(self._sight.switch(found, vcpu, plane), vcpu)

    def violation(self, vcpu: VCpu, plane: Plane) -> None:
        """A plane's access to guest-physical memory is denied by another's protections."""
        for found in list(self.probes.violations.values()):
            if found.enabled and self.probes.looking:
                self._act(self._sight.violation(found, vcpu, plane), vcpu)

    def _act(self, event: Event, vcpu: VCpu, counted: bool = False) -> None:
        """Do what a breakpoint's hit asks for."""
        found = event.breakpoint
        if not counted and (found.plane not in (None, event.plane) or found.vcpu not in (None, event.vcpu)):
            return
        try:
            if not found.fires(event, self._sight.names, counted):
                return
            if self._seen is not None:
                if found.callback is None:
                    self._seen(event)
                return
            ends = found.callback is None or bool(found.callback(event))
        except BaseException as error:
            self._error = self._error or error
            ends = True
        if ends:
            self.fired.append(event)
            self.machine.stop(reasons.BREAKPOINT, f"breakpoint {found.number}: {found.what}", vcpu)

    # --- running -----------------------------------------------------------------------------------------------------

    def run(self, max_insns: int | None = None, timeout: float | None = None) -> Stop:
        """Run to a breakpoint, or as `Machine.run`. What a callback raised is raised here."""
        self._begin()
        restore = self._catch_interrupt()
        try:
            stop = self.machine.run_plain(max_insns, timeout)
        finally:
            restore()
        return self._end(stop)

    def _begin(self) -> None:
        self.fired = []
        self.probes.resync()
        if self.history is not None and self.history.changed:
            self.settle()
            self.history.anchor()

    def _end(self, stop: Stop) -> Stop:
        """A stop's position is settled, and is what it says."""
        self.settle()
        machine = self.machine
        self._interrupted = False
        self._passed = machine.clock.icount
        error, self._error = self._error, None
        if error is not None:
            raise error
        for event in self.fired:
            if event.breakpoint.temporary:
                event.breakpoint.remove()
        return self.here(stop.reason, stop.message, self.fired) if stop.reason in (
            reasons.BREAKPOINT, reasons.MAX_INSNS, reasons.INTERRUPTED, reasons.TIMEOUT) else stop

    def here(self, reason: str, message: str, events: Iterable[Event] = ()) -> Stop:
        """A Stop at the present position."""
        machine = self.machine
        vcpu = machine.vcpus[machine.turn]
        return Stop(reason, reasons.STATUS[reason], message, vcpu.index, vcpu.plane.number,
                    vcpu.plane.get(layout.RIP), machine.clock.icount, tuple(events))

    def settle(self) -> None:
        """Let what is to happen before the next instruction happen, but wait for nothing from outside."""
        machine = self.machine
        ended = machine.stopping
        for _ in range(SETTLING):
            machine.stopping = None
            if machine.waits_for_outside() or machine.settled() or machine.stopping is not None:
                break
        machine.stopping = ended or machine.stopping

    def step(self, count: int = 1) -> Stop:
        """Execute `count` instructions, fewer if a breakpoint comes first."""
        stop = self.run(max_insns=count)
        return self.here(reasons.STEP, f"{count} instructions executed") if stop.reason == reasons.MAX_INSNS else stop

    def _catch_interrupt(self) -> Callable[[], Any]:
        """Make Ctrl-C end the run between two slices, where the machine is whole."""
        if (threading.current_thread() is not threading.main_thread()
                or signal.getsignal(signal.SIGINT) is not signal.default_int_handler):
            return lambda: None

        def interrupted(*_: Any) -> None:
            self._interrupted = True
        signal.signal(signal.SIGINT, interrupted)
        return lambda: signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(self) -> None:
        """End a run soon; for other threads and signal handlers."""
        self._interrupted = True

    # --- time travel -------------------------------------------------------------------------------------------------

    def _past(self) -> History:
        if self.history is None:
            raise RuntimeError("this machine keeps no history: make it with history=True")
        return self.history

    def goto(self, icount: int) -> Stop:
        """Go to an instruction count, back or forth; breakpoints end nothing on the way. LookupError: it is before
        the first snapshot. A guest that ends earlier is left at its end."""
        self._begin()
        self.settle()
        past = self._past()
        past.anchor()
        if icount < past.now and icount < past.start:
            past.before(icount)
        self.probes.suspend(False)
        try:
            self._travel(past, icount)
        finally:
            self.probes.suspend(True)
            self._interrupted = False
        self._passed = past.now
        return self.here(reasons.GOTO, f"at instruction {past.now}")

    def _travel(self, past: History, icount: int) -> Stop | None:
        base = past.base_for(icount)
        if base is not None:
            past.near = range(icount - 2 * past.fine, icount + 1)
            past.restore(base)
        stop = None
        if past.now < icount:
            stop = self.machine.run_plain(icount - past.now)
        self.settle()
        return stop

    def reverse_step(self, count: int = 1) -> Stop:
        """Go back `count` instructions, at most to the start of the history."""
        past = self._past()
        stop = self.goto(max(past.start, past.now - count))
        return stop._replace(reason=reasons.STEP)

    def reverse_continue(self, only: Iterable[Breakpoint] | None = None) -> Stop:
        """Go back to the last breakpoint (of `only`, if given) before the present position: to before the instruction
        that made an access or changed a register, to before the instruction that a breakpoint is on, to after a plane
        switch or the delivery of an interrupt. Without one, to the start of the history."""
        past, machine = self._past(), self.machine
        here = past.now
        chosen = None if only is None else {found.number for found in only}
        self.goto(here)
        end = here
        while end > past.start:
            base = past.before(end - 1)
            machine.stopping = None
            last = self._last_hit(past, base.icount, end, here, chosen)
            if machine.stopping is not None and machine.stopping.reason == reasons.INTERRUPTED:
                self.goto(here)
                return self.here(reasons.INTERRUPTED, "stopped from the keyboard")
            if last is not None:
                landing, event = last
                self.goto(landing)
                self.fired = [event]
                return self.here(reasons.BREAKPOINT, f"breakpoint {event.breakpoint.number}: {event.breakpoint.what}",
                                 [event])
            end = base.icount
        self.goto(past.start)
        return self.here(reasons.GOTO, "the start of the history")

    def _last_hit(self, past: History, start: int, end: int, here: int,
                  chosen: set[int] | None) -> tuple[int, Event] | None:
        """The last hit between two positions that leads back to before `here`, and where it leads."""
        found: list[tuple[int, Event]] = []

        def note(event: Event) -> None:
            landing = event.icount - (event.kind in (kinds.READ, kinds.WRITE, kinds.REGISTER))
            if landing < here and landing >= past.start and (chosen is None or event.breakpoint.number in chosen):
                found[:] = [(landing, event)]
        past.restore(past.before(start))
        self._seen, self._passed = note, -1
        counts = {found: found.hits for found in self.probes.breakpoints.values()}
        self.probes.resync()
        try:
            self.settle()
            if past.now < end:
                self.machine.run_plain(end - past.now)
                self.settle()
        finally:
            self._seen = None
            for each, hits in counts.items():
                each.hits = hits
        return found[0] if found else None
