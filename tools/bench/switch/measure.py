"""Measures a scenario: every count of each variant of its path, and the host's time for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.bench.switch.counts import Counts
from tools.bench.switch.rig import Executed, GuestError, Rig
from tools.bench.switch.scenario import SEPARATE, SHARED, Scenario

WARM, COLD = "warm", "cold"
SETTLING = 3                    # rounds until the same translations and decoded code are there each time
SAMPLES, BATCH = 101, 400       # timed samples; rounds in one where Python takes no part
WARM_UP, WARM_UP_SECONDS = 20_000, 1.0      # rounds so that hot code is compiled; host seconds to wait for that at most
SLOWER = 50                     # so many times fewer where Python takes part in each


@dataclass
class HostTime:
    """Host nanoseconds of one round: what `samples` samples of `batch` rounds each gave."""

    median: float
    p90: float
    p99: float
    samples: int
    batch: int


@dataclass
class Variant:
    """A path under one FPU rule (SHARED, SEPARATE) with its translations there (WARM) or not (COLD)."""

    fpu: str
    tlb: str
    counts: Counts
    host: HostTime | None = None


@dataclass
class Result:
    """A measured scenario. `path`: its instructions, as (plane, symbol+offset, text); the same in all variants."""

    scenario: Scenario
    path: list[tuple[int, str, str]]
    variants: list[Variant] = field(default_factory=list)

    def variant(self, fpu: str, tlb: str) -> Variant:
        """One of the four."""
        return next(each for each in self.variants if (each.fpu, each.tlb) == (fpu, tlb))


def measure(scenario: Scenario, host: bool = True, tick: Callable[[], Any] = lambda: None) -> Result:
    """All variants; `tick` is called after each FPU rule. GuestError: the guest does not do what is expected."""
    result: Result | None = None
    for fpu in (SHARED, SEPARATE):
        rig = scenario.open_rig(fpu, "interp")
        rig.skip(SETTLING)
        warm = rig.path()
        accesses = rig.accesses()
        rig.skip(SETTLING)
        cold = rig.path(cold=True)
        listing = [(each.plane, each.place, each.text) for each in warm]
        if result is None:
            result = Result(scenario, listing)
        for steps in (warm, cold):
            if [(each.plane, each.place, each.text) for each in steps] != result.path or len(steps) != len(accesses):
                raise GuestError(f"{scenario.name}: two rounds are not the same instructions")
        timed = host_time(scenario.open_rig(fpu, "auto")) if host else None
        result.variants += [Variant(fpu, WARM, total(warm, accesses), timed), Variant(fpu, COLD, total(cold, accesses))]
        tick()
    assert result is not None
    return result


def total(steps: Sequence[Executed], accesses: Sequence[tuple[int, int]]) -> Counts:
    """A path's counts."""
    counts = Counts()
    for each, (reads, writes) in zip(steps, accesses, strict=True):
        counts.add(each.counts)
        counts.reads += reads
        counts.writes += writes
    return counts


def host_time(rig: Rig) -> HostTime:
    """Time of a round, from a path's beginning to the next time that it begins: of the path, and of the guest's loop
    around it. Of this thread's processor time, so other work on the host counts less."""
    rig.skip(SETTLING)
    rig.advance()
    first = rig.machine.icount
    rig.skip(1)
    rig.advance()
    length = rig.machine.icount - first
    slow = rig.from_outside or bool(rig.userspace_exits)
    batch = 1 if slow else BATCH
    deadline = time.perf_counter() + WARM_UP_SECONDS
    for _ in range(WARM_UP // (SLOWER if slow else 1) // batch):
        _rounds(rig, length, batch)
    while rig.machine.engine.regions.busy and time.perf_counter() < deadline:
        _rounds(rig, length, batch)
    taken = sorted(_rounds(rig, length, batch) / batch for _ in range(SAMPLES))
    if rig.rip() != rig.begin:
        raise GuestError(f"after whole rounds the guest is at {rig.place(rig.rip())}")
    return HostTime(nearest_rank(taken, 50), nearest_rank(taken, 90), nearest_rank(taken, 99), SAMPLES, batch)


def _rounds(rig: Rig, length: int, count: int) -> int:
    started = time.thread_time_ns()
    rig.stimulate()
    rig.run(count * length)
    return time.thread_time_ns() - started


def nearest_rank(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of all do not exceed."""
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
