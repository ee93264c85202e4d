"""Values as memory operands: (raw bits, flags) of a conversion (SDM Vol. 1 4.8, 4.9.1; table 4-10)."""

from jit.native import inline, shr, udiv, ult, urem
from jit.x87.format import (
    BIAS,
    C1,
    EXP_MAX,
    IE,
    INFINITE,
    OE,
    PE,
    QUIET,
    QUIET_NAN,
    ROUND_DOWN,
    ROUND_NEAREST,
    ROUND_UP,
    SIGNALING_NAN,
    UE,
    UNSUPPORTED,
    ZERO,
    kind,
    normalised,
    rounding,
    sign_of,
)
from jit.x87.rounding import round_significand
from jit.x87.unary import to_integer
from jit.x87.wide import shr128_jam

DIGITS = 18                                     # of a packed decimal (SDM Vol. 1 4.7)
DECIMAL_LIMIT = 10 ** DIGITS
DECIMAL_INDEFINITE_HIGH, DECIMAL_INDEFINITE_LOW = 0xFFFF, -(1 << 62)


@inline
def narrow_float(sig: int, top: int, cw: int, fraction_bits: int, exponent_bits: int) -> tuple[int, int]:
    """An IEEE number of 1 + exponent_bits + fraction_bits bits. With an unmasked overflow or underflow there is no
    result, and the inexact result is not reported (SDM Vol. 1 8.5.6)."""
    value_kind = kind(sig, top)
    exponent_max = (1 << exponent_bits) - 1
    drop = 63 - fraction_bits
    fraction_mask = (1 << fraction_bits) - 1
    sign = sign_of(top) << (fraction_bits + exponent_bits)
    infinity = exponent_max << fraction_bits
    if value_kind == UNSUPPORTED:
        return (-1 << (fraction_bits - 1)) & (infinity | fraction_mask) | (1 << (fraction_bits + exponent_bits)), IE
    if value_kind >= QUIET_NAN:
        return (sign | infinity | (shr(sig | QUIET, drop) & fraction_mask),
                IE if value_kind == SIGNALING_NAN else 0)
    if value_kind == INFINITE:
        return sign | infinity, 0
    if value_kind == ZERO:
        return sign, 0
    high, exponent = normalised(sig, top)
    exponent -= BIAS - (exponent_max >> 1)
    rc = rounding(cw)
    negative = sign_of(top)
    rounded, carry, fraction, up = round_significand(negative, high, 0, drop, rc)
    if exponent <= 0 and not (exponent == 0 and carry):
        if cw & UE == 0:
            return 0, UE
        high, low = shr128_jam(high, 0, 1 - exponent)
        rounded, carry, fraction, up = round_significand(negative, high, low, drop, rc)
        return (sign | shr(rounded, drop),
                0 if fraction == 0 else UE | PE | (C1 if up else 0))
    if carry:
        exponent += 1
    if exponent >= exponent_max:
        if cw & OE == 0:
            return 0, OE
        if rc == ROUND_NEAREST or rc == (ROUND_DOWN if negative else ROUND_UP):
            return sign | infinity, OE | PE | C1
        return sign | (infinity - 1), OE | PE
    return (sign | (exponent << fraction_bits) | (shr(rounded, drop) & fraction_mask),
            0 if fraction == 0 else PE | (C1 if up else 0))


@inline
def magnitude(sig: int, top: int, rc: int) -> tuple[int, int, bool]:
    """(size, flags, whether it fits 63 bits with some room for checks) of a value rounded to an integer."""
    value_kind = kind(sig, top)
    if value_kind == ZERO:
        return 0, 0, True
    if value_kind >= INFINITE or top & EXP_MAX > BIAS + 63:
        return 0, IE, False
    size, inexact, up = to_integer(sign_of(top), top & EXP_MAX, sig, rc)
    return size, (PE if inexact else 0) | (C1 if up else 0), True


@inline
def narrow_integer(sig: int, top: int, rc: int, width: int) -> tuple[int, int]:
    """A signed integer of `width` bits; the integer indefinite where it does not fit."""
    size, flags, fits = magnitude(sig, top, rc)
    limit = 1 << (width - 1)
    negative = sign_of(top)
    if not fits or ult(limit - (0 if negative else 1), size):
        return limit, IE
    return -size if negative else size, flags


@inline
def narrow_decimal(sig: int, top: int, rc: int) -> tuple[int, int, int]:
    """(low 64 bits, high 16 bits, flags) of a packed decimal."""
    size, flags, fits = magnitude(sig, top, rc)
    if not fits or not ult(size, DECIMAL_LIMIT):
        return DECIMAL_INDEFINITE_LOW, DECIMAL_INDEFINITE_HIGH, IE
    low, high = 0, sign_of(top) << 15
    for digit in range(DIGITS):
        value = urem(size, 10)
        size = udiv(size, 10)
        if digit < 16:
            low |= value << (digit << 2)
        else:
            high |= value << ((digit - 16) << 2)
    return low, high, flags
