"""Dot products and reciprocal estimates of packed elements; companion of jit/simd_float.py."""

from jit.fpu_layout import MXCSR, SLOW_RESULT
from jit.native import inline, ld32, ld64, memmove, shr, st32
from jit.semantics.wiring import ADD, MUL
from jit.simd_float import arithmetic, deliver, element, set_element
from jit.softfloat import MASK_SHIFT, QUIET, ZERO, default_nan, is_denormal, kind_of, quieted

M, TOP = 23, 255                # estimates exist in single precision only


def pure_dot(fpu: int, code: int, d: int, a: int, b: int, control: int) -> int:
    """DPPS, DPPD: in each 128-bit lane the sum of the products that bits 7:4 of the immediate choose, to the elements
    that bits 3:0 choose (SDM Vol. 2A). Each step rounds and signals; an unmasked exception ends it. Every
    element makes the sums for itself, which shows in what becomes of several NaNs."""
    mxcsr = ld64(fpu + MXCSR)
    width, count = shr(code, 8) & 0xFF, shr(code, 16) & 0xFF
    m, top = (23, 255) if width == 4 else (52, 2047)
    per = 4 if width == 4 else 2
    flags = 0
    for number in range(count):
        at = number * width
        value = 0
        if shr(control, 4 + (number & (per - 1))) & 1:
            value, found = arithmetic(MUL, element(fpu + a + at, width), element(fpu + b + at, width), m, top, mxcsr)
            flags |= found
        set_element(fpu + SLOW_RESULT + at, width, value)
    step = 1
    while step < per and flags & ~shr(mxcsr, MASK_SHIFT) == 0:
        mxcsr |= flags
        flags = 0
        for number in range(count):
            own, other = number * width, (number ^ step) * width
            if width == 4 and step == 1:
                own, other = other, own
            value, found = arithmetic(ADD, element(fpu + SLOW_RESULT + own, width),
                                      element(fpu + SLOW_RESULT + other, width), m, top, mxcsr)
            set_element(fpu + SLOW_RESULT + 32 + number * width, width, value)
            flags |= found
        memmove(fpu + SLOW_RESULT, fpu + SLOW_RESULT + 32, 32)
        step += step
    for number in range(count):
        if shr(control, number & (per - 1)) & 1 == 0:
            set_element(fpu + SLOW_RESULT + number * width, width, 0)
    return deliver(fpu, code, d, a, flags, mxcsr)


@inline
def reciprocal(x: int) -> int:
    """RCPSS: the reciprocal of the middle of one of 2048 steps of the significand, rounded to 13 bits; what Intel's
    processors give, within the 1.5 * 2**-12 of SDM Vol. 2B RCPPS. Denormals count as zeros, as source and result."""
    sign = x & 0x80000000
    exponent = 253 - (shr(x, M) & TOP)
    if exponent <= 0:
        return sign
    middle = 4096 + 2 * (shr(x, 12) & 0x7FF) + 1
    value = ((1 << 26) + middle) // (2 * middle)
    return sign | (exponent << M) | ((value - 4096) << 11)


@inline
def reciprocal_root(x: int) -> int:
    """RSQRTSS: the same with 1024 steps for each parity of the exponent."""
    power = (shr(x, M) & TOP) - 127
    middle = 2048 + 2 * (shr(x, 13) & 0x3FF) + 1
    bound = 1 << (38 if power & 1 else 39)
    value = 0
    for place in range(13):
        trial = value | (4096 >> place)
        if (2 * trial - 1) * (2 * trial - 1) * middle <= bound:
            value = trial
    return ((126 - (power >> 1)) << M) | ((value - 4096) << 11)


def pure_estimate(fpu: int, code: int, d: int, a: int, b: int) -> int:
    """RCPPS and RSQRTPS (operation 1 of `code`) of B: no exceptions, no modes."""
    count = shr(code, 16) & 0xFF
    for number in range(count):
        x = ld32(fpu + b + 4 * number)
        kind = kind_of(x, M, TOP)
        sign = x & 0x80000000
        if kind >= QUIET:
            x = quieted(x, M)
        elif kind == ZERO or is_denormal(x, M, TOP):
            x = sign | (TOP << M)
        elif code & 1 and sign:
            x = default_nan(M, TOP)
        elif shr(x, M) & TOP == TOP:
            x = sign
        else:
            x = reciprocal_root(x) if code & 1 else reciprocal(x)
        st32(fpu + SLOW_RESULT + 4 * number, x)
    return deliver(fpu, code, d, a, 0, ld64(fpu + MXCSR))
