"""What a vCPU that executes nothing waits for, and what ends that (SDM Vol. 2 HLT, MWAIT, UMWAIT, TPAUSE; Vol. 3A 8.10;
APM Vol. 3 MWAITX).

A waiting instruction has retired: RIP is the next one's. Waits for a monitored line may end early at any time; HLT and
the hypervisor's idle state may not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emu.isa.tsc import counter
from emu.mem.ram import PAGE
from jit import layout, pmap
from jit.semantics.wiring import WAITS_DEADLINE, WAITS_LIMITED, WAITS_MASKED, WAITS_UNMONITORED

if TYPE_CHECKING:
    from emu.clock import Event
    from emu.plane import Plane
    from emu.vcpu import VCpu

# ACTIVITY. WAIT_FOR_UNLOCK and IDLE: TLFS. UNINITIALIZED: KVM's, before the first INIT; RESET_HOLD: also
# KVM's, of an AP that a start-up IPI lets go on where it is. An interrupt ends MWAIT only if
# RFLAGS.IF lets it through, MWAIT_ANY always
(RUNNING, HALTED, WAIT_FOR_SIPI, SHUT_DOWN, WAIT_FOR_UNLOCK, IDLE, MWAIT, MWAIT_ANY, UMWAIT, TPAUSE,
 UNINITIALIZED, RESET_HOLD) = range(12)
FOR_INTERRUPT = frozenset((HALTED, MWAIT, RESET_HOLD))  # that can be taken
FOR_ANY_INTERRUPT = frozenset((IDLE, MWAIT_ANY, UMWAIT, TPAUSE))
FOR_LINE = frozenset((MWAIT, MWAIT_ANY, UMWAIT))
FOR_NMI = FOR_INTERRUPT | FOR_ANY_INTERRUPT | {SHUT_DOWN}
EARLY_END = FOR_LINE | {TPAUSE}                         # may end without a reason
IF, CF, STATUS_FLAGS = 1 << 9, 1, 0x8D5


def interrupt_ends(plane: Plane) -> bool:
    """Whether an interrupt or NMI that is there now ends what the plane does instead of running."""
    activity = plane.get(layout.ACTIVITY)
    if plane.get(layout.NMI) and not plane.get(layout.NMI_BLOCKED) and activity in FOR_NMI:
        return True
    return bool(plane.get(layout.INTERRUPT)) and could_end(plane)


def could_end(plane: Plane) -> bool:
    """Whether an interrupt, if its priority is sufficient, would."""
    activity = plane.get(layout.ACTIVITY)
    return activity in FOR_ANY_INTERRUPT or activity in FOR_INTERRUPT and bool(plane.get(layout.RFL) & IF)


class Waiting:
    """The waits of one vCPU."""

    def __init__(self, vcpu: VCpu) -> None:
        self._vcpu = vcpu
        self._deadline: Event | None = None
        self._limited = False
        self._waiter = 0                # plane that the deadline is for

    # --- beginnings: what compiled code left for -----------------------------------------------------------------

    def halt(self, plane: Plane) -> None:
        """HLT."""
        plane.retire()
        self.begin(plane, HALTED)
        self._tell(plane, "HLT")

    def begin(self, plane: Plane, activity: int) -> None:
        """Wait from now on, unless what would end it is there already."""
        if not plane.get(layout.FAULT_PENDING):             # a debug trap ends any wait
            plane.set(layout.ACTIVITY, activity)
            self.poll(plane)

    def wait(self, plane: Plane) -> None:
        """MWAIT, MWAITX, UMWAIT or TPAUSE."""
        how, deadline = plane.get(layout.ARG), plane.get(layout.ARG + 8)
        clock = self._vcpu.machine.clock
        now = counter(plane, clock.tsc)
        plane.retire()
        self._limited = False
        if how & WAITS_LIMITED:
            plane.rflags &= ~STATUS_FLAGS
            limit = self._vcpu.wait_rules.longest
            if limit and now + limit < deadline:
                deadline, self._limited = now + limit, True
            if deadline <= now:
                return
        elif how & WAITS_DEADLINE:
            deadline += now
        activity = MWAIT_ANY if how & WAITS_MASKED else MWAIT
        if how & WAITS_LIMITED:
            activity = TPAUSE if how & WAITS_UNMONITORED else UMWAIT
        if how & WAITS_DEADLINE and not plane.get(layout.FAULT_PENDING):
            ticks = (deadline - now << 32) // max(plane.get(layout.TSC_RATIO), 1)
            self._schedule(clock.tsc_to_ns(clock.tsc + ticks), plane)
        self.begin(plane, activity)
        self._tell(plane, "MWAIT")

    def watch(self, plane: Plane) -> None:
        """A page is going to have a monitored line."""
        machine, page = self._vcpu.machine, plane.get(layout.IO_VALUE) // PAGE
        machine.memory.map[page] |= pmap.WATCHED
        machine.withdraw_writes(page * PAGE)

    def pause(self, plane: Plane) -> None:
        """PAUSE, where there is somebody else to run."""
        plane.retire()
        self._vcpu.machine.pass_turn()
        self._tell(plane, "PAUSE")

    def _tell(self, plane: Plane, instruction: str) -> None:
        model = self._vcpu.machine.plane_model
        if model is not None:
            model.waits(self._vcpu, plane, instruction)

    # --- snapshots -----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """State: when the wait of which plane ends by itself, and whether IA32_UMWAIT_CONTROL is why."""
        event = self._deadline
        return {"limited": self._limited, "plane": self._waiter,
                "deadline": event.at if event is not None and event.active else None}

    def load(self, state: dict[str, Any]) -> None:
        """Put a state back; the planes exist, and no event is scheduled."""
        self._limited, self._waiter, self._deadline = state["limited"], state["plane"], None
        if state["deadline"] is not None:
            self._schedule(state["deadline"], self._vcpu.planes[state["plane"]])

    def _schedule(self, at: int, plane: Plane) -> None:
        self._waiter = plane.number
        name = f"end of a wait of vCPU {self._vcpu.index}"
        self._deadline = self._vcpu.machine.clock.schedule(at, lambda: self._over(plane), name)

    # --- ends ----------------------------------------------------------------------------------------------------

    def poll(self, plane: Plane) -> None:
        """End the plane's wait if there is a reason."""
        activity = plane.get(layout.ACTIVITY)
        triggered = activity in FOR_LINE and not self._vcpu.engine.monitors.armed(self._vcpu.index)
        if triggered or interrupt_ends(plane):
            self.end(plane)

    def end(self, plane: Plane) -> None:
        """The plane runs again."""
        if plane.get(layout.ACTIVITY) in EARLY_END:
            self._vcpu.engine.monitors.disarm(self._vcpu.index)
            self._vcpu.machine.clock.cancel(self._deadline)
            self._deadline = None
        plane.set(layout.ACTIVITY, RUNNING)

    def _over(self, plane: Plane) -> None:
        if plane.get(layout.ACTIVITY) in EARLY_END:
            if self._limited:
                plane.rflags |= CF
            self.end(plane)
