"""Constants of the transcendental instructions as 128-bit fixed point, computed when code is compiled.

Q1.127 words hold numbers below 2 in units of 2**-127. Tables are pairs of arrays, high words and low words.
"""

from collections.abc import Iterable
from math import factorial

import numpy as np

ONE = 1 << 127
TERMS = 44                              # of the longest polynomial, the arctangent's
_GUARD = 1 << 200


def _arctangent_of_inverse(n: int) -> int:
    """arctan(1 / n) in units of 2**-200."""
    term = total = _GUARD // n
    k = 1
    while term:
        term //= n * n
        k += 2
        total += term // k if k % 4 == 1 else -(term // k)
    return total


def _logarithm_of_2() -> int:
    """ln 2 = 2 artanh(1/3) in units of 2**-200."""
    term = total = _GUARD // 3
    k = 1
    while term:
        term //= 9
        k += 2
        total += term // k
    return 2 * total


PI_200 = 16 * _arctangent_of_inverse(5) - 4 * _arctangent_of_inverse(239)       # Machin
LN2_200 = _logarithm_of_2()


def signed(value: int) -> int:
    """A 64-bit word as the int64 of the same bits."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def words(value: int) -> tuple[int, int]:
    """(high, low) of a 128-bit number."""
    return signed(value >> 64), signed(value)


def table(values: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    pairs = [words(value) for value in values]
    return np.array([h for h, _ in pairs], np.int64), np.array([low for _, low in pairs], np.int64)


LN2_H, LN2_L = words(LN2_200 >> 72)                         # ln 2 in units of 2**-128: 1.f * 2**-1
TWO_OVER_LN2_H, TWO_OVER_LN2_L = words((1 << 400 - 200 + 127) // LN2_200)       # 2 / ln 2 = 1.f * 2**1
QUARTER_PI_H, QUARTER_PI_L = words(PI_200 >> 74)            # in units of 2**-128
# Arguments are reduced by the 66-bit pi of SDM Vol. 1 8.3.8: half of it is REDUCER * 2**-65
REDUCER_H, REDUCER_L = words(0x3243F6A8885A308D3)

INVERSE_ODD_H, INVERSE_ODD_L = table(ONE // (2 * k + 1) for k in range(TERMS))          # artanh, arctan
EXPONENTIAL_H, EXPONENTIAL_L = table(ONE // factorial(k + 1) for k in range(30))        # (e**t - 1) / t
SINE_H, SINE_L = table(ONE // factorial(2 * k + 1) for k in range(17))
COSINE_H, COSINE_L = table(ONE // factorial(2 * k) for k in range(17))
