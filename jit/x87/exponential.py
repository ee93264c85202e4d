"""F2XM1 (SDM Vol. 2A)."""

from jit.native import inline
from jit.x87.arithmetic import with_flags
from jit.x87.binary import conclude, underflow
from jit.x87.constants import EXPONENTIAL_H, EXPONENTIAL_L, LN2_H, LN2_L
from jit.x87.format import BIAS, DE, DENORMAL, INFINITE, PE, QUIET_NAN, SIGN, ZERO, kind, normalised, sign_of
from jit.x87.nan import propagate_one
from jit.x87.rounding import round_at
from jit.x87.series import fraction, normal, polynomial, product
from jit.x87.stack import control_word, is_empty, sign_exponent, significand, status_word

TERMS = 28


@inline
def exp2m1(sig: int, top: int, cw: int) -> tuple[int, int, int]:
    """2**x - 1 for |x| <= 1. Beyond, where the manual leaves the result undefined, x is returned as processors do."""
    value_kind = kind(sig, top)
    if value_kind >= QUIET_NAN:
        return propagate_one(sig, top, value_kind)
    if value_kind == ZERO:
        return sig, top, 0
    negative = sign_of(top)
    if value_kind == INFINITE:
        return (SIGN, 0x8000 | BIAS, 0) if negative else (sig, top, 0)
    exponent = top & 0x7FFF
    if exponent >= BIAS:
        if exponent == BIAS and sig == SIGN and negative:
            return SIGN, 0x8000 | (BIAS - 1), PE
        return sig, top, PE
    flags = DE if value_kind == DENORMAL else 0
    high, exponent = normalised(sig, top)
    th, tl, tx = product(high, 0, exponent - BIAS, LN2_H, LN2_L, -1)
    zh, zl = fraction(th, tl, tx)
    ph, pl = polynomial(zh, zl, EXPONENTIAL_H, EXPONENTIAL_L, TERMS, negative != 0)
    ph, pl, px = normal(ph, pl, 0)
    h, low, x = product(th, tl, tx, ph, pl, px)
    return with_flags(round_at(negative, x + BIAS, h, low | 1, cw, 0), flags)


def x87_exp2m1(f: int, control: int, raw: int) -> int:
    fsw, cw = status_word(f), control_word(f)
    if is_empty(f, fsw, 0):
        return underflow(f, fsw, cw, 0)
    sig, top, flags = exp2m1(significand(f, fsw, 0), sign_exponent(f, fsw, 0), cw)
    return conclude(f, fsw, cw, 0, sig, top, flags)
