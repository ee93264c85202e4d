"""Virtual time: integer nanoseconds derived from retired instructions through a named clock model.

The engine runs to the next event by instruction budget, never by host clock, so a run is a function of its inputs.
Idle time (HLT, MWAIT) is skipped by adding to an offset; events keep their order because time only moves forward.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SECOND = 1_000_000_000


@dataclass(frozen=True)
class ClockModel:
    """How instructions become time: one takes `ns_numerator / ns_denominator` ns; the TSC runs at `tsc_hz`; an
    access to an I/O port takes `port_ns` more, about a bus cycle of the ISA bus (IEEE P996: 8.33 MHz, 6 to 8 clocks);
    one to a device's memory `mmio_ns`, about a read over the PCI bus (PCI 3.0: 33 MHz, 16 clocks to the first data);
    an instruction that a hypervisor intercepts (CPUID, RDMSR and WRMSR of registers that are not the processor's own,
    VMCALL, MOV to CR8) takes `exit_ns` more, about what it costs in a virtual machine."""

    name: str = "1ns"
    ns_numerator: int = 1
    ns_denominator: int = 1
    tsc_hz: int = SECOND
    port_ns: int = 1_000
    mmio_ns: int = 500
    exit_ns: int = 1_000

    def __post_init__(self) -> None:
        costs = (self.port_ns, self.mmio_ns, self.exit_ns)
        if min(self.ns_numerator, self.ns_denominator, self.tsc_hz) < 1 or min(costs) < 0:
            raise ValueError(f"clock model {self.name}: every rate must be at least 1")


class Event:
    """A scheduled callback. `at` is its time in ns; after it ran or was cancelled, `active` is False."""

    __slots__ = ("at", "callback", "name", "active")

    def __init__(self, at: int, callback: Callable[[], None], name: str) -> None:
        self.at = at
        self.callback = callback
        self.name = name
        self.active = True


class Clock:
    """The machine's clock and its event queue."""

    def __init__(self, model: ClockModel | None = None) -> None:
        self.model = model or ClockModel()
        self.icount = 0
        self.offset = 0
        self._now = 0
        self._sequence = 0
        self._queue: list[tuple[int, int, Event]] = []

    @property
    def now(self) -> int:
        """Virtual time in ns since the machine was made."""
        return self._now

    def advance(self, icount: int) -> None:
        """Set time to that of retired-instruction count `icount`. ValueError if it would go back."""
        if icount < self.icount:
            raise ValueError(f"instruction count went back from {self.icount} to {icount}")
        self.icount = icount
        self._now = icount * self.model.ns_numerator // self.model.ns_denominator + self.offset

    def skip_to(self, ns: int) -> None:
        """Let idle time pass until `ns` (no effect if that is past); the instruction count stays as it is."""
        if ns > self._now:
            self.offset += ns - self._now
            self._now = ns

    def icount_at(self, ns: int) -> int:
        """The first instruction count at which `now` is at least `ns`, if nothing is skipped until then."""
        needed = ns - self.offset
        return max(self.icount, -(-needed * self.model.ns_denominator // self.model.ns_numerator))

    @property
    def tsc(self) -> int:
        """Time-stamp counter without any per-vCPU offset, in ticks of `model.tsc_hz`."""
        return self._now * self.model.tsc_hz // SECOND

    def tsc_to_ns(self, tsc: int) -> int:
        """The first time at which `tsc` is reached."""
        return -(-tsc * SECOND // self.model.tsc_hz)

    def schedule(self, at_ns: int, callback: Callable[[], None], name: str) -> Event:
        """Run `callback` once `now` reaches `at_ns`; a time already past is due at the next `run_due`."""
        event = Event(at_ns, callback, name)
        heapq.heappush(self._queue, (at_ns, self._sequence, event))
        self._sequence += 1
        return event

    def cancel(self, event: Event | None) -> None:
        """Forget an event; one that ran, was cancelled before or is None is left alone."""
        if event is not None:
            event.active = False

    def _drop_cancelled(self) -> None:
        while self._queue and not self._queue[0][2].active:
            heapq.heappop(self._queue)

    def next_deadline(self) -> int | None:
        """Time in ns of the earliest event, or None."""
        self._drop_cancelled()
        return self._queue[0][0] if self._queue else None

    def deadline_icount(self) -> int | None:
        """The instruction count at which the earliest event is due, or None: the engine's budget ends there."""
        deadline = self.next_deadline()
        return None if deadline is None else self.icount_at(deadline)

    def run_due(self) -> int:
        """Run all callbacks that are due, in time order, then in order of scheduling; returns how many ran.

        A callback may schedule events; those already due run in the same call.
        """
        ran = 0
        while True:
            self._drop_cancelled()
            if not self._queue or self._queue[0][0] > self._now:
                return ran
            event = heapq.heappop(self._queue)[2]
            event.active = False
            event.callback()
            ran += 1

    def order(self) -> list[list[Any]]:
        """Time and name of the events that are scheduled, in the order in which they will run."""
        return [[at, event.name] for at, _, event in sorted(self._queue, key=lambda e: e[:2]) if event.active]

    def reorder(self, order: list[list[Any]]) -> None:
        """Give the events, which the devices have scheduled again, the order of a saved run."""
        waiting = sorted((e for e in self._queue if e[2].active), key=lambda e: e[:2])
        ordered = []
        for at, name in order:
            found = next((e for e in waiting if e[0] == at and e[2].name == name), None)
            if found is not None:
                waiting.remove(found)
                ordered.append(found)
        self._queue = [(at, n, event) for n, (at, _, event) in enumerate(ordered + waiting)]
        heapq.heapify(self._queue)
        self._sequence = len(self._queue)

    def save(self) -> dict[str, Any]:
        """Time only: events hold callbacks, so each device schedules its own again when it is loaded."""
        return {"icount": self.icount, "offset": self.offset, "now": self._now}

    def load(self, state: dict[str, Any]) -> None:
        """Restore time and forget all events; load the devices after it."""
        self.icount, self.offset, self._now = state["icount"], state["offset"], state["now"]
        self._queue.clear()
