"""`strata planes`: what parts, where, and what is said about it."""
import json
from io import StringIO
from pathlib import Path

import pytest

from tools.cli import planes
from tools.planes import compare
from tools.planes.execute import PRESETS, Outcome, Step

BUILD = Path(__file__).resolve().parents[3] / "firmware" / "build"
PING_PONG = str(BUILD / "ping_pong.elf")


def outcome(policy, *ways, status=1):
    steps = tuple(Step(10 * n, 0, out_of, into, cause) for n, (out_of, into, cause) in enumerate(ways))
    return Outcome(policy, status, "exit", "", 100, steps, "")


UP, DOWN, EVENT = (0, 1, "call"), (1, 0, "return"), (0, 1, "interrupt")


@pytest.mark.parametrize("others, expected", (
    ([(UP, DOWN, UP)], None), ([(UP, DOWN, EVENT)], 2), ([(UP, DOWN)], 2), ([(UP, DOWN, UP, DOWN)], 3),
    ([(UP, DOWN, EVENT), (EVENT, DOWN, UP)], 0)))
def test_the_first_switch_that_is_not_the_same_in_all(others, expected):
    outcomes = [outcome("A", UP, DOWN, UP), *(outcome(f"B{n}", *ways) for n, ways in enumerate(others))]
    assert compare.divergence(outcomes) == expected


def test_the_same_at_another_time_is_the_same():
    late = outcome("B", UP)._replace(steps=(Step(999, 0, *UP),))
    assert compare.divergence([outcome("A", UP), late]) is None


def test_equal_policies_share_a_column():
    found = compare.groups([outcome("A", UP), outcome("B", EVENT), outcome("C", UP)])
    assert [[o.policy for o in group] for group in found] == [["A", "C"], ["B"]]


def test_what_is_printed_starts_before_the_difference():
    text = StringIO()
    ways = (UP, DOWN) * 20
    compare.print_comparison([outcome("A", *ways), outcome("B", *ways[:10], EVENT, *ways[11:])], 5, text)
    shown = [line.split()[0] for line in text.getvalue().splitlines() if " -> " in line and "at switch" not in line]
    assert shown == ["9", "10", "11", "12", "13"] and "first 10 switches are the same" in text.getvalue()


def test_a_guest_under_two_policies(capfd, tmp_path):
    out = tmp_path / "out.json"
    assert planes.main(["compare", PING_PONG, "--policies", "user,highest-runnable", "--json", str(out)]) == 0
    assert "All 2,000 switches are the same under all of them" in capfd.readouterr().out
    data = json.loads(out.read_text())
    assert data["divergence"] is None and data["groups"] == [["user", "highest-runnable"]]
    assert data["policies"]["user"]["switches"][0] | {"icount": 0} == {
        "icount": 0, "vcpu": 0, "from": 0, "to": 1, "cause": "call"}


def test_json_may_be_all_of_the_output(capfd):
    assert planes.main(["compare", PING_PONG, "--policies", "user,mpp-0", "--json", "-", "--engine", "interp"]) == 0
    assert json.loads(capfd.readouterr().out)["divergence"] == 0


def test_the_table_of_outcomes_is_the_test_data(capfd):
    expected = json.loads((BUILD.parents[1] / "tests/emu/planes/kvm/outcomes.json").read_text())
    assert all(tuple(policies) == PRESETS for policies in expected.values())
    assert planes.main(["outcomes", "--policies", "USER,MPP(2)", "--json", "-"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found == {guest: {p: expected[guest][p] for p in ("USER", "MPP(2)")} for guest in sorted(expected)}
    assert planes.main(["outcomes", "--policies", "USER"]) == 0
    assert capfd.readouterr().out.count("passed") == len(expected)


@pytest.mark.parametrize("arguments, why", (
    (["compare"], "name an IMAGE"), (["compare", "no.elf"], "no.elf: no such file"),
    (["outcomes", PING_PONG], "takes no IMAGE"), (["compare", PING_PONG, "--rows", "0"], "must be 1 or more"),
    (["compare", PING_PONG, "--policies", "fifo"], "policy 'fifo': not one of USER"),
    (["compare", PING_PONG, "--json", "/no/where/x"], "no such directory"),
    (["compare", __file__], "test_compare.py")))
def test_what_cannot_be_used_is_one_line(arguments, why, capfd):
    assert planes.main(arguments) == 126
    error = capfd.readouterr().err
    assert why in error and len(error.strip().splitlines()) == 1
