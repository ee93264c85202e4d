"""Estimates to 14 bits (SDM Vol. 2C VRCP14PS, VRSQRT14PS), as Intel's processors give them.

The manual bounds the error, 2**-14; which result it is was measured: straight lines, each for a segment of the
significand's range. A pair of the tables is where a line starts and how far it falls at a step of the significand.
"""

import numpy as np

from jit.fpu_layout import MXCSR, SLOW_RESULT
from jit.native import inline, ld64, shr
from jit.simd_float import deliver, element, flushed, set_element
from jit.softfloat import (
    FTZ,
    INFINITE,
    LEAD,
    QUIET,
    ZERO,
    default_nan,
    infinity,
    kind_of,
    quieted,
    sign_of,
    signed_zero,
    unpack,
)

RESULT_BITS = 16                # of the fraction of a result
START_SHIFT, LINE_SHIFT = 7, 9
SEGMENT_BITS = 10               # low bits of a step's number, within its segment
# 64 segments of 1/x for x in [1, 2)
RECIPROCAL = np.array([
    262130, 1009, 254060, 977, 246244, 949, 238656, 921, 231286, 893, 224142, 869, 217190, 843, 210444, 821,
    203876, 797, 197496, 777, 191280, 755, 185236, 735, 179352, 717, 173622, 699, 168034, 681, 162584, 663,
    157278, 647, 152098, 631, 147052, 617, 142118, 601, 137306, 587, 132606, 573, 128020, 561, 123530, 547,
    119148, 535, 114864, 523, 110682, 513, 106580, 501, 102574, 491, 98650, 479, 94812, 469, 91054, 459, 87380,
    451, 83774, 441, 80248, 433, 76784, 423, 73396, 415, 70074, 407, 66816, 399, 63622, 391, 60496, 385, 57418,
    377, 54402, 369, 51446, 363, 48546, 357, 45690, 349, 42892, 343, 40144, 337, 37446, 331, 34794, 325, 32188,
    319, 29636, 315, 27116, 309, 24642, 303, 22216, 299, 19822, 293, 17476, 289, 15166, 285, 12890, 279, 10662,
    275, 8466, 271, 6302, 267, 4170, 263, 2070, 259], np.int64)

# 32 segments of 1/sqrt(x) for x in [1, 2), and of it for x in [2, 4)
ROOT_EVEN = np.array([
    262121, 1001, 254113, 955, 246469, 915, 239154, 877, 232142, 841, 225415, 807, 218957, 775, 212753, 747,
    206778, 719, 201025, 693, 195479, 669, 190132, 647, 184962, 625, 179962, 603, 175135, 585, 170459, 567,
    165927, 549, 161539, 533, 157279, 517, 153144, 501, 149133, 487, 145235, 473, 141448, 461, 137763, 449,
    134175, 437, 130683, 425, 127286, 415, 123966, 403, 120735, 393, 117590, 385, 114511, 375, 111514, 367], np.int64)
ROOT_ODD = np.array([
    108565, 707, 102905, 675, 97500, 647, 92324, 619, 87372, 595, 82615, 571, 78049, 549, 73657, 527, 69437, 509,
    65371, 491, 61445, 473, 57661, 457, 54005, 441, 50474, 427, 47057, 413, 43755, 401, 40551, 389, 37443, 377,
    34431, 365, 31513, 355, 28675, 345, 25918, 335, 23236, 325, 20632, 317, 18098, 309, 15629, 301, 13223, 293,
    10878, 285, 8597, 279, 6365, 271, 4192, 265, 2070, 259], np.int64)


@inline
def line(start: int, fall: int, step: int) -> int:
    """A fraction of RESULT_BITS."""
    return shr((start << START_SHIFT) - fall * step, LINE_SHIFT)


@inline
def packed(sign: int, exponent: int, fraction: int, m: int, top: int, mxcsr: int) -> int:
    """A result with a fraction of RESULT_BITS; denormal results are cut off, or zero with FTZ."""
    if exponent > 0:
        return sign | (exponent << m) | (fraction << (m - RESULT_BITS))
    if mxcsr & FTZ:
        return sign
    return sign | shr((1 << m) | (fraction << (m - RESULT_BITS)), 1 - exponent)


@inline
def reciprocal(x: int, m: int, top: int, mxcsr: int) -> int:
    """1 / x for a finite x that is not zero."""
    exponent, significand = unpack(x, m, top)
    sign = signed_zero(x, m, top)
    exponent = 2 * shr(top, 1) - exponent
    fraction = significand & ((1 << LEAD) - 1)
    if fraction != 0:
        exponent -= 1
    if exponent >= top:
        return sign | (top << m)
    if fraction == 0:
        return packed(sign, exponent, 0, m, top, mxcsr)
    step = shr(fraction, LEAD - 16)
    pair = shr(step, SEGMENT_BITS) << 1
    low = step & ((1 << SEGMENT_BITS) - 1)
    return packed(sign, exponent, line(RECIPROCAL[pair], RECIPROCAL[pair + 1], low), m, top, mxcsr)


@inline
def reciprocal_root(x: int, m: int, top: int, mxcsr: int) -> int:
    """1 / sqrt(x) for a positive finite x."""
    exponent, significand = unpack(x, m, top)
    power = exponent - shr(top, 1)
    fraction = significand & ((1 << LEAD) - 1)
    half = power >> 1
    if power & 1 == 0 and fraction == 0:
        return packed(0, shr(top, 1) - half, 0, m, top, mxcsr)
    step = shr(fraction, LEAD - 15)
    pair = shr(step, SEGMENT_BITS) << 1
    low = step & ((1 << SEGMENT_BITS) - 1)
    if power & 1:
        value = line(ROOT_ODD[pair], ROOT_ODD[pair + 1], low)
    else:
        value = line(ROOT_EVEN[pair], ROOT_EVEN[pair + 1], low)
    return packed(0, shr(top, 1) - half - 1, value, m, top, mxcsr)


def pure_estimate14(fpu: int, code: int, d: int, a: int, b: int) -> int:
    """VRCP14* and VRSQRT14* (operation 1 of `code`) of B: no exceptions, DAZ and FTZ."""
    mxcsr = ld64(fpu + MXCSR)
    width, count = shr(code, 8) & 0xFF, shr(code, 16) & 0xFF
    m, top = (23, 255) if width == 4 else (52, 2047)
    for number in range(count):
        x = flushed(element(fpu + b + number * width, width), m, top, mxcsr)
        kind = kind_of(x, m, top)
        negative = sign_of(x, m, top)
        if kind >= QUIET:
            x = quieted(x, m)
        elif kind == ZERO:
            x = infinity(1 if negative else 0, m, top)
        elif code & 1 and negative:
            x = default_nan(m, top)
        elif kind == INFINITE:
            x = signed_zero(x, m, top)
        else:
            x = reciprocal_root(x, m, top, mxcsr) if code & 1 else reciprocal(x, m, top, mxcsr)
        set_element(fpu + SLOW_RESULT + number * width, width, x)
    return deliver(fpu, code, d, a, 0, mxcsr)
