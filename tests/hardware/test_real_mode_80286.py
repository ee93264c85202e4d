"""Single instructions captured on a real 80286 in real mode, against the engine.

What a later processor does differently is listed in deviations_80286.json; everything else must match in all
registers, flags and memory. The captures are not kept here (docs/develop.md).
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.hardware import captures, deviations
from tests.hardware.captures import Capture
from tests.hardware.deviations import Rule
from tests.hardware.real_mode import RealMode

pytestmark = pytest.mark.hardware
WHOLE = "the rule"
RULES = Path(__file__).with_name("deviations_80286.json")


@dataclass
class Result:
    """All captures run."""

    exact: int = 0                                          # captures that match without any rule
    ruled: Counter[str] = field(default_factory=Counter)    # rule -> captures that match only with it
    needed: set[tuple[str, str]] = field(default_factory=set)   # (rule, pattern or item) without which one does not
    failed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))     # opcode form -> differences

    def add(self, machine: RealMode, capture: Capture, rules: list[Rule]) -> None:
        """Run one capture."""
        before = machine.memory_before(capture)
        outcome = machine.run(capture, before)
        selected = [rule for rule in rules if rule.holds(capture)]

        def differences(*applied: Rule) -> list[str]:
            return deviations.apply(applied, capture, before).differences(outcome)

        found = differences(*selected)
        if found:
            under = f" [{', '.join(rule.name for rule in selected)}]" if selected else ""
            self.failed[capture["file"]].append(
                f"{capture['idx']} {capture['name']} ({capture['bytes']}): {'; '.join(found)}{under}")
            return
        self.exact += not differences()
        for rule in selected:
            others = [other for other in selected if other is not rule]
            if differences(*others):
                self.ruled[rule.name] += 1
                self.needed |= {(rule.name, WHOLE), (rule.name, str(rule.pattern(capture["file"])))}
            for item, reduced in rule.reduced():
                if differences(*others, reduced):
                    self.needed.add((rule.name, item))


def test_the_engine_does_what_the_processor_did() -> None:
    """Every capture matches, under rules that allow no more than the captures need."""
    path = captures.find()
    if path is None:
        pytest.skip(captures.MISSING)
    machine, rules, result = RealMode(), deviations.load(RULES), Result()
    for capture in captures.read(path):
        result.add(machine, capture, rules)
    print(f"{result.exact} match as they are; under a rule:",
          *(f"{count:6} {name}" for name, count in result.ruled.most_common()), sep="\n")
    report = [f"{form}: {len(found)}, first {found[0]}" for form, found in sorted(result.failed.items())]
    assert not report, f"{sum(map(len, result.failed.values()))} captures differ:\n" + "\n".join(report)
    stale = [f"{rule.name}: {item}" for rule in rules
             for item in (WHOLE, *rule.forms, *(item for item, _ in rule.reduced()))
             if (rule.name, item) not in result.needed]
    assert not stale, "no capture needs, of a rule:\n" + "\n".join(stale)
