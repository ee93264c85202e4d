"""FSIN, FCOS, FSINCOS and FPTAN (SDM Vol. 2A)."""

from jit.native import inline
from jit.x87.binary import underflow
from jit.x87.constants import COSINE_H, COSINE_L, SINE_H, SINE_L
from jit.x87.format import (
    BIAS,
    C2,
    DE,
    DENORMAL,
    EXP_MAX,
    IE,
    INFINITE,
    PE,
    QUIET_NAN,
    SIGN,
    ZERO,
    kind,
    normalised,
    sign_of,
)
from jit.x87.nan import invalid, propagate_one
from jit.x87.reduction import RANGE, reduced
from jit.x87.rounding import round_as_inexact, round_at
from jit.x87.series import fraction, normal, polynomial, product, reciprocal
from jit.x87.sources import COSINE, SINE
from jit.x87.stack import (
    OVERFLOW,
    UNDERFLOW,
    control_word,
    finish,
    is_empty,
    put,
    put_indefinite,
    sign_exponent,
    significand,
    status_word,
    suppressed,
    turned,
    visible,
)
from jit.x87.wide import sub128

TERMS = 17
NEARLY_EQUAL = -33                      # exponent below which processors take the tangent as just below the angle
UNCHANGED = -68                         # exponent below which sine and tangent are taken as the angle, cosine as 1


@inline
def square(h: int, l: int, x: int) -> tuple[int, int]:
    """The square of a number below 1, as a fraction."""
    fh, fl = fraction(h, l, x)
    if fh == 0:
        return 0, 0
    zh, zl, zx = product(fh, fl, -1, fh, fl, -1)
    return fraction(zh, zl, zx)


@inline
def sine_of(h: int, l: int, x: int) -> tuple[int, int, int]:
    """The sine of a number of at most pi / 4."""
    if h == 0:
        return 0, 0, 0
    zh, zl = square(h, l, x)
    ph, pl = polynomial(zh, zl, SINE_H, SINE_L, TERMS, True)
    if ph == SIGN and pl == 0:
        ph, pl = -1, -1                             # just below 1
        return product(h, l, x, ph, pl, -1)
    ph, pl, px = normal(ph, pl, 0)
    return product(h, l, x, ph, pl, px)


@inline
def cosine_of(h: int, l: int, x: int) -> tuple[int, int, int]:
    """The cosine of a number of at most pi / 4."""
    zh, zl = (0, 0) if h == 0 else square(h, l, x)
    ph, pl = polynomial(zh, zl, COSINE_H, COSINE_L, TERMS, True)
    if ph == SIGN and pl == 0:
        return -1, -1, -1                           # just below 1
    return normal(ph, pl, 0)


@inline
def rounded(sign: int, h: int, low: int, x: int, cw: int) -> tuple[int, int, int]:
    if h == 0:
        return 0, sign << 15, 0
    return round_at(sign, x + BIAS, h, low | 1, cw, 0)


