"""Fused multiply-add in integers against exact rational arithmetic (SDM Vol. 1 4.8.4, 11.5.2)."""

import ctypes
from fractions import Fraction
from random import Random

import numpy as np
import pytest

from jit import fpu_layout
from jit.compiler import compiler
from jit.semantics.wiring import FMA_NEGATE_ADDEND, FMA_NEGATE_PRODUCT

NEAREST, DOWN, UP, TRUNCATE = range(4)
FORMATS = {4: (23, 255), 8: (52, 2047)}
DE, OE, UE, PE = 2, 8, 16, 32
A, B, C, D = (fpu_layout.xmm(n) for n in range(4))


class Fma:
    def __init__(self) -> None:
        self.call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 6)(compiler().function("pure_fma"))
        self.file = np.zeros(fpu_layout.FPU_BYTES, np.uint8)
        self.words = self.file.view(np.uint64)

    def __call__(self, width: int, x: int, y: int, z: int, rounding: int, operation: int = 0) -> tuple[int, int]:
        """(bits, flags), all exceptions masked."""
        self.words[fpu_layout.MXCSR // 8] = 0x1F80 | rounding << 13
        for place, value in ((A, x), (B, y), (C, z)):
            self.words[place // 8] = value
        assert self.call(self.file.ctypes.data, operation | width << 8 | 1 << 16, D, A, B, C) == 0
        mask = (1 << 8 * width) - 1
        return int(self.words[D // 8]) & mask, int(self.words[fpu_layout.MXCSR // 8]) & 0x3F


def exact(bits: int, width: int) -> Fraction:
    m, top = FORMATS[width]
    exponent, fraction = bits >> m & top, bits & (1 << m) - 1
    sign = -1 if bits >> 8 * width - 1 else 1
    scale = max(exponent, 1) - top // 2 - m
    significand = fraction | (1 << m if exponent else 0)
    return sign * significand * Fraction(2) ** scale


def rounded(value: Fraction, width: int, rounding: int) -> tuple[int, bool, bool]:
    """(bits, inexact, tiny after rounding) of a value that is not zero and does not overflow."""
    m, top = FORMATS[width]
    size = abs(value)
    power = size.numerator.bit_length() - size.denominator.bit_length()
    power -= size < Fraction(2) ** power
    negative = value < 0

    def quantised(exponent: int) -> tuple[int, bool]:
        unit = size / Fraction(2) ** (exponent - m)
        whole, rest = divmod(unit.numerator, unit.denominator)
        away = {NEAREST: 2 * rest > unit.denominator or 2 * rest == unit.denominator and whole & 1 == 1,
                DOWN: negative and rest != 0, UP: not negative and rest != 0, TRUNCATE: False}[rounding]
        return whole + away, rest != 0
    least = 1 - top // 2
    unbounded, _ = quantised(power)
    tiny = power + (unbounded >> m + 1) < least
    exponent = max(power, least)
    whole, inexact = quantised(exponent)
    bits = (exponent - least << m) + whole
    return bits | negative << 8 * width - 1, inexact, tiny


def operand(rng: Random, width: int) -> int:
    m, top = FORMATS[width]
    middle = top // 2
    exponent = rng.choice((rng.randrange(middle // 2, middle + middle // 2), middle, middle - rng.randrange(4),
                           middle // 2, middle // 2 - rng.randrange(30), rng.randrange(4)))
    fraction = rng.getrandbits(m) & -1 << rng.choice((0, 0, m // 2, m - 2))
    return rng.getrandbits(1) << 8 * width - 1 | exponent << m | fraction


@pytest.fixture(scope="module")
def fma() -> Fma:
    return Fma()


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("rounding", range(4))
def test_results_are_rounded_once(fma: Fma, width: int, rounding: int) -> None:
    rng = Random(100 * width + rounding)
    m, top = FORMATS[width]
    sign = 1 << 8 * width - 1
    checked = 0
    for _ in range(1500):
        x, y, z = (operand(rng, width) for _ in range(3))
        product = exact(x, width) * exact(y, width)
        if product and rng.random() < 0.6:      # nearly the product's negative, or near its last places
            near, _, _ = rounded(product, width, TRUNCATE)
            if near >> m & top < top - 1:
                z = (near ^ sign) + rng.randrange(-2, 3) + (rng.randrange(-2, 3) * rng.randrange(m + 3) << m)
                z %= 1 << 8 * width
        if z >> m & top == top:
            continue
        operation = rng.choice((0, FMA_NEGATE_ADDEND, FMA_NEGATE_PRODUCT, FMA_NEGATE_ADDEND | FMA_NEGATE_PRODUCT))
        value = (-product if operation & FMA_NEGATE_PRODUCT else product)
        value += -exact(z, width) if operation & FMA_NEGATE_ADDEND else exact(z, width)
        if value == 0:
            continue
        expected, inexact, tiny = rounded(value, width, rounding)
        if expected >> m & top >= top:
            continue
        bits, flags = fma(width, x, y, z, rounding, operation)
        text = f"{x:x} * {y:x} + {z:x}, operation {operation}"
        assert bits == expected, text
        assert flags & ~DE == (PE if inexact else 0) | (UE if inexact and tiny else 0), text
        checked += 1
    assert checked > 1000


@pytest.mark.parametrize(("rounding", "expected"), [(NEAREST, 0x7F800000), (DOWN, 0x7F7FFFFF), (UP, 0x7F800000),
                                                    (TRUNCATE, 0x7F7FFFFF)])
def test_overflow(fma: Fma, rounding: int, expected: int) -> None:
    assert fma(4, 0x7F000000, 0x7F000000, 0, rounding) == (expected, OE | PE)


@pytest.mark.parametrize(("rounding", "expected"), [(NEAREST, 0), (DOWN, 1 << 63), (UP, 0), (TRUNCATE, 0)])
def test_exact_cancellation_gives_the_zero_of_the_rounding_mode(fma: Fma, rounding: int, expected: int) -> None:
    one, minus_one = 0x3FF0000000000000, 0xBFF0000000000000
    assert fma(8, one, one, minus_one, rounding) == (expected, 0)
