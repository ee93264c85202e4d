"""What may stand in a user's policy: all else is refused with its line, and nothing in it runs for ever."""
import ctypes
import time
from random import Random

import pytest

from emu.machine import Machine
from emu.planes.script import _ANSWER, load
from jit import group_layout as g
from tests.emu.planes.test_script import CHOOSE, REQUEST, THREE_LEVELS, guest, policy
from tools.cli import main

__all__ = ["policy"]
STAYS = REQUEST + "return target\n"
DOUBLING = "def f0(a):\n    return a\n" + "".join(
    f"def f{n}(a):\n    return f{n - 1}(a) + f{n - 1}(a)\n" for n in range(1, 17))


@pytest.mark.parametrize("text, why", (
    ("import os\n", "line 1: Import is not for policies"),
    ("from os import system\n", "line 1: ImportFrom is not"),
    ("__import__('os').system('true')\n", "line 1: Expr is not"),
    ("while True: pass\n", "line 1: While is not"),
    ("x = 1 / 0\n", "line 1: outside functions values are plain numbers"),
    ("x = 2 ** 99999999\n", "line 1: outside functions"),
    ("x = 9223372036854775808\n", "line 1: a number of more than 64 bits"),
    ("x = 1.5\n", "1.5 is not an integer"),
    ("x = y = 1\n", "one name at a time"),
    ("range = 1\n", "range has a meaning already"),
    ("strata_burn = 1\n", "strata_burn has a meaning already"),
    ("x = 1\nx = 2\n", "line 2: x has a meaning already"),
    ("x = " + "(" * 500 + "1" + ")" * 500 + "\n", "nested"),
    ("x = 1" + " + 1" * 300 + "\n", "line 1: outside functions"),
    ("def f(a):\n    return a" + " + a" * 480 + "\n", "nested too deeply"),
    ("def f(a):\n" + "    a = a + 1\n" * 700 + "    return a\n", "more than 2000 names"),
    ("#" * 70000 + "\n", "longer than 65536"),
    ("class A: pass\n", "ClassDef is not"),
    ("def f(a=1):\n    return a\n", "f has parameters other than plain ones"),
    ("def f(a, a):\n    return a\n", "duplicate"),
    ("def f(a):\n    return f(a)\n", "line 1: f calls itself"),
    ("def f(a):\n    return h(a)\ndef h(a):\n    return f(a)\n", "f calls itself"),
    ("def f(a):\n    if a:\n        return 1\n", "f may come to its end without a return"),
    ("def f(a):\n    return\n", "without a value"),
    ("def f(a):\n    return None\n", "line 2: None is not an integer"),
    ("def f(a):\n    return a / 2\n", "line 2: Div is not for integers"),
    ("def f(a):\n    return a ** a\n", "Pow is not for integers"),
    ("def f(a):\n    return [0][a]\n", "Subscript is not for policies"),
    ("def f(a):\n    return a.real\n", "Attribute is not"),
    ("def f(a):\n    return sum(range(a))\n", "line 2: a call of something else"),
    ("def f(a):\n    return open(a)\n", "a call of something else"),
    ("def f(a):\n    return max(a)\n", "max takes other arguments"),
    ("def f(a):\n    return b\n", "line 2: there is no number b"),
    ("def f(a):\n    for n in range(0, 5, 0):\n        a += 1\n    return a\n", "whose step"),
    ("def f(a):\n    for n in range(0, 5, a):\n        a += 1\n    return a\n", "whose step"),
    ("def f(a):\n    for n in (1, 2):\n        a += 1\n    return a\n", "neither while nor over a range"),
    ("def f(a):\n    global b\n    return a\n", "Global is not"),
    ("def f(a):\n    g = lambda: 1\n    return a\n", "Lambda is not"),
    ("def f(a):\n    try:\n        return a\n    finally:\n        return 1\n", "may come to its end|Try is not"),
    ("def f(a):\n    return a is a\n", "Is is not"),
    ("def f(a):\n    break\n    return a\n", "outside loop"),
    ("def f(a):\n    return 'x'\n", "'x' is not an integer"),
))
def test_what_is_not_of_the_language_is_refused_with_its_line(policy, text, why):
    path = policy(text + CHOOSE + "return active\n" + STAYS)
    with pytest.raises(ValueError, match=why) as failure:
        load(path)
    assert "\n" not in str(failure.value) and path in str(failure.value)


