"""IEEE 754 arithmetic in integers, for whatever the host's own cannot give: other rounding modes, denormals, flags.

A format is given by its fraction bits `m` (10, 23, 52) and its largest exponent field `top` (31, 255, 2047). A finite
value in flight is (sign, exponent, significand): the significand has its leading one at bit 62 and everything that was
cut off jammed into bit 0; the exponent is biased as the format's, without bounds. Rounding, flags and masks are
MXCSR's (SDM Vol. 1 10.2.3, 11.5); tininess is detected after rounding (SDM Vol. 1 4.9.1.5).
"""

from jit.native import ctlz, inline, shr, ult, umulh

IE, DE, ZE, OE, UE, PE = 1, 2, 4, 8, 16, 32
DAZ, FTZ = 0x40, 0x8000
MASK_SHIFT, ROUND_SHIFT = 7, 13
NEAREST, DOWN, UP, TRUNCATE = 0, 1, 2, 3
LEAD = 62
FINITE, ZERO, INFINITE, QUIET, SIGNALLING = 0, 1, 2, 3, 4


@inline
def sign_of(x: int, m: int, top: int) -> bool:
    return shr(x, m) > top


@inline
def kind_of(x: int, m: int, top: int) -> int:
    """FINITE (not zero), ZERO, INFINITE, QUIET or SIGNALLING."""
    exponent = shr(x, m) & top
    fraction = x & ((1 << m) - 1)
    if exponent == top:
        if fraction == 0:
            return INFINITE
        return QUIET if shr(fraction, m - 1) else SIGNALLING
    if exponent == 0 and fraction == 0:
        return ZERO
    return FINITE


@inline
def is_denormal(x: int, m: int, top: int) -> bool:
    return shr(x, m) & top == 0 and x & ((1 << m) - 1) != 0


@inline
def signed_zero(x: int, m: int, top: int) -> int:
    """Zero with the sign of x."""
    return x & ((top + 1) << m)


@inline
def infinity(sign: int, m: int, top: int) -> int:
    return (sign << _sign_bit(m, top)) | (top << m)


@inline
def _sign_bit(m: int, top: int) -> int:
    return m + 64 - ctlz(top)


@inline
def default_nan(m: int, top: int) -> int:
    """The QNaN floating-point indefinite: negative (SDM Vol. 1 table 4-3)."""
    return infinity(1, m, top) | (1 << (m - 1))


@inline
def quieted(x: int, m: int) -> int:
    return x | (1 << (m - 1))


@inline
def unpack(x: int, m: int, top: int) -> tuple[int, int]:
    """(exponent, significand) of a finite value that is not zero."""
    exponent = shr(x, m) & top
    fraction = x & ((1 << m) - 1)
    if exponent == 0:
        shift = ctlz(fraction) - 1
        return 1 - (shift - (LEAD - m)), fraction << shift
    return exponent, (fraction | (1 << m)) << (LEAD - m)


@inline
def shift_jam(x: int, count: int) -> int:
    """x shifted right; bits that fall out are kept as bit 0."""
    if count == 0:
        return x
    if count > 62:
        return 1 if x != 0 else 0
    return shr(x, count) | (1 if x & ((1 << count) - 1) else 0)


@inline
def round_at(value: int, shift: int, rounding: int, sign: int) -> tuple[int, bool]:
    """(value rounded to multiples of 2**shift and divided by that, whether it was inexact); 1 <= shift <= 62."""
    low = value & ((1 << shift) - 1)
    quotient = shr(value, shift)
    half = 1 << (shift - 1)
    up = False
    if rounding == NEAREST:
        up = low > half or (low == half and quotient & 1 != 0)
    elif rounding == DOWN:
        up = low != 0 and sign != 0
    elif rounding == UP:
        up = low != 0 and sign == 0
    return (quotient + 1 if up else quotient), low != 0


