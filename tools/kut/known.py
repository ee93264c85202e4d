"""What is known not to pass, and why (known.json), and how a result compares with it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass

FILE = os.path.join(os.path.dirname(__file__), "known.json")
PASS, FAIL, SKIP, TIMEOUT, CRASH, ABSENT = "pass", "fail", "skip", "timeout", "crash", "absent"
OUTCOMES = (PASS, FAIL, SKIP, TIMEOUT, CRASH, ABSENT)
GOOD = (PASS, SKIP, ABSENT)


@dataclass(frozen=True)
class Known:
    """One entry: the outcome to expect and the reason. `checks`: patterns of the failing checks that it covers; a
    check that fails and matches none is unexpected. Without any, the entry covers the whole test."""

    outcome: str
    reason: str
    checks: tuple[str, ...] = ()

    def covers(self, outcome: str, failures: list[str]) -> bool:
        """Whether a result that is not good is this one."""
        if outcome != self.outcome:
            return False
        return not self.checks or all(any(re.search(check, line) for check in self.checks) for line in failures)


def load(path: str = FILE) -> dict[str, Known]:
    """The entries by test name. ValueError names an entry that is not one."""
    with open(path, encoding="utf-8") as file:
        entries = json.load(file)
    known = {}
    for name, entry in entries.items():
        extra = set(entry) - {"outcome", "reason", "checks"}
        if extra or entry.get("outcome") not in OUTCOMES or not entry.get("reason"):
            raise ValueError(f"{path}: {name}: needs an outcome of {', '.join(OUTCOMES)}, a reason, at most checks too")
        known[name] = Known(entry["outcome"], entry["reason"], tuple(entry.get("checks", ())))
    return known