def test_a_file_is_not_executed(policy, tmp_path):
    made = tmp_path / "made"
    with pytest.raises(ValueError, match="line 1"):
        load(policy(f"open({str(made)!r}, 'w')\n" + CHOOSE + "return active\n" + STAYS))
    assert not made.exists()


@pytest.mark.parametrize("text, why", (
    (CHOOSE + "while True:\n        pass\n    return active\n", r"choose\(active=0.*does not end within 50,000 steps"),
    (CHOOSE + "for n in range(1 << 62):\n        active += n & 0\n    return active\n", "does not end"),
    (CHOOSE + "for a in range(99999):\n        for b in range(99999):\n            active += 0\n    return active\n",
     "does not end"),
    (DOUBLING + CHOOSE + "return f16(active)\n", "does not end"),
    (CHOOSE + "return 0 // active\n", "choose.*divides by zero"),
    (CHOOSE + "return 1 % active\n", "choose.*divides by zero"),
    (CHOOSE + "return 1 << (active - 1)\n", "shifts by a negative number"),
    (CHOOSE + "return active >> -1\n", "shifts by a negative number"),
))
def test_functions_that_give_no_answer(policy, text, why):
    with pytest.raises(ValueError, match=why):
        load(policy(text + STAYS))


ARITHMETIC = """
BIG = 9223372036854775807

def choose(active: int, present: int, runnable: int, events: int) -> int:
    if active < 3 and present < 8:
        return active
    if events == 0:
        return (-BIG - 1) // -1
    if events == 1:
        return (-BIG - 1) % -1
    if events == 2:
        return -7 // 2 * 100 + -7 % 3
    if events == 3:
        return BIG + 1
    if events == 4:
        return (1 << 64) + (1 << 63)
    if events == 5:
        return (-5 >> 70) + (5 >> 64)
    if events == 6:
        x = 3
        x <<= 2
        return max(x, abs(-20), min(4, 5)) + (not x) + (1 < x < 20)
    if events == 7:
        total = 0
        for n in range(10, 0, -3):
            if n == 7:
                continue
            total += n
        return total
    if events == 8:
        if active > 100:
            unset = 5
        return unset
    if events == 9:
        return 9223372036854775807 + 1
    if events == 10:
        return ~(active == 9) * 10 - -(active == 9)
    return -1 if active else int(bool(7))
"""


@pytest.mark.parametrize("events, answer", list(enumerate((
    -1 << 63, 0, -400 + 2, -1 << 63, -1 << 63, -1, 21, 15, 0, -1 << 63, -19, -1))))
def test_arithmetic_wraps_and_never_traps(policy_object, events, answer):
    """As Python's where the result fits into 64 bits."""
    fuel = ctypes.c_int64(g.SCRIPT_FUEL_LIMIT)
    assert _ANSWER(policy_object.choose)(ctypes.addressof(fuel), 9, 9, 512, 0, events) == answer and fuel.value > 0


class Word(int):
    """A number of 64 bits that computes as Python does."""

    def __new__(cls, value):
        return int.__new__(cls, (value + (1 << 63)) % (1 << 64) - (1 << 63))


def wrapping(function):
    return lambda *words: Word(function(*map(int, words)))


for _name in ("add", "sub", "mul", "and", "or", "xor", "floordiv", "mod", "neg", "invert", "pos"):
    setattr(Word, f"__{_name}__", wrapping(getattr(int, f"__{_name}__")))
Word.__lshift__ = lambda a, b: Word(int(a) << int(b) if b < 64 else 0)
Word.__rshift__ = lambda a, b: Word(int(a) >> int(b))
NUMBERS = (0, 1, 2, 5, 63, 64, -1, -2, 1 << 62, -(1 << 63) + 1, (1 << 63) - 1)


