"""Intercepts as a report shows them: from the instruction that caused one to where its plane went on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

KEPT = 10_000


class Intercept(NamedTuple):
    """An access that another plane was told of. `icount`: the clock's instruction count then; `kind` and `what` are for
    people; `rip` and `instruction`: what caused it."""

    icount: int
    vcpu: int
    plane: int
    to: int
    kind: str
    what: str
    rip: int
    instruction: str


def joined(intercepts: Iterable[Intercept], switches: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each intercept as a dictionary, with `entered` (instruction count) and `cause` of the switch that brought it, and
    `resumed` and `rip_after` of the one after which its plane ran again; None for what has not happened, or is no
    longer among the switches."""
    found = []
    starts: dict[int, int] = {}                 # vCPU -> where in its switches the search goes on
    by_vcpu: dict[int, list[dict[str, Any]]] = {}
    for switch in switches:
        by_vcpu.setdefault(switch["vcpu"], []).append(switch)
    for intercept in intercepts:
        mine, at = by_vcpu.get(intercept.vcpu, []), starts.get(intercept.vcpu, 0)
        while at < len(mine) and not (mine[at]["icount"] >= intercept.icount and mine[at]["to"] == intercept.to):
            at += 1
        starts[intercept.vcpu] = at
        entry = mine[at] if at < len(mine) else None
        back = next((switch for switch in mine[at + 1:] if switch["to"] == intercept.plane), None)
        found.append(intercept._asdict() | {
            "entered": entry and entry["icount"], "cause": entry and entry["cause"],
            "resumed": back and back["icount"], "rip_after": back and back["rip_to"]})
    return found
