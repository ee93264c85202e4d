"""Sums, products, quotients and square roots: (sig, top, flags) of operands (SDM Vol. 2: FADD, FMUL, FDIV, FSQRT).

The flags are exception flags and C1 as in FSW. Results that an unmasked exception suppresses are the caller's to drop.
"""

from jit.native import inline, shr, ult
from jit.x87.format import (
    BIAS,
    DE,
    DENORMAL,
    EXP_MAX,
    INFINITE,
    QUIET_NAN,
    ROUND_DOWN,
    SIGN,
    ZE,
    ZERO,
    kind,
    normalised,
    rounding,
    sign_of,
)
from jit.x87.nan import invalid, propagate, propagate_one
from jit.x87.rounding import round_result
from jit.x87.wide import add128, clz128, divide, less128, multiply64, shl128, shr128_jam, sub128


@inline
def denormal_flag(a_kind: int, b_kind: int) -> int:
    return DE if a_kind == DENORMAL or b_kind == DENORMAL else 0


@inline
def with_flags(result: tuple[int, int, int], flags: int) -> tuple[int, int, int]:
    sig, top, more = result
    return sig, top, more | flags


@inline
def add(a_sig: int, a_top: int, b_sig: int, b_top: int, cw: int) -> tuple[int, int, int]:
    """a + b."""
    a_kind, b_kind = kind(a_sig, a_top), kind(b_sig, b_top)
    if a_kind >= QUIET_NAN or b_kind >= QUIET_NAN:
        return propagate(a_sig, a_top, a_kind, b_sig, b_top, b_kind)
    a_sign, b_sign = sign_of(a_top), sign_of(b_top)
    flags = denormal_flag(a_kind, b_kind)
    if a_kind == INFINITE:
        if b_kind == INFINITE and a_sign != b_sign:
            return invalid()
        return a_sig, a_top, flags
    if b_kind == INFINITE:
        return b_sig, b_top, flags
    down = 1 if rounding(cw) == ROUND_DOWN else 0
    if a_kind == ZERO and b_kind == ZERO:
        return 0, (a_sign if a_sign == b_sign else down) << 15, 0
    ah, a_exp = normalised(a_sig, a_top)
    bh, b_exp = normalised(b_sig, b_top)
    if a_kind == ZERO:
        return with_flags(round_result(b_sign, b_exp, bh, 0, cw), flags)
    if b_kind == ZERO:
        return with_flags(round_result(a_sign, a_exp, ah, 0, cw), flags)
    if a_exp < b_exp or (a_exp == b_exp and ult(ah, bh)):
        ah, bh = bh, ah
        a_exp, b_exp = b_exp, a_exp
        a_sign, b_sign = b_sign, a_sign
    bh, bl = shr128_jam(bh, 0, a_exp - b_exp)
    if a_sign == b_sign:
        high, low = add128(ah, 0, bh, bl)
        if ult(high, ah):
            low = shr(low, 1) | (low & 1) | (high << 63)
            high = shr(high, 1) | SIGN
            a_exp += 1
        return with_flags(round_result(a_sign, a_exp, high, low, cw), flags)
    high, low = sub128(ah, 0, bh, bl)
    if high | low == 0:
        return 0, down << 15, flags
    shift = clz128(high, low)
    high, low = shl128(high, low, shift)
    return with_flags(round_result(a_sign, a_exp - shift, high, low, cw), flags)


@inline
def multiply(a_sig: int, a_top: int, b_sig: int, b_top: int, cw: int) -> tuple[int, int, int]:
    """a * b."""
    a_kind, b_kind = kind(a_sig, a_top), kind(b_sig, b_top)
    if a_kind >= QUIET_NAN or b_kind >= QUIET_NAN:
        return propagate(a_sig, a_top, a_kind, b_sig, b_top, b_kind)
    sign = sign_of(a_top ^ b_top)
    flags = denormal_flag(a_kind, b_kind)
    if a_kind == INFINITE or b_kind == INFINITE:
        if a_kind == ZERO or b_kind == ZERO:
            return invalid()
        return SIGN, (sign << 15) | EXP_MAX, flags
    if a_kind == ZERO or b_kind == ZERO:
        return 0, sign << 15, flags
    ah, a_exp = normalised(a_sig, a_top)
    bh, b_exp = normalised(b_sig, b_top)
    high, low = multiply64(ah, bh)
    exponent = a_exp + b_exp - BIAS + 1
    if high >= 0:
        high, low = shl128(high, low, 1)
        exponent -= 1
    return with_flags(round_result(sign, exponent, high, low, cw), flags)