def expression(random, depth):
    """Text with {} around what makes numbers of other values."""
    def part():
        return expression(random, depth - 1)
    if depth == 0:
        return random.choice(("active", "present", "runnable", f"{{{random.choice(NUMBERS)}}}"))
    return random.choice((
        lambda: f"({part()} {random.choice(('+', '-', '*', '&', '|', '^', '//', '%', '<<', '>>'))} {part()})",
        lambda: f"{{{part()} {random.choice(('<', '<=', '==', '!=', '>', '>='))} {part()}}}",
        lambda: f"({random.choice('-~+')}{part()})",
        lambda: f"{{not {part()}}}",
        lambda: f"({part()} if {part()} else {part()})",
        lambda: f"{random.choice(('min', 'max'))}({part()}, {part()})",
        lambda: f"({part()} {random.choice(('and', 'or'))} {part()})"))()


def test_random_expressions_are_what_python_makes_of_them(policy):
    random = Random(5)
    texts = [expression(random, random.randint(1, 4)) for _ in range(40)]
    body = "".join(f"if events == {n + 100}:\n        return {text.replace('{', '(').replace('}', ')')}\n    "
                   for n, text in enumerate(texts))
    choose = _ANSWER(load(policy(CHOOSE + body + "return active\n" + STAYS)).script.choose)
    answers = 0
    for n, text in enumerate(texts):
        expected = compile(text.replace("{", "Word(").replace("}", ")"), "expression", "eval")
        for values in ([Word(random.choice(NUMBERS)) for _ in range(3)] for _ in range(20)):
            names = dict(zip(("active", "present", "runnable"), values, strict=True))
            fuel = ctypes.c_int64(g.SCRIPT_FUEL_LIMIT)
            found = choose(ctypes.addressof(fuel), values[0], *values, n + 100)
            try:
                wanted = eval(expected, {"Word": Word}, names)
            except (ZeroDivisionError, ValueError):
                assert fuel.value in (g.FUEL_DIVISION, g.FUEL_SHIFT)
                continue
            assert (found, fuel.value > 0) == (wanted, True), (text, values)
            answers += 1
    assert answers > 600


@pytest.fixture(scope="module")
def policy_object(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "p.py"
    path.write_text(ARITHMETIC + STAYS)
    return load(str(path)).script


def test_decorators_annotations_and_documentation_are_welcome(policy):
    assert load(policy('"""Mine."""\nfrom __future__ import annotations\nimport numba\nfrom numba import njit\n'
                       "SHIFT: int = -1\n@njit(cache=True)\n" + CHOOSE + '"""Stays."""\n    return active\n'
                       "@numba.njit\n" + STAYS)).marker is None


def test_a_loop_that_the_check_did_not_meet_ends_the_run(policy):
    """In a state with four planes; what was left of the slice does not matter."""
    kvm = guest(policy(CHOOSE + "while runnable == 15:\n        pass\n    return active\n" + STAYS), planes=4)
    kvm.at(0, "90" * 4)
    kvm.vcpu.group.set(g.RUNNABLE, 0b1111)
    kvm.steps(3)
    assert (kvm.m.stopping.reason, kvm.m.stopping.status) == ("policy", 126)
    assert "choose does not end within 50,000 steps" in kvm.m.stopping.message


def test_a_policy_that_takes_all_the_time_it_may_does_not_keep_a_run_from_its_time_out(policy):
    text = CHOOSE + "for n in range(3000):\n        present |= n & 0\n    return active\n" + STAYS
    m = Machine(memory=64 << 20, planes="kvm", policy=policy(text))
    m.load(THREE_LEVELS)
    started = time.perf_counter()
    stop = m.run(timeout=0.2)
    assert stop.status in (1, 124) and time.perf_counter() - started < 20


def test_the_command_refuses_it_in_one_line(policy, capfd):
    path = policy(CHOOSE + "while True: pass\n    return active\n" + STAYS)
    assert main.main(["run", THREE_LEVELS, "--planes", "kvm", "--policy", path]) == 126
    output = capfd.readouterr()
    assert "does not end within 50,000 steps" in output.err and not output.out
    assert output.err.splitlines()[-1].startswith(f"strata: policy {path}: choose(") and "Traceback" not in output.err
