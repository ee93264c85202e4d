"""What the oracle knows of each form: compared or not, and why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emu.isa.coverage import Status, classify, features
from tools.oracle.forms import FAMILIES, Form, family, lacking, not_compared

if TYPE_CHECKING:
    from tools.oracle.sweep import Tally

PASSED, DIFFERS, NOT_IMPLEMENTED = "passed", "differs", "not implemented"
NOT_ON_HOST, NOT_COMPARABLE, ABSENT = "not on this host", "not comparable", "absent by design"
OUTCOMES = (PASSED, DIFFERS, NOT_IMPLEMENTED, NOT_ON_HOST, NOT_COMPARABLE, ABSENT)


class Coverage:
    """Forms, and what came of each. `wanted` are those to compare on a host with these flags of /proc/cpuinfo."""

    def __init__(self, forms: Sequence[Form], flags: set[str]) -> None:
        self.outcome: dict[Form, str] = {}
        self.why: dict[Form, str] = {}
        self.tallies: dict[Form, Tally] = {}
        self.wanted: list[Form] = []
        for form in forms:
            entry = classify(form.code)
            if entry.status is Status.ABSENT:
                self.outcome[form], self.why[form] = ABSENT, entry.reason
            elif entry.status is Status.NOT_YET:
                self.outcome[form] = NOT_IMPLEMENTED
            elif why := not_compared(form.code):
                self.outcome[form], self.why[form] = NOT_COMPARABLE, why
            elif why := lacking(form.code, flags):
                self.outcome[form], self.why[form] = NOT_ON_HOST, why
            else:
                self.outcome[form] = NOT_IMPLEMENTED        # until a case of it has run
                self.wanted.append(form)

    def add(self, tally: Tally) -> None:
        """Note what came of a form."""
        self.tallies[tally.form] = tally
        if tally.differing:
            self.outcome[tally.form] = DIFFERS
        elif tally.implemented and tally.cases:
            self.outcome[tally.form] = PASSED

    @property
    def differing(self) -> int:
        """Forms of which some case differs."""
        return sum(1 for outcome in self.outcome.values() if outcome == DIFFERS)

    def summary(self) -> list[tuple[str | int, ...]]:
        """A row for each family: its cases, then its forms by outcome; and their sum."""
        cases: Counter[str] = Counter()
        found: Counter[tuple[str, str]] = Counter()
        for form, outcome in self.outcome.items():
            name = family(form.code)
            found[name, outcome] += 1
            if form in self.tallies:
                cases[name] += self.tallies[form].cases
        names = [name for name in FAMILIES if any(found[name, outcome] for outcome in OUTCOMES)]
        rows: list[tuple[str | int, ...]] = [(name, cases[name], *(found[name, outcome] for outcome in OUTCOMES))
                                             for name in names]
        total = [sum(row[column] for row in rows) for column in range(1, len(OUTCOMES) + 2)]    # type: ignore[misc]
        return [*rows, ("all", *total)]

    def rows(self) -> list[dict[str, Any]]:
        """One JSON object for each form."""
        found = []
        for form, outcome in self.outcome.items():
            row: dict[str, Any] = {"code": form.name, "bits": form.bits, "family": family(form.code),
                                   "features": list(features(form.code)), "outcome": outcome}
            if form in self.why:
                row["why"] = self.why[form]
            if tally := self.tallies.get(form):
                row |= {"cases": tally.cases, "faults": tally.faults, "differing": tally.differing}
                if tally.differences:
                    row["differences"] = list(tally.differences)
            found.append(row)
        return found
