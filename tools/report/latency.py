"""How long planes are held between switches, computed from the list of switches."""
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """Visits to plane `into` from plane `out_of`, entered for `cause`. Lengths are guest instructions from one switch
    to the next on the same vCPU, the switching instruction included; `host_ns` is the median host cost of the entering
    switch in nanoseconds, if the switches carry it."""

    out_of: int | str
    into: int | str
    cause: str
    count: int
    least: int
    median: float
    p90: int
    most: int
    host_ns: float | None


def latencies(switches: Sequence[dict[str, Any]]) -> list[Row]:
    """One row per direction and cause, in order of first appearance. A visit that the run's end cut short does not
    count."""
    visits: dict[tuple[int | str, int | str, str], list[tuple[int, float | None]]] = {}
    entered: dict[int, dict[str, Any]] = {}
    for switch in switches:
        entry = entered.get(switch["vcpu"])
        if entry is not None:
            key = (entry["from"], entry["to"], entry["cause"])
            visits.setdefault(key, []).append((switch["icount"] - entry["icount"], entry.get("host_ns")))
        entered[switch["vcpu"]] = switch
    return [_row(*key, found) for key, found in visits.items()]


def _row(out_of: int | str, into: int | str, cause: str, found: list[tuple[int, float | None]]) -> Row:
    lengths = sorted(length for length, _ in found)
    costs = sorted(ns for _, ns in found if ns is not None)
    return Row(out_of, into, cause, len(lengths), lengths[0], median(lengths), percentile(lengths, 90), lengths[-1],
               median(costs) if costs else None)


def median(ordered: Sequence[float]) -> float:
    """The middle of an ordered, non-empty sequence, or the mean of the middle two."""
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def percentile(ordered: Sequence[int], percent: int) -> int:
    """The nearest-rank percentile of an ordered, non-empty sequence: a value that did occur."""
    return ordered[max(0, math.ceil(percent * len(ordered) / 100) - 1)]
