"""Results as data, for --json and for baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tools.bench.switch.costs import Costs
from tools.bench.switch.measure import Result, Variant
from tools.bench.switch.sensitivity import Comparison

VERSION = 1


def as_data(results: Sequence[Result], lists: Sequence[Costs], comparisons: Sequence[Comparison] | None) \
        -> dict[str, Any]:
    """Everything: `paths`, `costs` and, where it was asked for, `sensitivity`."""
    data: dict[str, Any] = {"version": VERSION, "paths": [_path(each, lists) for each in results],
                            "costs": {each.name: _costs(each) for each in lists}}
    if comparisons is not None:
        data["sensitivity"] = [each._asdict() for each in comparisons]
    return data


def _path(result: Result, lists: Sequence[Costs]) -> dict[str, Any]:
    scenario = result.scenario
    return {"name": scenario.name, "planes": scenario.planes, "policy": scenario.policy, "task": scenario.task,
            "title": scenario.title, "path": [f"{plane} {place}: {text}" for plane, place, text in result.path],
            "variants": [_variant(each, lists) for each in result.variants]}


def _variant(variant: Variant, lists: Sequence[Costs]) -> dict[str, Any]:
    counts = variant.counts.flat()
    cycles = {each.name: {"total": _rounded(each.total(counts)),
                          "causes": {cause: _rounded(value) for cause, value in each.by_cause(counts).items()},
                          "prices": {name: _rounded(value) for name, value in each.cycles(counts).items() if value}}
              for each in lists}
    found: dict[str, Any] = {"fpu": variant.fpu, "tlb": variant.tlb, "counts": counts, "cycles": cycles}
    if variant.host is not None:
        found["host_ns"] = asdict(variant.host)
    return found


def _costs(costs: Costs) -> dict[str, Any]:
    return {"title": costs.title, "mhz": costs.mhz, "designs": list(costs.designs), "prices": {
        name: {"cycles": price.cycles, "low": price.low, "high": price.high,
               "assumption" if price.assumed else "source": price.source} for name, price in costs.prices.items()}}


def _rounded(cycles: float) -> float:
    return round(cycles, 2)
