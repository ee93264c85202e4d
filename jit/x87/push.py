"""FLD of every kind, constants and FILD: what pushes a value (SDM Vol. 2A)."""

from jit.native import inline
from jit.x87.format import IE, QUIET, ROUND_NEAREST, ROUND_UP, SIGNALING_NAN, kind, rounding
from jit.x87.sources import FROM_SHIFT
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
    turned,
)
from jit.x87.widen import widen

# FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ: (significand rounded down, exponent, the first dropped bit)
ONE, L2T, L2E, PI, LG2, LN2, NOTHING = 0, 1, 2, 3, 4, 5, 6


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


SIG_ONE, SIG_L2T, SIG_L2E, SIG_PI, SIG_LG2, SIG_LN2 = (_signed(v) for v in (
    0x8000000000000000, 0xD49A784BCD1B8AFE, 0xB8AA3B295C17F0BB, 0xC90FDAA22168C234, 0x9A209A84FBCFF798,
    0xB17217F7D1CF79AB))


@inline
def push(f: int, fsw: int, cw: int, sig: int, top: int, flags: int) -> int:
    """Push a value that came with DE or IE flags; 1 if an exception is unmasked. Only #IA keeps it from the stack."""
    if not is_empty(f, fsw, 7):
        if cw & IE:
            fsw = turned(fsw, -1)
            put_indefinite(f, fsw, 0)
        return finish(f, fsw, cw, OVERFLOW)
    if flags & ~cw & IE == 0:
        fsw = turned(fsw, -1)
        put(f, fsw, 0, sig, top)
    return finish(f, fsw, cw, flags)


def x87_push(f: int, control: int, raw: int) -> int:
    """FLD m32fp, m64fp; FILD."""
    sig, top, flags = widen(raw, (control >> FROM_SHIFT) & 7)
    if kind(sig, top) == SIGNALING_NAN:
        sig |= QUIET
        flags = IE
    return push(f, status_word(f), control_word(f), sig, top, flags)


def x87_push_extended(f: int, top: int, sig: int) -> int:
    """FLD m80fp and FBLD's result: any bits."""
    return push(f, status_word(f), control_word(f), sig, top, 0)


def x87_push_register(f: int, control: int, raw: int) -> int:
    """FLD ST(i)."""
    fsw, cw = status_word(f), control_word(f)
    if is_empty(f, fsw, control & 7):
        if cw & IE:
            fsw = turned(fsw, -1)
            put_indefinite(f, fsw, 0)
        return finish(f, fsw, cw, UNDERFLOW)
    return push(f, fsw, cw, significand(f, fsw, control & 7), sign_exponent(f, fsw, control & 7), 0)


@inline
def constant(which: int, rc: int) -> tuple[int, int]:
    """(sig, top) by rounding control (SDM Vol. 2A FLDL2T): whether the significand below grows."""
    up = 1 if rc == ROUND_UP else 0
    nearest = 1 if rc == ROUND_UP or rc == ROUND_NEAREST else 0
    if which == ONE:
        return SIG_ONE, 0x3FFF
    if which == L2T:
        return SIG_L2T + up, 0x4000
    if which == L2E:
        return SIG_L2E + nearest, 0x3FFF
    if which == PI:
        return SIG_PI + nearest, 0x4000
    if which == LG2:
        return SIG_LG2 + nearest, 0x3FFD
    if which == LN2:
        return SIG_LN2 + nearest, 0x3FFE
    return 0, 0


def x87_push_constant(f: int, control: int, raw: int) -> int:
    cw = control_word(f)
    sig, top = constant(control, rounding(cw))
    return push(f, status_word(f), cw, sig, top, 0)
