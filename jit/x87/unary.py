"""FSQRT, FRNDINT, FABS, FCHS and FXAM: operations on ST(0) alone (SDM Vol. 2A)."""

from jit.fpu_layout import FSW
from jit.native import inline, st16
from jit.x87.arithmetic import square_root
from jit.x87.binary import conclude, underflow
from jit.x87.format import (
    BIAS,
    C0,
    C1,
    C2,
    C3,
    CONDITIONS,
    DE,
    DENORMAL,
    INFINITE,
    NORMAL,
    PE,
    QUIET_NAN,
    SIGN,
    UNSUPPORTED,
    ZERO,
    kind,
    rounding,
    sign_of,
)
from jit.x87.nan import propagate_one
from jit.x87.rounding import rounds_up
from jit.x87.stack import control_word, finish, is_empty, put, sign_exponent, significand, status_word
from jit.x87.wide import shr128_jam


def x87_sqrt(f: int, control: int, raw: int) -> int:
    fsw, cw = status_word(f), control_word(f)
    if is_empty(f, fsw, 0):
        return underflow(f, fsw, cw, 0)
    sig, top, flags = square_root(significand(f, fsw, 0), sign_exponent(f, fsw, 0), cw)
    return conclude(f, fsw, cw, 0, sig, top, flags)


@inline
def to_integer(sign: int, exponent: int, sig: int, rc: int) -> tuple[int, bool, int]:
    """(size as an integer, inexact, rounded up) of a NORMAL or DENORMAL value whose exponent is below BIAS + 64."""
    high, low = shr128_jam(sig, 0, min(BIAS + 63 - exponent, 127))
    up = rounds_up(sign, high & 1, low, rc)
    return high + (1 if up else 0), low != 0, up


@inline
def round_to_integer(sig: int, top: int, rc: int) -> tuple[int, int, int]:
    """(sig, top, flags) of the nearest integer by rounding mode."""
    value_kind = kind(sig, top)
    if value_kind >= QUIET_NAN:
        return propagate_one(sig, top, value_kind)
    exponent = top & 0x7FFF
    if value_kind == ZERO or value_kind == INFINITE or exponent >= BIAS + 63:
        return sig, top, 0
    size, inexact, up = to_integer(sign_of(top), exponent, sig, rc)
    flags = (PE if inexact else 0) | (C1 if up else 0) | (DE if value_kind == DENORMAL else 0)
    if exponent < BIAS:                             # the size is 0 or 1
        return (SIGN if size else 0), (top & 0x8000) | (BIAS if size else 0), flags
    shift = BIAS + 63 - exponent
    if size == 1 << (64 - shift) and shift != 0:    # up to the next power of two
        return SIGN, top + 1, flags
    return size << shift, top, flags


def x87_round(f: int, control: int, raw: int) -> int:
    fsw, cw = status_word(f), control_word(f)
    if is_empty(f, fsw, 0):
        return underflow(f, fsw, cw, 0)
    sig, top, flags = round_to_integer(significand(f, fsw, 0), sign_exponent(f, fsw, 0), rounding(cw))
    return conclude(f, fsw, cw, 0, sig, top, flags)


def x87_sign(f: int, control: int, raw: int) -> int:
    """FABS (control 0) and FCHS (1): any value, without exceptions but stack underflow."""
    fsw, cw = status_word(f), control_word(f)
    if is_empty(f, fsw, 0):
        return underflow(f, fsw, cw, 0)
    top = sign_exponent(f, fsw, 0)
    put(f, fsw, 0, significand(f, fsw, 0), top ^ 0x8000 if control else top & 0x7FFF)
    return finish(f, fsw, cw, 0)


@inline
def examined(sig: int, top: int) -> int:
    """C3, C2 and C0 of FXAM by kind."""
    value_kind = kind(sig, top)
    if value_kind == UNSUPPORTED:
        return 0
    if value_kind >= QUIET_NAN:
        return C0
    if value_kind == NORMAL:
        return C2
    if value_kind == INFINITE:
        return C2 | C0
    return C3 if value_kind == ZERO else C3 | C2


def x87_examine(f: int, control: int, raw: int) -> int:
    fsw = status_word(f)
    sig, top = significand(f, fsw, 0), sign_exponent(f, fsw, 0)
    bits = C3 | C0 if is_empty(f, fsw, 0) else examined(sig, top)
    st16(f + FSW, (fsw & ~CONDITIONS) | bits | (C1 if sign_of(top) else 0))
    return 0
