"""FYL2X and FYL2XP1 (SDM Vol. 2A).

log2 m = 2 / ln 2 * artanh((m - 1) / (m + 1)), with m between sqrt(1/2) and sqrt 2.
"""

from jit.native import inline, shr, ult
from jit.x87.arithmetic import denormal_flag, with_flags
from jit.x87.binary import conclude
from jit.x87.constants import INVERSE_ODD_H, INVERSE_ODD_L, TWO_OVER_LN2_H, TWO_OVER_LN2_L
from jit.x87.format import BIAS, EXP_MAX, IE, INFINITE, PE, QUIET_NAN, SIGN, ZE, ZERO, kind, normalised, sign_of
from jit.x87.nan import invalid, propagate
from jit.x87.rounding import round_at
from jit.x87.series import fraction, normal, polynomial, product, reciprocal
from jit.x87.sources import POPS_SHIFT
from jit.x87.stack import (
    UNDERFLOW,
    control_word,
    finish,
    is_empty,
    popped,
    put_indefinite,
    sign_exponent,
    significand,
    status_word,
)
from jit.x87.wide import add128, shl128, shr128, sub128

TERMS = 22
SQRT2 = -(1 << 64) + 0xB504F333F9DE6484
INTO_ST1 = 1 | (1 << POPS_SHIFT)                    # the result replaces ST(1), and ST(0) is popped
INTEGER_SHIFT = 111                                 # sums with an exponent have 16 integer bits and a sign


@inline
def artanh_log2(nh: int, nl: int, nx: int, dh: int, dl: int) -> tuple[int, int, int]:
    """2 / ln 2 * artanh(n / d) of a number n and a fraction d in [1/2, 1) that stands for 4 * d."""
    rh, rl = reciprocal(dh, dl)                                     # 1 / d = 4 / (m + 1), in units of 2**-127
    rh, rl, rx = normal(rh, rl, 0)
    sh, sl, sx = product(nh, nl, nx, rh, rl, rx - 2)
    fh, fl = fraction(sh, sl, sx)
    zh, zl, zx = product(fh, fl, -1, fh, fl, -1) if fh != 0 else (SIGN, 0, -200)
    zh, zl = fraction(zh, zl, zx)
    ph, pl = polynomial(zh, zl, INVERSE_ODD_H, INVERSE_ODD_L, TERMS, False)
    h, low, x = product(sh, sl, sx, ph, pl, 0)
    return product(h, low, x, TWO_OVER_LN2_H, TWO_OVER_LN2_L, 1)


@inline
def log2_of(mh: int, ml: int, exponent: int) -> tuple[int, int, int, int, bool]:
    """(sign, h, l, x, whether it is exact) of log2(m * 2**exponent), m = mh:ml in units of 2**-127, in [1, 2), not 1
    with exponent 0. h = 0 stands for a result of 0."""
    if mh == SIGN and ml == 0:
        size = -exponent if exponent < 0 else exponent
        h, low, x = normal(0, size, 127)
        return 1 if exponent < 0 else 0, h, low, x, True
    below = 0
    if ult(SQRT2, mh):                                              # m / 2 in [sqrt(1/2), 1)
        exponent += 1
        below = 1
        nh, nl = sub128(0, 0, mh, ml)                               # 2 - m in units of 2**-127: 1 - m/2 of 2**-128
        nh, nl, nx = normal(nh, nl, -1)
        dh, dl = shr128(mh, ml, 2)                                  # (m / 2 + 1) / 4, in [0.42, 0.5): doubled
        dh, dl = add128(dh, dl, 1 << 62, 0)
        dh, dl = shl128(dh, dl, 1)
        nx += 1
    else:
        nh, nl = sub128(mh, ml, SIGN, 0)
        nh, nl, nx = normal(nh, nl, 0)
        dh, dl = shr128(mh, ml, 1)                                  # (m + 1) / 4
        dh, dl = add128(dh, dl, 1 << 62, 0)
    h, low, x = artanh_log2(nh, nl, nx, dh, dl)
    if exponent == 0:
        return below, h, low, x, False
    # exponent +- the logarithm of m, in units of 2**-INTEGER_SHIFT
    lh, ll = shr128(h, low, min(127 - INTEGER_SHIFT - x, 127))
    eh, el = shl128(0, -exponent if exponent < 0 else exponent, INTEGER_SHIFT)
    negative = 1 if exponent < 0 else 0
    if negative == below:
        h, low = add128(eh, el, lh, ll)
    else:
        h, low = sub128(eh, el, lh, ll)
    h, low, x = normal(h, low, 127 - INTEGER_SHIFT)
    return negative, h, low, x, False


@inline
def scaled(sign: int, h: int, low: int, x: int, exact: int, y_sig: int, y_top: int, cw: int) -> int:
    """y times a number, rounded. Processors report every logarithm as inexact and, where it is not, round as if it were
    slightly smaller."""
    yh, y_exp = normalised(y_sig, y_top)
    h, low, x = product(yh, 0, y_exp - BIAS, h, low, x)
    if exact:
        h, low, x = normal(*sub128(h, low, 0, 1), x)
    return round_at(sign ^ sign_of(y_top), x + BIAS, h, low | 1, cw, 0)


@inline
def compare_one(sig: int, top: int) -> int:
    """-1, 0 or 1 as a positive number is below, at or above 1."""
    exponent = top & EXP_MAX
    if exponent != BIAS:
        return -1 if exponent < BIAS else 1
    return 0 if sig == SIGN else 1