@inline
def quotient128(ah: int, bh: int) -> tuple[int, int, int]:
    """(high, low, shift): ah / bh with 127 bits and a sticky one, both having their top bits set; shift is 1 where the
    quotient is below 1 and was doubled."""
    shift = 1 if ult(ah, bh) else 0
    high, rest = divide(ah if shift else shr(ah, 1), 0 if shift else ah << 63, bh)
    low, rest = divide(rest, 0, bh)
    return high, low | (1 if rest != 0 else 0), shift


@inline
def divide_values(a_sig: int, a_top: int, b_sig: int, b_top: int, cw: int) -> tuple[int, int, int]:
    """a / b."""
    a_kind, b_kind = kind(a_sig, a_top), kind(b_sig, b_top)
    if a_kind >= QUIET_NAN or b_kind >= QUIET_NAN:
        return propagate(a_sig, a_top, a_kind, b_sig, b_top, b_kind)
    sign = sign_of(a_top ^ b_top)
    flags = denormal_flag(a_kind, b_kind)
    if a_kind == INFINITE:
        if b_kind == INFINITE:
            return invalid()
        return SIGN, (sign << 15) | EXP_MAX, flags
    if b_kind == INFINITE:
        return 0, sign << 15, flags
    if b_kind == ZERO:
        if a_kind == ZERO:
            return invalid()
        return SIGN, (sign << 15) | EXP_MAX, ZE
    if a_kind == ZERO:
        return 0, sign << 15, flags
    ah, a_exp = normalised(a_sig, a_top)
    bh, b_exp = normalised(b_sig, b_top)
    high, low, shift = quotient128(ah, bh)
    return with_flags(round_result(sign, a_exp - b_exp + BIAS - shift, high, low, cw), flags)


@inline
def root128(high: int, low: int) -> tuple[int, int, int]:
    """(root, remainder high, low): the integer square root of a number in [2**126, 2**128), digit by digit."""
    root = 0
    rest_high, rest_low = 0, 0
    for _ in range(64):
        rest_high, rest_low = shl128(rest_high, rest_low, 2)
        rest_low |= shr(high, 62)
        high, low = shl128(high, low, 2)
        trial_high, trial_low = shr(root, 62), (root << 2) | 1
        root <<= 1
        if not less128(rest_high, rest_low, trial_high, trial_low):
            rest_high, rest_low = sub128(rest_high, rest_low, trial_high, trial_low)
            root |= 1
    return root, rest_high, rest_low


@inline
def square_root(sig: int, top: int, cw: int) -> tuple[int, int, int]:
    """The square root."""
    value_kind = kind(sig, top)
    if value_kind >= QUIET_NAN:
        return propagate_one(sig, top, value_kind)
    if value_kind == ZERO:
        return sig, top, 0
    if sign_of(top):
        return invalid()
    if value_kind == INFINITE:
        return sig, top, 0
    flags = DE if value_kind == DENORMAL else 0
    high, exponent = normalised(sig, top)
    unbiased = exponent - BIAS
    low = 0
    if unbiased & 1 == 0:
        high, low = shr(high, 1), high << 63
    root, rest_high, rest_low = root128(high, low)
    # The root is below sqrt(value) by rest / (2 * root) of a unit: a half is never exact (SDM Vol. 2A FSQRT)
    above_half = less128(0, root, rest_high, rest_low)
    fraction = (SIGN | 1) if above_half else (1 if rest_high | rest_low != 0 else 0)
    return with_flags(round_result(0, (unbiased >> 1) + BIAS, root, fraction, cw), flags)