@inline
def sine_and_cosine(sig: int, top: int, cw: int, which: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """((sig, top, flags) of the sine, (sig, top, flags) of the cosine) of a NORMAL or DENORMAL value."""
    high, exponent = normalised(sig, top)
    if exponent - BIAS < UNCHANGED:
        return round_as_inexact(sign_of(top), exponent, high, 0, cw), (SIGN, BIAS, PE)
    quadrant, sign, h, low, x = reduced(high, exponent - BIAS)
    sh, sl, sx, ch, cl, cx = 0, 0, 0, 0, 0, 0
    crossed = quadrant & 1 != 0                     # sine and cosine change places
    if which & (COSINE if crossed else SINE):
        sh, sl, sx = sine_of(h, low, x)
    if which & (SINE if crossed else COSINE):
        ch, cl, cx = cosine_of(h, low, x)
    negative = sign_of(top)
    half = quadrant >> 1
    if quadrant & 1 == 0:
        sine = rounded(negative ^ half ^ sign, sh, sl, sx, cw)
        cosine = rounded(half, ch, cl, cx, cw)
    else:
        sine = rounded(negative ^ half, ch, cl, cx, cw)
        cosine = rounded(half ^ 1 ^ sign, sh, sl, sx, cw)
    return sine, cosine


@inline
def out_of_range(top: int, value_kind: int) -> bool:
    return value_kind <= DENORMAL and value_kind != ZERO and top & EXP_MAX >= BIAS + RANGE


@inline
def leave_partial(f: int, fsw: int, cw: int) -> int:
    """C2 tells that the argument is out of range; nothing else happens."""
    return finish(f, fsw | C2, cw, 0)


@inline
def push_after(f: int, fsw: int, cw: int, sig: int, top: int, flags: int, other_sig: int, other_top: int) -> int:
    """Replace ST(0) by one result and push the other."""
    flags = visible(flags, cw)
    if not suppressed(flags, cw):
        put(f, fsw, 0, sig, top)
        fsw = turned(fsw, -1)
        put(f, fsw, 0, other_sig, other_top)
    return finish(f, fsw, cw, flags)


@inline
def stack_fault_two(f: int, fsw: int, cw: int, bad: int) -> int:
    """ST(0) is empty or there is no room for a second result."""
    if cw & IE:
        put_indefinite(f, fsw, 0)
        fsw = turned(fsw, -1)
        put_indefinite(f, fsw, 0)
    return finish(f, fsw, cw, UNDERFLOW if bad else OVERFLOW)


def x87_sine(f: int, control: int, raw: int) -> int:
    """FSIN (SINE), FCOS (COSINE), FSINCOS (both)."""
    fsw, cw = status_word(f), control_word(f)
    fsw &= ~C2
    both = control == SINE | COSINE
    bad = is_empty(f, fsw, 0)
    if both and (bad or not is_empty(f, fsw, 7)):
        return stack_fault_two(f, fsw, cw, bad)
    if bad:
        return underflow(f, fsw, cw, 0)
    sig, top = significand(f, fsw, 0), sign_exponent(f, fsw, 0)
    value_kind = kind(sig, top)
    if out_of_range(top, value_kind):
        return leave_partial(f, fsw, cw)
    if value_kind == ZERO:
        sine, cosine = (sig, top, 0), (SIGN, BIAS, 0)
    elif value_kind == INFINITE:
        sine = cosine = invalid()
    elif value_kind >= QUIET_NAN:
        sine = cosine = propagate_one(sig, top, value_kind)
    else:
        sine, cosine = sine_and_cosine(sig, top, cw, control)
    s_sig, s_top, s_flags = sine
    c_sig, c_top, c_flags = cosine
    denormal = DE if value_kind == DENORMAL else 0
    if both:
        return push_after(f, fsw, cw, s_sig, s_top, s_flags | c_flags | denormal, c_sig, c_top)
    if control == COSINE:
        s_sig, s_top, s_flags = c_sig, c_top, c_flags
    flags = visible(s_flags | denormal, cw)
    if not suppressed(flags, cw):
        put(f, fsw, 0, s_sig, s_top)
    return finish(f, fsw, cw, flags)


@inline
def tangent(sig: int, top: int, cw: int) -> tuple[int, int, int]:
    """(sig, top, flags) of a NORMAL or DENORMAL value."""
    high, exponent = normalised(sig, top)
    if exponent - BIAS < UNCHANGED:
        return round_as_inexact(sign_of(top), exponent, high, 0, cw)
    quadrant, sign, h, low, x = reduced(high, exponent - BIAS)
    negative = sign_of(top) ^ sign
    if x < NEARLY_EQUAL and quadrant & 1 == 0:
        h, low, x = normal(*sub128(h, low, 0, 1), x)
        return round_at(negative, x + BIAS, h, low | 1, cw, 0)
    sh, sl, sx = sine_of(h, low, x)
    ch, cl, cx = cosine_of(h, low, x)
    if quadrant & 1:
        sh, sl, sx, ch, cl, cx = ch, cl, cx, sh, sl, sx
        negative ^= 1
    rh, rl = reciprocal(ch, cl)                     # in (1, 2], of a fraction: the number is 2**(cx + 1) times that
    rh, rl, rx = normal(rh, rl, 0)
    h, low, x = product(sh, sl, sx, rh, rl, rx - cx - 1)
    return round_at(negative, x + BIAS, h, low | 1, cw, 0)


def x87_tangent(f: int, control: int, raw: int) -> int:
    """FPTAN: the tangent, then 1 on top of it."""
    fsw, cw = status_word(f), control_word(f)
    fsw &= ~C2
    bad = is_empty(f, fsw, 0)
    if bad or not is_empty(f, fsw, 7):
        return stack_fault_two(f, fsw, cw, bad)
    sig, top = significand(f, fsw, 0), sign_exponent(f, fsw, 0)
    value_kind = kind(sig, top)
    if out_of_range(top, value_kind):
        return leave_partial(f, fsw, cw)
    one_sig, one_top, flags = SIGN, BIAS, 0
    if value_kind >= INFINITE:
        sig, top, flags = invalid() if value_kind == INFINITE else propagate_one(sig, top, value_kind)
        one_sig, one_top = sig, top
    elif value_kind != ZERO:
        denormal = DE if value_kind == DENORMAL else 0
        sig, top, flags = tangent(sig, top, cw)
        flags |= denormal
    return push_after(f, fsw, cw, sig, top, flags, one_sig, one_top)