@inline
def y_log2(y_sig: int, y_top: int, x_sig: int, x_top: int, cw: int) -> tuple[int, int, int]:
    """y * log2 x."""
    x_kind, y_kind = kind(x_sig, x_top), kind(y_sig, y_top)
    if x_kind >= QUIET_NAN or y_kind >= QUIET_NAN:
        return propagate(x_sig, x_top, x_kind, y_sig, y_top, y_kind)
    y_sign = y_top & 0x8000
    flags = denormal_flag(x_kind, y_kind)
    if x_kind == ZERO:
        if y_kind == ZERO:
            return invalid()
        return SIGN, (y_sign ^ 0x8000) | EXP_MAX, flags if y_kind == INFINITE else ZE
    if sign_of(x_top):
        return invalid()
    if x_kind == INFINITE:
        if y_kind == ZERO:
            return invalid()
        return SIGN, y_sign | EXP_MAX, flags
    order = compare_one(x_sig, x_top)
    if y_kind == INFINITE:
        if order == 0:
            return invalid()
        return SIGN, (y_sign if order > 0 else y_sign ^ 0x8000) | EXP_MAX, flags
    if order == 0 or y_kind == ZERO:
        return 0, y_sign if order >= 0 else y_sign ^ 0x8000, flags
    high, exponent = normalised(x_sig, x_top)
    sign, h, low, x, exact = log2_of(high, 0, exponent - BIAS)
    return with_flags(scaled(sign, h, low, x, exact, y_sig, y_top, cw), flags)


@inline
def log2_plus_one(sig: int, exponent: int, negative: int) -> tuple[int, int, int]:
    """log2(1 +- n) of a number below 2**-2 in size: n / (2 +- n) is the argument of artanh."""
    fh, fl = fraction(sig, 0, exponent)
    if negative:
        dh, dl = sub128(SIGN, 0, shr(fh, 2), (fh << 62) | shr(fl, 2))           # (2 - n) / 4
        if dh >= 0:                                                             # below a half: doubled
            dh, dl = shl128(dh, dl, 1)
            exponent += 1
        return artanh_log2(sig, 0, exponent, dh, dl)
    dh, dl = add128(SIGN, 0, shr(fh, 2), (fh << 62) | shr(fl, 2))
    return artanh_log2(sig, 0, exponent, dh, dl)


@inline
def y_log2_plus_one(y_sig: int, y_top: int, x_sig: int, x_top: int, cw: int) -> tuple[int, int, int]:
    """y * log2(x + 1)."""
    x_kind, y_kind = kind(x_sig, x_top), kind(y_sig, y_top)
    if x_kind >= QUIET_NAN or y_kind >= QUIET_NAN:
        return propagate(x_sig, x_top, x_kind, y_sig, y_top, y_kind)
    negative = sign_of(x_top)
    y_sign = y_top & 0x8000
    sign = y_sign ^ (x_top & 0x8000)
    flags = denormal_flag(x_kind, y_kind)
    if x_kind == ZERO:
        if y_kind == INFINITE:
            return invalid()
        return 0, sign, flags
    if x_kind == INFINITE:
        if negative or y_kind == ZERO:
            return invalid()
        return SIGN, sign | EXP_MAX, flags
    if y_kind == INFINITE:
        return SIGN, sign | EXP_MAX, flags
    if y_kind == ZERO:
        return 0, sign, flags
    high, exponent = normalised(x_sig, x_top)
    exponent -= BIAS
    if exponent < -2:
        h, low, x = log2_plus_one(high, exponent, negative)
        return with_flags(scaled(negative, h, low, x, False, y_sig, y_top, cw), flags)
    if negative and exponent >= 0:
        return x_sig, x_top, flags | PE                 # undefined by the manual; what processors do
    if exponent < 0:
        mh, ml = shr128(high, 0, -exponent)
        if negative:
            mh, ml = sub128(SIGN, 0, mh, ml)
            mh, ml, exponent = normal(mh, ml, 0)
        else:
            mh, ml = add128(SIGN, 0, mh, ml)
            exponent = 0
    else:
        oh, ol = shr128(SIGN, 0, min(exponent, 127))
        mh, ml = add128(high, 0, oh, ol)
        if ult(mh, high):
            mh, ml = shr128(mh, ml, 1)
            mh |= SIGN
            exponent += 1
    sign, h, low, x, exact = log2_of(mh, ml, exponent)
    return with_flags(scaled(sign, h, low, x, exact, y_sig, y_top, cw), flags)


def x87_log2(f: int, control: int, raw: int) -> int:
    """FYL2X (control 0), FYL2XP1 (1)."""
    fsw, cw = status_word(f), control_word(f)
    if is_empty(f, fsw, 0) or is_empty(f, fsw, 1):
        if cw & IE:
            put_indefinite(f, fsw, 1)
            fsw = popped(f, fsw, 1)
        return finish(f, fsw, cw, UNDERFLOW)
    y_sig, y_top = significand(f, fsw, 1), sign_exponent(f, fsw, 1)
    x_sig, x_top = significand(f, fsw, 0), sign_exponent(f, fsw, 0)
    if control == 0:
        sig, top, flags = y_log2(y_sig, y_top, x_sig, x_top, cw)
    else:
        sig, top, flags = y_log2_plus_one(y_sig, y_top, x_sig, x_top, cw)
    return conclude(f, fsw, cw, INTO_ST1, sig, top, flags)