@inline
def overflowed(sign: int, m: int, top: int, rounding: int) -> int:
    """What a result too large becomes (SDM Vol. 1 table 4-11)."""
    largest = (sign << _sign_bit(m, top)) | ((top << m) - 1)
    if rounding == NEAREST or (rounding == UP and sign == 0) or (rounding == DOWN and sign != 0):
        return infinity(sign, m, top)
    return largest


@inline
def round_pack(sign: int, exponent: int, significand: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of a value in flight; with an unmasked overflow or underflow only the flags matter."""
    rounding = shr(mxcsr, ROUND_SHIFT) & 3
    signed = sign << _sign_bit(m, top)
    shift = LEAD - m
    quotient, inexact = round_at(significand, shift, rounding, sign)
    rounded = exponent
    if shr(quotient, m + 1):
        rounded += 1
        quotient = shr(quotient, 1)
    flags = PE if inexact else 0
    if rounded >= top:
        if shr(mxcsr, MASK_SHIFT) & OE:
            flags = PE
        return overflowed(sign, m, top, rounding), flags | OE
    if rounded > 0:
        return signed | (rounded << m) | (quotient & ((1 << m) - 1)), flags
    if shr(mxcsr, MASK_SHIFT) & UE == 0:
        return signed, flags | UE
    if mxcsr & FTZ:
        return signed, UE | PE
    quotient, inexact = round_at(shift_jam(significand, 1 - exponent), shift, rounding, sign)
    return signed | quotient, (UE | PE if inexact else 0)


@inline
def add_finite(sx: int, x: int, sy: int, y: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of the sum of finite values that are not zero, whose signs are given apart."""
    ex, fx = unpack(x, m, top)
    ey, fy = unpack(y, m, top)
    if ex < ey or (ex == ey and fx < fy):
        ex, fx, sx, ey, fy, sy = ey, fy, sy, ex, fx, sx
    fx, fy = shr(fx, 1), shift_jam(shr(fy, 1), ex - ey)         # the low bits of both are zero
    total = fx + fy if sx == sy else fx - fy
    if total == 0:
        return (1 if shr(mxcsr, ROUND_SHIFT) & 3 == DOWN else 0) << _sign_bit(m, top), 0
    shift = ctlz(total) - 1
    return round_pack(sx, ex + 1 - shift, total << shift, m, top, mxcsr)


@inline
def multiply_finite(sign: int, x: int, y: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of the product of finite values that are not zero."""
    ex, fx = unpack(x, m, top)
    ey, fy = unpack(y, m, top)
    high = umulh(fx, fy << 1)
    if fx * (fy << 1) != 0:
        high |= 1
    exponent = ex + ey - shr(top, 1) + 1
    if shr(high, LEAD) == 0:
        high <<= 1
        exponent -= 1
    return round_pack(sign, exponent, high, m, top, mxcsr)


@inline
def divide_finite(sign: int, x: int, y: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of the quotient of finite values that are not zero."""
    ex, fx = unpack(x, m, top)
    ey, fy = unpack(y, m, top)
    exponent = ex - ey + shr(top, 1)
    if fx < fy:
        fx <<= 1
        exponent -= 1
    quotient = 0
    for _ in range(LEAD + 1):
        quotient <<= 1
        if not ult(fx, fy):
            fx -= fy
            quotient |= 1
        fx <<= 1
    return round_pack(sign, exponent, quotient | (1 if fx != 0 else 0), m, top, mxcsr)


@inline
def root_finite(x: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of the square root of a positive finite value."""
    exponent, fraction = unpack(x, m, top)
    power = exponent - shr(top, 1)
    radicand = shr(fraction, 10) << (power & 1)                 # 53 or 54 bits, that is 27 pairs
    root, rest = 0, 0
    for step in range(55):
        pair = shr(radicand, 52 - 2 * step) & 3 if step < 27 else 0
        rest = (rest << 2) | pair
        trial = (root << 2) | 1
        root <<= 1
        if rest >= trial:
            rest -= trial
            root |= 1
    significand = (root << 8) | (1 if rest != 0 else 0)
    return round_pack(0, (power >> 1) + shr(top, 1), significand, m, top, mxcsr)
