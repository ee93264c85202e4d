"""Which price decides whether one design is cheaper than another, and at which price that would change.

A path's cycles are a sum of counts times prices, so the difference of two paths is linear in each price: it is zero
where the price is `price - difference / (difference of the counts)`. The price that decides is the one that has to
change by the smallest factor for that, among those for which it stays in its range if there are any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from tools.bench.switch.costs import PRICES, Costs, amount
from tools.bench.switch.measure import Result
from tools.bench.switch.scenario import Scenario

SAME = 0.005                    # cycles: less is a tie


class Flip(NamedTuple):
    """At `at` cycles instead of `now` the two are equal. `likely`: that lies in the range that the list admits."""

    price: str
    now: float
    at: float
    low: float
    high: float
    likely: bool


class Comparison(NamedTuple):
    """Two designs on one task: the cheaper one first. `tied_with`: designs that cost the same as either. `flips`: from
    the one that decides on; none where no single price can turn it."""

    costs: str
    task: str
    first: str
    second: str
    cycles: float
    more: float
    tied_with: dict[str, list[str]]
    largest: str
    share: float
    flips: list[Flip]


def design(scenario: Scenario) -> str:
    """planes/policy."""
    return f"{scenario.planes}/{scenario.policy}"


def pair(text: str, chosen: Sequence[Scenario]) -> tuple[str, str]:
    """The two designs of "A:B". ValueError: not two that are measured."""
    names = tuple(text.split(":"))
    known = list(dict.fromkeys(design(each) for each in chosen))
    if len(names) != 2 or names[0] == names[1] or not set(names) <= set(known):
        raise ValueError(f"--sensitivity {text}: must be two of {', '.join(known)}, as A:B")
    return names[0], names[1]


def rank(results: Sequence[Result], lists: Sequence[Costs], fpu: str, tlb: str,
         only: tuple[str, str] | None = None) -> list[Comparison]:
    """Neighbours in the ranking of each task under each price list, or the two designs `only`. Designs that cost the
    same stand for each other."""
    found = []
    tasks = list(dict.fromkeys(each.scenario.task for each in results))
    for costs in lists:
        for task in tasks:
            counts = {design(each.scenario): each.variant(fpu, tlb).counts.flat() for each in results
                      if each.scenario.task == task and (only is None or design(each.scenario) in only)}
            totals = sorted((costs.total(each), name) for name, each in counts.items())
            groups = [[name for _, name in same] for _, same in groupby(totals, lambda entry: round(entry[0], 2))]
            for cheap, dear in zip(groups, groups[1:], strict=False):
                found.append(compare(costs, task, cheap[0], dear[0], counts,
                                     {name: group[1:] for name, group in ((cheap[0], cheap), (dear[0], dear))
                                      if group[1:]}))
    return found


def compare(costs: Costs, task: str, first: str, second: str, counts: Mapping[str, Mapping[str, int]],
            tied: dict[str, list[str]]) -> Comparison:
    """One comparison; `first` is the cheaper."""
    cheap, dear = counts[first], counts[second]
    difference = costs.total(dear) - costs.total(cheap)
    parts, flips = {}, []
    for name in PRICES:
        price = costs.prices[name]
        more = amount(name, dear) - amount(name, cheap)
        parts[name] = more * price.cycles
        if more:
            at = price.cycles - difference / more
            if at >= 0:
                flips.append(Flip(name, price.cycles, round(at, 2), price.low, price.high,
                                  price.low <= at <= price.high))
    flips.sort(key=lambda flip: (not flip.likely, _effort(flip)))
    largest = max(parts, key=lambda name: parts[name])
    share = round(parts[largest] / difference, 3) if difference > SAME else 0.0
    return Comparison(costs.name, task, first, second, round(costs.total(cheap), 2), round(difference, 2), tied,
                      largest, share, flips)


def _effort(flip: Flip) -> float:
    """The factor by which a price must change, as a number above 1."""
    if not flip.now or not flip.at:
        return float("inf")
    return max(flip.now / flip.at, flip.at / flip.now)
