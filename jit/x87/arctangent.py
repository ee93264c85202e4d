"""FPATAN (SDM Vol. 2A): the angle of the point (ST(0), ST(1))."""

from jit.native import inline
from jit.x87.arithmetic import denormal_flag, quotient128, with_flags
from jit.x87.binary import conclude
from jit.x87.compare import magnitude_less
from jit.x87.constants import INVERSE_ODD_H, INVERSE_ODD_L, QUARTER_PI_H, QUARTER_PI_L, TERMS
from jit.x87.format import BIAS, IE, INFINITE, QUIET_NAN, ZERO, kind, normalised, sign_of
from jit.x87.logarithm import INTO_ST1
from jit.x87.nan import propagate
from jit.x87.rounding import round_as_inexact, round_at
from jit.x87.series import fraction, normal, polynomial, product, reciprocal
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
from jit.x87.wide import SIGN, add128, less128, shr128, sub128

UNCHANGED = -33                         # exponent below which processors take the ratio as the angle
TAN_EIGHTH_H = 0x6A09E667F3BCC908                   # tan(pi / 8) as a fraction


@inline
def small_arctangent(h: int, l: int, x: int) -> tuple[int, int, int]:
    """arctan of a number of at most tan(pi / 8)."""
    fh, fl = fraction(h, l, x)
    if fh == 0:
        return h, l, x
    zh, zl, zx = product(fh, fl, -1, fh, fl, -1)
    zh, zl = fraction(zh, zl, zx)
    ph, pl = polynomial(zh, zl, INVERSE_ODD_H, INVERSE_ODD_L, TERMS, True)
    ph, pl, px = normal(ph, pl, 0)
    return product(h, l, x, ph, pl, px)


@inline
def unit_arctangent(h: int, l: int, x: int) -> tuple[int, int, int]:
    """arctan of a number of at most 1."""
    fh, fl = (-1, -1) if x >= 0 else fraction(h, l, x)
    if not less128(TAN_EIGHTH_H, 0, fh, fl):
        return small_arctangent(h, l, x)
    if x >= 0:
        return normal(QUARTER_PI_H, QUARTER_PI_L, -1)
    # pi / 4 - arctan((1 - q) / (1 + q))
    nh, nl, nx = normal(*sub128(0, 0, fh, fl), -1)
    dh, dl = shr128(fh, fl, 1)
    dh, dl = add128(dh, dl, SIGN, 0)                # (1 + q) / 2
    rh, rl = reciprocal(dh, dl)
    rh, rl, rx = normal(rh, rl, 0)
    sh, sl, sx = product(nh, nl, nx, rh, rl, rx - 1)
    sh, sl, sx = small_arctangent(sh, sl, sx)
    sh, sl = fraction(sh, sl, sx)
    return normal(*sub128(QUARTER_PI_H, QUARTER_PI_L, sh, sl), -1)


@inline
def around(eighths: int, subtract: int, h: int, l: int, x: int) -> int:
    """eighths * pi / 4 (1 to 4 of them) +- a number of at most pi / 4."""
    total_h, total_l = 0, 0
    step_h, step_l = shr128(QUARTER_PI_H, QUARTER_PI_L, 2)                      # in units of 2**-126
    for _ in range(eighths):
        total_h, total_l = add128(total_h, total_l, step_h, step_l)
    sh, sl = (0, 0) if x < -126 else shr128(h, l, 1 - x)
    if subtract:
        total_h, total_l = sub128(total_h, total_l, sh, sl)
    else:
        total_h, total_l = add128(total_h, total_l, sh, sl)
    return normal(total_h, total_l, 1)


@inline
def angle(eighths: int, sign: int, cw: int, flags: int) -> tuple[int, int, int]:
    """eighths * pi / 4 with a sign, rounded."""
    h, low, x = around(eighths, False, 0, 0, -200)
    return with_flags(round_at(sign, x + BIAS, h, low | 1, cw, 0), flags)


@inline
def arctangent(y_sig: int, y_top: int, x_sig: int, x_top: int, cw: int) -> tuple[int, int, int]:
    """The angle of (x, y), from -pi to pi."""
    x_kind, y_kind = kind(x_sig, x_top), kind(y_sig, y_top)
    if x_kind >= QUIET_NAN or y_kind >= QUIET_NAN:
        return propagate(x_sig, x_top, x_kind, y_sig, y_top, y_kind)
    sign, left = sign_of(y_top), sign_of(x_top)
    flags = denormal_flag(x_kind, y_kind)
    if y_kind == INFINITE:
        if x_kind == INFINITE:
            return angle(3 if left else 1, sign, cw, flags)
        return angle(2, sign, cw, flags)
    if x_kind == INFINITE or y_kind == ZERO:
        if left:
            return angle(4, sign, cw, flags)
        return 0, sign << 15, flags
    if x_kind == ZERO:
        return angle(2, sign, cw, flags)
    xh, x_exp = normalised(x_sig, x_top)
    yh, y_exp = normalised(y_sig, y_top)
    steep = magnitude_less(x_sig, x_top, y_sig, y_top)
    if steep:
        qh, ql, shift = quotient128(xh, yh)
        h, low, x = unit_arctangent(qh, ql, x_exp - y_exp - shift)
        h, low, x = around(2, left == 0, h, low, x)
    else:
        qh, ql, shift = quotient128(yh, xh)
        ratio = y_exp - x_exp - shift
        if ratio < UNCHANGED and not left:
            return with_flags(round_as_inexact(sign, ratio + BIAS, qh, ql, cw), flags)
        h, low, x = unit_arctangent(qh, ql, ratio)
        if left:
            h, low, x = around(4, True, h, low, x)
    return with_flags(round_at(sign, x + BIAS, h, low | 1, cw, 0), flags)


def x87_arctangent(f: int, control: int, raw: int) -> int:
    fsw, cw = status_word(f), control_word(f)
    if is_empty(f, fsw, 0) or is_empty(f, fsw, 1):
        if cw & IE:
            put_indefinite(f, fsw, 1)
            fsw = popped(f, fsw, 1)
        return finish(f, fsw, cw, UNDERFLOW)
    sig, top, flags = arctangent(significand(f, fsw, 1), sign_exponent(f, fsw, 1),
                                 significand(f, fsw, 0), sign_exponent(f, fsw, 0), cw)
    return conclude(f, fsw, cw, INTO_ST1, sig, top, flags)
