"""The comparison with captures itself, on captures written here: what it must notice, and what a rule allows."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hardware import deviations
from tests.hardware.captures import Capture
from tests.hardware.deviations import Rule
from tests.hardware.real_mode import RealMode

CODE, STACK = 0x10100, 0x20000
BEFORE = {"ax": 0x1234, "bx": 0x20, "cx": 3, "dx": 0, "cs": 0x1000, "ss": 0x2000, "ds": 0x3000, "es": 0x4000,
          "sp": 0x800, "bp": 0, "si": 0, "di": 0, "ip": 0x100, "flags": 2}
ADD = "0007"                    # ADD [BX], AL: 0F + 34 = 43, with a carry from bit 3
LOCK_NOP = "f090"


@pytest.fixture(scope="module")
def machine() -> RealMode:
    return RealMode()


def capture(code: str, after: dict[str, int], memory: list[list[int]] | None = None, **more: Any) -> Capture:
    """A capture of `code`, which finds 0F at DS:BX."""
    data = bytes.fromhex(code) + b"\xf4"
    ram = [[CODE + i, byte] for i, byte in enumerate(data)] + [[0x30020, 0x0F]]
    return {"file": code[-2:], "idx": 0, "name": code, "bytes": data.hex(), "regs": BEFORE, "ram": ram,
            "regs_after": {"ip": 0x100 + len(data)} | after, "ram_after": memory or [], **more}


def differences(machine: RealMode, test: Capture, *rules: Rule) -> list[str]:
    before = machine.memory_before(test)
    outcome = machine.run(test, before)
    selected = [rule for rule in rules if rule.holds(test)]
    return deviations.apply(selected, test, before).differences(outcome)


def rule(tmp_path: Path, **entry: Any) -> Rule:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps([{"name": "a rule", "reason": "a reason", "forms": ["*"], **entry}]))
    return deviations.load(path)[0]


def test_what_matches(machine: RealMode) -> None:
    assert not differences(machine, capture(ADD, {"flags": 0x12}, [[0x30020, 0x43]]))


@pytest.mark.parametrize("after, memory, word", [
    ({"flags": 0x2}, [[0x30020, 0x43]], "flags"),           # AF is missing
    ({"flags": 0x12, "ax": 0x1235}, [[0x30020, 0x43]], "ax"),
    ({"flags": 0x12, "es": 0x4001}, [[0x30020, 0x43]], "es"),
    ({"flags": 0x12}, [[0x30020, 0x44]], "memory"),
    ({"flags": 0x12}, [], "memory"),                        # a byte written that should not have been
    ({"flags": 0x12}, [[0x30020, 0x43], [0x30021, 1]], "memory"),
])
def test_a_difference_is_noticed(machine: RealMode, after: dict[str, int], memory: list[list[int]], word: str) -> None:
    found = differences(machine, capture(ADD, after, memory))
    assert len(found) == 1 and found[0].startswith(word)


def test_undefined_flags_are_those_named(machine: RealMode, tmp_path: Path) -> None:
    test = capture(ADD, {"flags": 0x2}, [[0x30020, 0x43]])
    assert not differences(machine, test, rule(tmp_path, expect={"undefined": ["AF"]}))
    assert differences(machine, test, rule(tmp_path, expect={"undefined": ["CF", "PF", "ZF", "SF", "OF"]}))


def test_a_fault_is_the_one_named_and_must_happen(machine: RealMode, tmp_path: Path) -> None:
    locked = capture(LOCK_NOP, {})
    undefined_opcode = rule(tmp_path, when={"lock": True}, expect={"fault": 6})
    assert differences(machine, locked)
    assert not differences(machine, locked, undefined_opcode)
    assert differences(machine, locked, rule(tmp_path, expect={"fault": 13}))
    assert not differences(machine, capture("90", {}), undefined_opcode)        # not about this one
    assert differences(machine, capture("90", {}), rule(tmp_path, expect={"fault": 6}))


def test_more_than_one_rule(machine: RealMode, tmp_path: Path) -> None:
    test = capture("9d", {"sp": 0x802, "flags": 0x12})
    test["ram"] += [[STACK + 0x800, 0x02], [STACK + 0x801, 0x70]]
    loaded = rule(tmp_path, expect={"loaded_flags": 0})
    assert differences(machine, test, loaded)
    assert not differences(machine, test, loaded, rule(tmp_path, expect={"undefined": ["AF"]}))


@pytest.mark.parametrize("entry", [{"when": {"locks": True}, "expect": {}}, {"expect": {"undefine": []}},
                                   {"expect": {}, "unless": {}}])
def test_a_rule_with_an_unknown_word_is_an_error(tmp_path: Path, entry: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        rule(tmp_path, **entry)


def test_an_endless_loop_is_reported(machine: RealMode) -> None:
    assert "no HLT" in differences(machine, capture("ebfe", {}))[0]
