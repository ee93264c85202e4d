"""AVX-512 operations on the parts of floating-point values: exponents, significands, ranges, repairs (SDM Vol. 2C
VGETEXP, VGETMANT, VSCALEF, VRANGE, VREDUCE, VFIXUPIMM, VFPCLASS); companion of jit/simd_float.py."""

from jit.fpu_layout import MXCSR, SLOW_RESULT
from jit.native import ctlz, inline, ld64, shr
from jit.semantics.wiring import GETEXP, GETMANT, RANGE, SCALEF, SUB, SUPPRESS_INEXACT
from jit.simd_convert import integral, round_to_scale, rounding_of
from jit.simd_float import arithmetic, deliver, element, flushed, less, set_element
from jit.softfloat import (
    DAZ,
    DE,
    DOWN,
    FINITE,
    IE,
    INFINITE,
    LEAD,
    MASK_SHIFT,
    PE,
    QUIET,
    ROUND_SHIFT,
    SIGNALLING,
    UE,
    ZE,
    ZERO,
    default_nan,
    infinity,
    is_denormal,
    kind_of,
    quieted,
    round_pack,
    sign_of,
    signed_zero,
    unpack,
)

MAGNITUDE = 2                   # bit of VRANGE's operation: compare magnitudes
FROM_FIRST, OF_RESULT, CLEARED = 0, 1, 2                # VRANGE's sign control
HALF_TO_ONE, THREE_QUARTERS = 2, 3      # VGETMANT: intervals; 0 is 1 to 2, 1 that with an even power


@inline
def integer_value(value: int, m: int, top: int, mxcsr: int) -> int:
    """A small integer as a floating-point number."""
    if value == 0:
        return 0
    size = -value if value < 0 else value
    shift = ctlz(size) - 1
    bits, _ = round_pack(1 if value < 0 else 0, shr(top, 1) + LEAD - shift, size << shift, m, top, mxcsr)
    return bits


