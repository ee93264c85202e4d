"""FSCALE and FXTRACT (SDM Vol. 2A)."""

from jit.native import inline, shr
from jit.x87.arithmetic import denormal_flag, with_flags
from jit.x87.binary import conclude, underflow
from jit.x87.format import (
    BIAS,
    DE,
    DENORMAL,
    EXP_MAX,
    IE,
    INFINITE,
    QUIET_NAN,
    SIGN,
    UE,
    ZE,
    ZERO,
    kind,
    normalised,
    sign_of,
)
from jit.x87.nan import invalid, propagate, propagate_one
from jit.x87.rounding import round_at
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
from jit.x87.widen import widen_integer

FARTHEST = 0x10000                      # a power of two that takes every number out of range


@inline
def truncated(sig: int, top: int) -> int:
    """The integer part of a number, limited to +-FARTHEST."""
    exponent = top & EXP_MAX
    if exponent < BIAS:
        return 0
    size = FARTHEST if exponent > BIAS + 15 else shr(sig, BIAS + 63 - exponent)
    return -size if sign_of(top) else size


@inline
def scale(a_sig: int, a_top: int, b_sig: int, b_top: int, cw: int) -> tuple[int, int, int]:
    """a * 2**trunc(b)."""
    a_kind, b_kind = kind(a_sig, a_top), kind(b_sig, b_top)
    if a_kind >= QUIET_NAN or b_kind >= QUIET_NAN:
        return propagate(a_sig, a_top, a_kind, b_sig, b_top, b_kind)
    sign = a_top & 0x8000
    flags = denormal_flag(a_kind, b_kind)
    if b_kind == INFINITE:
        if a_kind == (INFINITE if sign_of(b_top) else ZERO):
            return invalid()
        if sign_of(b_top):
            return 0, sign, flags
        return SIGN, sign | EXP_MAX, flags
    if a_kind == INFINITE or a_kind == ZERO:
        return a_sig, a_top, flags
    high, exponent = normalised(a_sig, a_top)
    if b_kind == ZERO:
        cw |= UE                        # an operand that is only passed on does not underflow
    return with_flags(round_at(sign_of(a_top), exponent + truncated(b_sig, b_top), high, 0, cw, 0), flags)


def x87_scale(f: int, control: int, raw: int) -> int:
    fsw, cw = status_word(f), control_word(f)
    if is_empty(f, fsw, 0) or is_empty(f, fsw, 1):
        return underflow(f, fsw, cw, 0)
    sig, top, flags = scale(significand(f, fsw, 0), sign_exponent(f, fsw, 0),
                            significand(f, fsw, 1), sign_exponent(f, fsw, 1), cw)
    return conclude(f, fsw, cw, 0, sig, top, flags)


@inline
def extract(sig: int, top: int) -> tuple[int, int, int, int, int]:
    """(exponent sig, top, significand sig, top, flags)."""
    value_kind = kind(sig, top)
    if value_kind >= QUIET_NAN:
        sig, top, flags = propagate_one(sig, top, value_kind)
        return sig, top, sig, top, flags
    if value_kind == INFINITE:
        return SIGN, EXP_MAX, sig, top, 0
    if value_kind == ZERO:
        return SIGN, 0x8000 | EXP_MAX, sig, top, ZE
    high, exponent = normalised(sig, top)
    e_sig, e_top = widen_integer(exponent - BIAS)
    return e_sig, e_top, high, (top & 0x8000) | BIAS, DE if value_kind == DENORMAL else 0


def x87_extract(f: int, control: int, raw: int) -> int:
    """ST(0) becomes the exponent, and the significand is pushed."""
    fsw, cw = status_word(f), control_word(f)
    bad = is_empty(f, fsw, 0)
    if bad or not is_empty(f, fsw, 7):
        if cw & IE:
            put_indefinite(f, fsw, 0)
            fsw = turned(fsw, -1)
            put_indefinite(f, fsw, 0)
        return finish(f, fsw, cw, UNDERFLOW if bad else OVERFLOW)
    e_sig, e_top, s_sig, s_top, flags = extract(significand(f, fsw, 0), sign_exponent(f, fsw, 0))
    flags = visible(flags, cw)
    if not suppressed(flags, cw):
        put(f, fsw, 0, e_sig, e_top)
        fsw = turned(fsw, -1)
        put(f, fsw, 0, s_sig, s_top)
    return finish(f, fsw, cw, flags)
