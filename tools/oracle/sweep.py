"""Runs cases of many forms on the host and in both engines, in several processes, and counts what came of each form."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tools.oracle import draw
from tools.oracle.case import Case
from tools.oracle.compare import Comparison, Difference
from tools.oracle.encode import decode
from tools.oracle.forms import Form
from tools.oracle.guest import Guest
from tools.oracle.host import Host
from tools.oracle.minimise import minimise
from tools.oracle.processes import spread

ENGINES = ("interp", "blocks")
CHUNK = 24                  # forms that one task compares
SHOWN = 3                   # differences of a form that are kept


class Tally(NamedTuple):
    """What came of a form's cases."""

    form: Form
    cases: int
    faults: int             # in which the host raised an exception
    differences: tuple[str, ...]
    differing: int
    implemented: bool


class Sides:
    """This process's host and engines."""

    def __init__(self, engines: Sequence[str] = ENGINES) -> None:
        self.host = Host()
        self.guests = [Guest(engine) for engine in engines]

    def tallies(self, forms: Sequence[Form], count: int, seed: int) -> list[Tally]:
        """Compare `count` cases of each form. A form's first difference is minimised."""
        comparison = Comparison(self.host, self.guests)
        found: dict[Form, list[Difference]] = {form: [] for form in forms}
        differing: Counter[Form] = Counter()
        for difference in comparison.run(draw.cases(forms, count, seed)):
            encoded = decode(difference.case.code, difference.case.bits)
            assert encoded is not None
            form = Form(encoded.insn.code, difference.case.bits)
            differing[form] += 1
            if len(found[form]) < SHOWN:
                found[form].append(difference)
        tallies = []
        for form, shown in found.items():
            key = (form.code, form.bits)
            cases, faults = comparison.cases[key], comparison.faults[key]
            lines = [str(self.simplest(comparison, d) if number == 0 else d) for number, d in enumerate(shown)]
            tallies.append(Tally(form, cases, faults, tuple(lines), differing[form],
                                 form.name not in comparison.unimplemented))
        return tallies

    def simplest(self, comparison: Comparison, difference: Difference) -> Difference:
        """The difference, minimised."""
        def differs(case: Case) -> bool:
            return comparison.one(case) is not None
        if not differs(difference.case):
            return difference                   # depends on what ran before: a bug in itself
        return comparison.one(minimise(difference.case, differs)) or difference

    def close(self) -> None:
        """End the host's process."""
        self.host.close()


class Task(NamedTuple):
    """Forms for one process to compare."""

    forms: tuple[Form, ...]
    each: int
    seed: int


class Comparer:
    """What one process does: made in it, called with each of its tasks."""

    def __init__(self, engines: tuple[str, ...]) -> None:
        self.engines = engines

    def __call__(self) -> Callable[[Task], list[Tally]]:
        """The function that compares a task's forms."""
        sides = Sides(self.engines)
        return lambda task: sides.tallies(task.forms, task.each, task.seed)


def sweep(forms: Sequence[Form], count: int, seed: int, engines: tuple[str, ...] = ENGINES,
          jobs: int | None = None) -> Iterator[Tally]:
    """Compare `count` cases of each form, in several processes. Tallies come as they are ready; what they say does not
    depend on the number of processes. ProcessDied: one died."""
    chunk = max(1, min(CHUNK, len(forms) // (jobs or os.cpu_count() or 1)))
    tasks = [Task(tuple(forms[first:first + chunk]), count, seed) for first in range(0, len(forms), chunk)]
    for tallies in spread(Comparer(engines), tasks, jobs):
        yield from tallies