@inline
def exponent_of(x: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """VGETEXP: the exponent as a floating-point number, with flags."""
    x = flushed(x, m, top, mxcsr)
    kind = kind_of(x, m, top)
    if kind >= QUIET:
        return quieted(x, m), (IE if kind == SIGNALLING else 0)
    if kind == INFINITE:
        return infinity(0, m, top), 0
    if kind == ZERO:
        return infinity(1, m, top), 0
    exponent, _ = unpack(x, m, top)
    return integer_value(exponent - shr(top, 1), m, top, mxcsr), (DE if is_denormal(x, m, top) else 0)


@inline
def significand_of(x: int, control: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """VGETMANT: the significand in the interval of bits 1:0 of the control, with the sign of bits 3:2."""
    x = flushed(x, m, top, mxcsr)
    kind = kind_of(x, m, top)
    if kind >= QUIET:
        return quieted(x, m), (IE if kind == SIGNALLING else 0)
    bias = shr(top, 1)
    negative = sign_of(x, m, top)
    sign = signed_zero(x, m, top) if control & 4 == 0 else 0
    if negative and control & 8 and kind != ZERO:
        return default_nan(m, top), IE
    if kind != FINITE:
        return sign | (bias << m), 0
    exponent, significand = unpack(x, m, top)
    fraction = shr(significand, LEAD - m) & ((1 << m) - 1)
    interval = control & 3
    field = bias
    if interval == 1:
        field -= (exponent - bias) & 1
    elif interval == HALF_TO_ONE:
        field -= 1
    elif interval == THREE_QUARTERS:
        field -= shr(fraction, m - 1)
    return sign | (field << m) | fraction, (DE if is_denormal(x, m, top) else 0)


@inline
def scaled(x: int, y: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """VSCALEF: x times two to the power of the floor of y."""
    x, y = flushed(x, m, top, mxcsr), flushed(y, m, top, mxcsr)
    kx, ky = kind_of(x, m, top), kind_of(y, m, top)
    invalid = IE if kx == SIGNALLING or ky == SIGNALLING else 0
    sign = 1 if sign_of(x, m, top) else 0
    y_negative = sign_of(y, m, top)
    if kx >= QUIET:
        if kx == QUIET and ky == INFINITE:
            return (0 if y_negative else infinity(0, m, top)), 0
        return quieted(x, m), invalid
    if ky >= QUIET:
        return quieted(y, m), invalid
    denormal = DE if is_denormal(x, m, top) else 0
    if ky == INFINITE:
        if (kx == INFINITE and y_negative) or (kx == ZERO and not y_negative):
            return default_nan(m, top), IE
        return (signed_zero(x, m, top) if y_negative else infinity(sign, m, top)), denormal
    if kx != FINITE:
        return x, denormal
    power = 0
    if ky == FINITE:
        limit = 4 * top
        exponent, _ = unpack(y, m, top)
        if exponent - shr(top, 1) > 20:
            power = limit
        else:
            power, _, _ = integral(y, m, top, DOWN, 0)
        if y_negative:
            power = -power
    exponent, significand = unpack(x, m, top)
    bits, flags = round_pack(sign, exponent + power, significand, m, top, mxcsr)
    return bits, flags | denormal


@inline
def ranged(x: int, y: int, control: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """VRANGE: the lesser or greater, or that of the magnitudes, with a sign of choice."""
    kx, ky = kind_of(x, m, top), kind_of(y, m, top)
    if kx == SIGNALLING:
        return quieted(x, m), IE
    if ky == SIGNALLING:
        return quieted(y, m), IE
    x, y = flushed(x, m, top, mxcsr), flushed(y, m, top, mxcsr)
    flags = 0
    if (is_denormal(x, m, top) and ky != QUIET) or (is_denormal(y, m, top) and kx != QUIET):
        flags = DE
    sign_bit = (top + 1) << m
    if ky == QUIET:
        found = x
    elif kx == QUIET:
        found = y
    else:
        if control & MAGNITUDE and (x ^ y) & ~sign_bit:
            first = less(x & ~sign_bit, y & ~sign_bit, m, top)
        else:
            first = less(x, y, m, top) or ((x & ~sign_bit) == (y & ~sign_bit) and x & sign_bit != 0)
        found = x if (first != 0) == (control & 1 == 0) else y
    choice = shr(control, 2) & 3
    if choice == FROM_FIRST:
        found = (found & ~sign_bit) | (x & sign_bit)
    elif choice != OF_RESULT:
        found = (found & ~sign_bit) | (0 if choice == CLEARED else sign_bit)
    return found, flags


@inline
def reduced(x: int, control: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """VREDUCE: x less its nearest multiple of two to a power (bits 7:4 of the control, negated)."""
    x = flushed(x, m, top, mxcsr)
    kind = kind_of(x, m, top)
    if kind >= QUIET:
        return quieted(x, m), (IE if kind == SIGNALLING else 0)
    if kind == INFINITE:
        return 0, 0
    rounding = rounding_of(control, mxcsr)
    mode = (mxcsr & ~(3 << ROUND_SHIFT)) | (rounding << ROUND_SHIFT)
    nearest, _ = round_to_scale(x, control, m, top, mxcsr)
    bits, flags = arithmetic(SUB, x, nearest, m, top, (mode | UE << MASK_SHIFT) & ~DAZ)
    return bits, (0 if control & SUPPRESS_INEXACT else flags & PE)


def pure_parts(fpu: int, code: int, d: int, a: int, b: int, control: int) -> int:
    """`code` as in jit/simd_float.py pure_arithmetic, with an operation of jit/semantics/wiring.py. GETEXP, GETMANT and
    REDUCE are of B alone. `control` is the instruction's immediate."""
    mxcsr = ld64(fpu + MXCSR)
    operation, width, count = code & 0xFF, shr(code, 8) & 0xFF, shr(code, 16) & 0xFF
    m, top = (23, 255) if width == 4 else (52, 2047)
    total = 0
    for number in range(count):
        at = number * width
        x, y = element(fpu + a + at, width), element(fpu + b + at, width)
        if operation == GETEXP:
            bits, flags = exponent_of(y, m, top, mxcsr)
        elif operation == GETMANT:
            bits, flags = significand_of(y, control, m, top, mxcsr)
        elif operation == SCALEF:
            bits, flags = scaled(x, y, m, top, mxcsr)
        elif operation == RANGE:
            bits, flags = ranged(x, y, control, m, top, mxcsr)
        else:
            bits, flags = reduced(y, control, m, top, mxcsr)
        total |= flags
        set_element(fpu + SLOW_RESULT + at, width, bits)
    return deliver(fpu, code, d, a, total, mxcsr)


@inline
def category(x: int, m: int, top: int) -> int:
    """VFIXUPIMM's token for a value."""
    kind = kind_of(x, m, top)
    negative = sign_of(x, m, top)
    if kind >= QUIET:
        return 1 if kind == SIGNALLING else 0
    if kind == ZERO:
        return 2
    if kind == INFINITE:
        return 4 if negative else 5
    if x == shr(top, 1) << m:
        return 3
    return 6 if negative else 7


@inline
def repaired(old: int, x: int, response: int, m: int, top: int) -> int:
    """VFIXUPIMM's result for a response of the table."""
    sign_bit = (top + 1) << m
    one = shr(top, 1) << m
    if response == 0:
        return old
    if response == 1:
        return x
    if response == 2:
        return quieted(x, m) | (top << m)
    if response == 3:
        return default_nan(m, top)
    if response == 4 or (response == 6 and x & sign_bit != 0):
        return infinity(1, m, top)
    if response == 5 or response == 6:
        return infinity(0, m, top)
    if response == 7 or response == 8:
        return sign_bit if response == 7 else 0
    if response == 9 or response == 10:
        return one | (sign_bit if response == 9 else 0)
    if response == 11:
        return one - (1 << m)
    if response == 12:                                  # 90 = 1.40625 * 2**6
        return one + (6 << m) + (0x1A << (m - 6))
    if response == 13:                                  # pi / 2
        return 0x3FC90FDB if m == 23 else 0x3FF921FB54442D18
    return ((top << m) - 1) | (sign_bit if response == 15 else 0)


def pure_repair(fpu: int, code: int, d: int, a: int, b: int, control: int) -> int:
    """VFIXUPIMM: elements of A by the tables in B's. `control`: the immediate in bits 7:0, the place of the old
    destination above."""
    mxcsr = ld64(fpu + MXCSR)
    width, count = shr(code, 8) & 0xFF, shr(code, 16) & 0xFF
    m, top = (23, 255) if width == 4 else (52, 2047)
    old = shr(control, 8)
    total = 0
    for number in range(count):
        at = number * width
        x = flushed(element(fpu + a + at, width), m, top, mxcsr)
        token = category(x, m, top)
        response = shr(element(fpu + b + at, width), 4 * token) & 15
        if token == 2:
            total |= (ZE if control & 1 else 0) | (IE if control & 2 else 0)
        elif token == 3:
            total |= (ZE if control & 4 else 0) | (IE if control & 8 else 0)
        elif (token == 1 and control & 16) or (token == 4 and control & 32) or (token == 6 and control & 64) or \
                (token == 5 and control & 128):
            total |= IE
        set_element(fpu + SLOW_RESULT + at, width, repaired(element(fpu + old + at, width), x, response, m, top))
    return deliver(fpu, code, d, a, total, mxcsr)
