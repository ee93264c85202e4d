"""What a test's end and its output mean, and how that compares with what is known."""

import pytest

from tools.kut import known
from tools.kut.config import Test
from tools.kut.execute import Result, judge
from tools.kut.known import CRASH, FAIL, PASS, SKIP, TIMEOUT, Known
from tools.kut.suite import as_data
from tools.kut.suite import judge as compare

OUTPUT = "enabling apic\nPASS: one\nFAIL: two: 5\nSKIP: three\nSUMMARY: 3 tests, 1 unexpected failures, 1 skipped\n"


@pytest.mark.parametrize("status, output, run, outcome", [
    (1, "PASS: one\nSUMMARY: 1 tests\n", {"reason": "exit"}, PASS),
    (1, "no checks\n", {"reason": "exit"}, PASS),
    (77, "SKIP: all\n", {"reason": "exit"}, SKIP),
    (3, OUTPUT, {"reason": "exit"}, FAIL),
    (1, OUTPUT, {"reason": "exit"}, FAIL),
    (124, "PASS: one\n", {"reason": "timeout", "message": "out of time"}, TIMEOUT),
    (None, "", {}, TIMEOUT),
    (125, "PASS: one\n", {"reason": "triple-fault", "message": "triple fault"}, CRASH),
    (126, "", {"reason": "bad-input", "message": "x.flat: e_phoff"}, CRASH),
    (-11, "", {}, CRASH)])
def test_outcomes(status: int | None, output: str, run: dict[str, object], outcome: str) -> None:
    assert judge(status, output, "last words\n", run, 1.0).outcome == outcome


def test_checks_are_counted_and_failures_named() -> None:
    result = judge(3, OUTPUT, "", {"reason": "exit", "instructions": 99}, 1.0)
    assert (result.checks, result.failed, result.failures, result.instructions) == (3, 1, ["two: 5"], 99)
    assert result.message == "two: 5"


def test_an_unhandled_exception_explains_a_failure() -> None:
    result = judge(7, "Unhandled exception 6 #UD at ip 0x400\nSTACK:\n", "", {"reason": "exit"}, 1.0)
    assert result.message == "Unhandled exception 6 #UD at ip 0x400"


def verdict(result: Result, entry: Known | None) -> tuple[bool, bool]:
    found = compare(Test("t", "t.flat"), result, entry)
    return found.expected, found.fixed


def test_known_failures() -> None:
    failed = Result(FAIL, failures=["two: 5"])
    assert verdict(failed, None) == (False, False)
    assert verdict(failed, Known(FAIL, "why")) == (True, False)
    assert verdict(failed, Known(FAIL, "why", ("^two",))) == (True, False)
    assert verdict(failed, Known(FAIL, "why", ("^three",))) == (False, False)
    assert verdict(failed, Known(CRASH, "why")) == (False, False)
    assert verdict(Result(PASS), Known(FAIL, "why")) == (True, True)
    assert verdict(Result(SKIP), None) == (True, False)


def test_the_file_of_known_failures_is_sound(tmp_path) -> None:
    assert all(entry.reason.strip() for entry in known.load().values())
    path = tmp_path / "known.json"
    path.write_text('{"x": {"outcome": "fail"}}')
    with pytest.raises(ValueError, match="x: needs"):
        known.load(str(path))


def test_data_for_scripts() -> None:
    results = {"a": Result(PASS, instructions=5), "b": Result(FAIL, failures=["f"], failed=1, message="f")}
    data = as_data("dir", [compare(Test(name, f"{name}.flat"), result, None) for name, result in results.items()])
    assert data["counts"] == {"pass": 1, "fail": 1} and data["unexpected"] == ["b"]
    assert [test["name"] for test in data["tests"]] == ["a", "b"]
