"""What the debugger looks at: the machine, the plane chosen, addresses, what changed, where a switch is explained.

No Textual here. Only one thread at a time uses a session: the one that runs the machine, or the one that shows it.
"""

from __future__ import annotations

from collections.abc import Callable

from emu import Breakpoint, Machine, Stop
from emu import stop as reasons
from emu.api.views import PlaneView
from emu.debug.event import VIOLATION
from tools.debug import stages
from tools.debug.changes import Changes, observe
from tools.debug.listing import Listing
from tools.debug.residency import Residency
from tools.debug.source import Source

ENDS = (reasons.EXIT, reasons.POWER_OFF, reasons.RESET, reasons.TRIPLE_FAULT)
Move = Callable[[Machine], Stop]


class Session:
    """`stage`: which part of the plane switch is explained, 1 to 5; 0 where there is none, or stages are off."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.listing = Listing(machine)
        self.source = Source(machine)
        self.changes = Changes()
        self.residency = Residency(machine)
        self.last: Stop | None = None
        self._end = -1                                  # the instruction count at which the guest ended
        self.chosen: tuple[int, int] | None = None      # vCPU and plane that are looked at, None: the one that runs
        self.code_at: int | None = None                 # None: where the plane stands
        self.memory_at: int | None = None               # None: its stack
        self.memory_physical = False
        self.walk_at: int | None = None                 # None: the access denied last, or the next instruction
        self.walk_physical = False
        self.denied: tuple[PlaneView, int] | None = None    # at this stop: the plane, and the page that it tried
        self.staging = True
        self.stage = 0
        self.changes.note(observe(machine))

    @property
    def plane(self) -> PlaneView:
        """The plane that is looked at."""
        if self.chosen is not None:
            vcpu, number = self.chosen
            if number < len(self.machine.vcpu[vcpu].plane):
                return self.machine.view(vcpu, number)
        return self.machine.current

    @property
    def planes(self) -> list[PlaneView]:
        """The planes of the vCPU that is looked at."""
        return self.machine.vcpu[self.plane.vcpu].plane

    def choose(self, vcpu: int, plane: int) -> None:
        """Look at a plane; at the one that runs, wherever that goes, if it is the one that runs now. ValueError: there
        is none such."""
        if not 0 <= vcpu < len(self.machine.vcpu):
            raise ValueError(f"vCPU {vcpu}: there are {len(self.machine.vcpu)}")
        if not 0 <= plane < len(self.machine.vcpu[vcpu].plane):
            raise ValueError(f"vCPU {vcpu} has no plane {plane} now")
        current = self.machine.current
        self.chosen = None if (vcpu, plane) == (current.vcpu, current.number) else (vcpu, plane)
        self.code_at = None

    # --- moving ------------------------------------------------------------------------------------------------------

    def stage_on(self, by: int) -> bool:
        """Go on (1) or back (-1) among the stages of a switch; False: there is none that way."""
        if not self.stage or not 1 <= self.stage + by <= len(stages.STAGES):
            return False
        self.stage += by
        return True

    def move(self, move: Move, stage: int = 0) -> Stop:
        """Go somewhere; where that is right after a plane switch, explain it from `stage` on (0: not at all)."""
        stop = move(self.machine)
        self.stopped(stage, stop)
        return stop

    @property
    def ended(self) -> bool:
        """Whether the guest has come to its end where the machine stands: what follows is nothing that it meant."""
        return self.machine.icount == self._end

    def stopped(self, stage: int = 0, stop: Stop | None = None) -> None:
        """The machine stands elsewhere, for the reason that `stop` says: look again."""
        self.last = stop
        self.denied = None
        for event in stop.events if stop is not None else ():
            if event.kind == VIOLATION and event.gpa is not None:
                self.denied = self.machine.view(event.vcpu, event.plane), event.gpa
        if stop is not None and stop.reason in ENDS:
            self._end = self.machine.icount
        self.changes.note(observe(self.machine))
        self.residency.update()
        self.chosen = self.code_at = None
        self.stage = stage if stage and self.staging and stages.crossing(self.machine) is not None else 0

    def changed_by_hand(self) -> None:
        """A register or memory was written."""
        self.changes.again(observe(self.machine))

    # --- breakpoints -------------------------------------------------------------------------------------------------

    @property
    def breakpoints(self) -> list[Breakpoint]:
        """All that end a run."""
        return [each for each in self.machine.breakpoints if each.callback is None]

    def breakpoint_at(self, address: int) -> Breakpoint | None:
        """The breakpoint on an instruction."""
        return next((each for each in self.breakpoints if each.address == address), None)

    def toggle(self, address: int) -> str:
        """Put a breakpoint on an instruction, or take it away; says which."""
        found = self.breakpoint_at(address)
        name = self.listing.name(address) or f"{address:#x}"
        if found is not None:
            found.remove()
            return f"breakpoint {found.number} at {name} removed"
        return f"breakpoint {self.machine.breakpoint(address).number} at {name}"
