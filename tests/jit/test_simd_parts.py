"""AVX-512 operations on the parts of numbers, from the manual's descriptions (SDM Vol. 2C), and the bounds of
estimates."""

import ctypes
import math
import struct
from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from jit import fpu_layout
from jit.compiler import compiler
from jit.semantics.wiring import GETEXP, GETMANT, RANGE, REDUCE, SCALEF

A, B, C, D = (fpu_layout.xmm(n) for n in range(4))
IE, DE, ZE, PE = 1, 2, 4, 32
INFINITY, NAN = math.inf, math.nan
MASKED, UNMASKED = 0x1F80, 0
DOUBLE = 8 << 8 | 1 << 16           # one element of 8 bytes
SIGNALLING = 0x7FF0000000000001


class Function:
    """A function of jit/runtime.py on doubles in an FPU file of its own."""

    def __init__(self, name: str, words: int) -> None:
        self.call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * words)(compiler().function(name))
        self.words = np.zeros(fpu_layout.FPU_BYTES // 8, np.uint64)

    def __call__(self, code: int, x: float | int, y: float | int, *rest: int, mxcsr: int = MASKED) -> tuple[float, int]:
        """(result, flags). Operands that are integers are the bits of one."""
        self.words[fpu_layout.MXCSR // 8] = mxcsr
        for place, value in ((A, x), (B, y), (D, -1.0)):
            self.words[place // 8] = bits(value)
        self.status = self.call(self.words.ctypes.data, code | DOUBLE, D, A, B, *rest)
        return number(int(self.words[D // 8])), int(self.words[fpu_layout.MXCSR // 8]) & 0x3F


def bits(value: float | int) -> int:
    return value if isinstance(value, int) else int(struct.unpack("<Q", struct.pack("<d", value))[0])


def number(value: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", value))[0])


@pytest.fixture(scope="module")
def parts() -> Function:
    return Function("pure_parts", 6)


@pytest.mark.parametrize(("x", "expected", "flags"), [
    (8.5, 3.0, 0), (0.75, -1.0, 0), (-8.5, 3.0, 0), (0.0, -INFINITY, 0), (-INFINITY, INFINITY, 0), (1, -1074.0, DE),
    (SIGNALLING, NAN, IE),
])
def test_exponents(parts: Function, x: float | int, expected: float, flags: int) -> None:
    found = parts(GETEXP, 0.0, x, 0)
    assert str(found[0]) == str(expected) and found[1] == flags


@pytest.mark.parametrize(("x", "control", "expected", "flags"), [
    (10.0, 0, 1.25, 0), (10.0, 1, 0.625, 0), (20.0, 1, 1.25, 0), (10.0, 2, 0.625, 0), (14.0, 3, 0.875, 0),
    (10.0, 3, 1.25, 0), (-10.0, 0, -1.25, 0), (-10.0, 4, 1.25, 0), (-10.0, 8, NAN, IE), (-0.0, 0, -1.0, 0),
    (INFINITY, 0, 1.0, 0), (0.0, 2, 1.0, 0),
])
def test_significands(parts: Function, x: float, control: int, expected: float, flags: int) -> None:
    found = parts(GETMANT, 0.0, x, control)
    assert str(found[0]) == str(expected) and found[1] == flags


@pytest.mark.parametrize(("x", "y", "expected", "flags"), [
    (1.5, 3.7, 12.0, 0), (1.5, -0.5, 0.75, 0), (-3.0, -INFINITY, -0.0, 0), (-3.0, INFINITY, -INFINITY, 0),
    (0.0, INFINITY, NAN, IE), (INFINITY, -INFINITY, NAN, IE), (NAN, -INFINITY, 0.0, 0), (2.0, NAN, NAN, 0),
    (1.0, 1e300, INFINITY, 8 | PE), (1.0, -1e300, 0.0, 16 | PE),
])
def test_scaling(parts: Function, x: float, y: float, expected: float, flags: int) -> None:
    found = parts(SCALEF, x, y, 0)
    assert str(found[0]) == str(expected) and found[1] == flags


@pytest.mark.parametrize(("x", "y", "control", "expected"), [
    (-3.0, 2.0, 4, -3.0), (-3.0, 2.0, 5, 2.0), (-3.0, 2.0, 6, 2.0), (-3.0, 2.0, 7, -3.0), (-3.0, 2.0, 1, -2.0),
    (-3.0, 2.0, 0xB, 3.0), (3.0, 2.0, 0xD, -3.0), (NAN, 2.0, 4, 2.0), (2.0, NAN, 4, 2.0), (0.0, -0.0, 4, -0.0),
    (-0.0, 0.0, 5, 0.0),
])
def test_ranges(parts: Function, x: float, y: float, control: int, expected: float) -> None:
    assert str(parts(RANGE, x, y, control)[0]) == str(expected)


@pytest.mark.parametrize(("x", "control", "expected"), [
    (2.75, 0x13, 0.25), (2.75, 0x03, 0.75), (2.75, 0x00, -0.25), (-2.75, 0x01, 0.25), (INFINITY, 0, 0.0), (4.0, 0, 0.0),
])
def test_remainders(parts: Function, x: float, control: int, expected: float) -> None:
    assert parts(REDUCE, 0.0, x, control) == (expected, 0)


@pytest.mark.parametrize(("x", "token", "response", "expected"), [
    (NAN, 0, 8, 0.0), (SIGNALLING, 1, 10, 1.0), (0.0, 2, 4, -INFINITY), (1.0, 3, 12, 90.0),
    (-INFINITY, 4, 6, -INFINITY),
    (INFINITY, 5, 13, math.pi / 2), (-5.0, 6, 11, 0.5), (5.0, 7, 14, 1.7976931348623157e308), (5.0, 7, 0, 77.0),
    (5.0, 7, 1, 5.0),
])
def test_repairs(x: float | int, token: int, response: int, expected: float) -> None:
    repair = Function("pure_repair", 6)
    repair.words[C // 8] = bits(77.0)
    assert repair(0, x, response << 4 * token, C << 8) == (expected, 0)


def test_repairs_report_what_the_immediate_names() -> None:
    repair = Function("pure_repair", 6)
    assert repair(0, 0.0, 0, C << 8 | 1)[1] == ZE
    assert repair(0, 1.0, 0, C << 8 | 1)[1] == 0
    result, flags = repair(0, -INFINITY, 0, C << 8 | 0x20, mxcsr=UNMASKED)
    assert (repair.status, flags, result) == (1, IE, -1.0)


@pytest.mark.parametrize(("operation", "exact"), [(0, lambda x: 1 / x), (1, lambda x: 1 / math.sqrt(x))])
def test_estimates_are_within_the_bound(operation: int, exact: Callable[[float], float]) -> None:
    estimate = Function("pure_estimate14", 5)
    rng = Random(operation)
    for _ in range(2000):
        x = math.ldexp(1 + rng.random(), rng.randrange(-300, 300))
        found, flags = estimate(operation, 0.0, x)
        assert abs(found / exact(x) - 1) < 2 ** -14 and flags == 0
    assert estimate(operation, 0.0, 4.0)[0] == exact(4.0)
    assert estimate(operation, 0.0, 0.0)[0] == INFINITY
