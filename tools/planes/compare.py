"""Where policies part: their switches side by side."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.planes.execute import Outcome, Step

BEFORE = 2                      # equal switches that are shown before the first difference


def first_difference(one: Outcome, other: Outcome) -> int | None:
    """Number of the first switch, from 0, that is not the same in both; None: there is none."""
    for n, (a, b) in enumerate(itertools.zip_longest(one.steps, other.steps)):
        if a is None or b is None or a.key != b.key:
            return n
    return None


def divergence(outcomes: Sequence[Outcome]) -> int | None:
    """Number of the first switch that is not the same in all; None: there is none."""
    found = [n for other in outcomes[1:] if (n := first_difference(outcomes[0], other)) is not None]
    return min(found, default=None)


def groups(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """Outcomes with the same switches together, in the order in which they first occur."""
    found: dict[tuple[Any, ...], list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(tuple(step.key for step in outcome.steps), []).append(outcome)
    return list(found.values())


def as_data(image: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All of it, for --json. `differs` is the first switch that is not the first policy's, `divergence` the first that
    is not the same in all."""
    return {"image": image, "divergence": divergence(outcomes),
            "groups": [[outcome.policy for outcome in group] for group in groups(outcomes)],
            "policies": {o.policy: {
                "status": o.status, "reason": o.reason, "instructions": o.instructions, "output": o.output,
                "differs": first_difference(outcomes[0], o),
                "switches": [{"icount": s.icount, "vcpu": s.vcpu, "from": s.out_of, "to": s.into, "cause": s.cause}
                             for s in o.steps]} for o in outcomes}}


def print_comparison(outcomes: Sequence[Outcome], rows: int, stream: TextIO) -> None:
    """How each policy ended, and the switches around the first difference."""
    console = Console(file=stream, highlight=False)
    console.print(_summary(outcomes))
    console.print()
    parted = divergence(outcomes)
    if parted is None:
        console.print(f"All {len(outcomes[0].steps):,} switches are the same under all of them.")
        return
    columns = groups(outcomes)
    start = max(0, parted - BEFORE)
    same = f"The first {parted:,} switches are the same under all; number {parted + 1:,} is not:"
    console.print(same if parted else "They part at the first switch:")
    for some in _fitting(columns, console.width):
        console.print(_side_by_side(some, start, rows, parted))


def _fitting(columns: list[list[Outcome]], width: int) -> list[list[list[Outcome]]]:
    """Columns in as many tables as the width needs."""
    each = max(1, (width - 8) // 20)
    return [columns[n:n + each] for n in range(0, len(columns), each)]


def _summary(outcomes: Sequence[Outcome]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("policy", no_wrap=True)
    for name in ("status", "instructions", "switches"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(f"parts from {outcomes[0].policy}", overflow="fold")
    for outcome in outcomes:
        n = first_difference(outcomes[0], outcome)
        where = "" if outcome is outcomes[0] else "never" if n is None else f"at switch {n + 1:,}: {_what(outcome, n)}"
        table.add_row(outcome.policy, str(outcome.status), f"{outcome.instructions:,}", f"{len(outcome.steps):,}",
                      where, style="" if outcome.status == 1 else "dim" if outcome.status == 77 else "red")
    return table


def _what(outcome: Outcome, n: int) -> str:
    """A switch and when it came, or that there are no more."""
    if n >= len(outcome.steps):
        return "it has no more"
    return f"{_arrow(outcome.steps[n])} after {outcome.steps[n].icount:,} instructions"


def _arrow(step: Step) -> str:
    where = f"vCPU {step.vcpu} " if step.vcpu else ""
    return f"{where}{step.out_of} -> {step.into} {step.cause}"


def _side_by_side(columns: list[list[Outcome]], start: int, rows: int, parted: int) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("switch", justify="right", no_wrap=True)
    for column in columns:
        table.add_column("\n".join(outcome.policy for outcome in column), no_wrap=True, vertical="bottom")
    for n in range(start, start + rows):
        steps = [column[0].steps[n] if n < len(column[0].steps) else None for column in columns]
        if not any(steps):
            break
        style = "reverse" if n == parted else ""
        table.add_row(Text(f"{n + 1:,}", style=style), *(_arrow(step) if step else "" for step in steps))
    return table
