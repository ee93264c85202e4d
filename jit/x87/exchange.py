"""FXCH and FCMOVcc (SDM Vol. 2A)."""

from jit.x87.binary import underflow
from jit.x87.format import C1, IE, INDEFINITE_SIG, INDEFINITE_TOP
from jit.x87.stack import (
    UNDERFLOW,
    control_word,
    finish,
    is_empty,
    put,
    sign_exponent,
    significand,
    status_word,
)


def x87_exchange(f: int, control: int, raw: int) -> int:
    """ST(0) and ST(i) change places; an empty one counts as the indefinite."""
    fsw, cw = status_word(f), control_word(f)
    i = control & 7
    a_sig, a_top, b_sig, b_top = (significand(f, fsw, 0), sign_exponent(f, fsw, 0),
                                  significand(f, fsw, i), sign_exponent(f, fsw, i))
    flags = 0
    if is_empty(f, fsw, 0):
        a_sig, a_top, flags = INDEFINITE_SIG, INDEFINITE_TOP, UNDERFLOW
    if is_empty(f, fsw, i):
        b_sig, b_top, flags = INDEFINITE_SIG, INDEFINITE_TOP, UNDERFLOW
    if flags == 0 or cw & IE:
        put(f, fsw, 0, b_sig, b_top)
        put(f, fsw, i, a_sig, a_top)
    return finish(f, fsw, cw, flags)


def x87_move(f: int, control: int, taken: int) -> int:
    """FCMOVcc; both registers must hold something whether or not the condition is met."""
    fsw, cw = status_word(f), control_word(f)
    i = control & 7
    if is_empty(f, fsw, 0) or is_empty(f, fsw, i):
        return underflow(f, fsw, cw, 0)
    if taken:
        put(f, fsw, 0, significand(f, fsw, i), sign_exponent(f, fsw, i))
    return finish(f, fsw, cw, fsw & C1)             # C1 is kept
