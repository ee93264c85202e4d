"""FADD, FSUB, FSUBR, FMUL, FDIV, FDIVR in all their forms (SDM Vol. 2A)."""

from jit.native import inline
from jit.x87.arithmetic import add, divide_values, multiply
from jit.x87.format import DE, IE, QUIET_NAN, ZE, kind
from jit.x87.sources import FROM_REGISTER, FROM_SHIFT, POPS_SHIFT, SOURCE_SHIFT, SWAP, VARIANT
from jit.x87.stack import (
    UNDERFLOW,
    control_word,
    finish,
    is_empty,
    popped,
    put,
    put_indefinite,
    sign_exponent,
    significand,
    status_word,
    suppressed,
    visible,
)
from jit.x87.widen import widen


@inline
def is_nan(sig: int, top: int) -> bool:
    return kind(sig, top) >= QUIET_NAN


@inline
def operands(f: int, fsw: int, control: int, raw: int) -> tuple[int, int, int, int, int, int]:
    """(destination sig, top, source sig, top, DE of a memory operand, whether a register is empty)."""
    d, s = control & 7, (control >> SOURCE_SHIFT) & 7
    source = (control >> FROM_SHIFT) & 7
    bad = is_empty(f, fsw, d)
    if source == FROM_REGISTER:
        bad = bad or is_empty(f, fsw, s)
        b_sig, b_top, denormal = significand(f, fsw, s), sign_exponent(f, fsw, s), 0
    else:
        b_sig, b_top, denormal = widen(raw, source)
    return significand(f, fsw, d), sign_exponent(f, fsw, d), b_sig, b_top, denormal, bad


@inline
def conclude(f: int, fsw: int, cw: int, control: int, sig: int, top: int, flags: int) -> int:
    """Write the destination and pop, unless that is suppressed. 1: an exception is unmasked."""
    flags = visible(flags, cw)
    if not suppressed(flags, cw):
        put(f, fsw, control & 7, sig, top)
        fsw = popped(f, fsw, (control >> POPS_SHIFT) & 3)
    return finish(f, fsw, cw, flags)


@inline
def underflow(f: int, fsw: int, cw: int, control: int) -> int:
    """An operand is empty."""
    if cw & IE:
        put_indefinite(f, fsw, control & 7)
        fsw = popped(f, fsw, (control >> POPS_SHIFT) & 3)
    return finish(f, fsw, cw, UNDERFLOW)


@inline
def with_memory_denormal(flags: int, denormal: int, a_sig: int, a_top: int) -> int:
    if denormal != 0 and flags & (IE | ZE) == 0 and not is_nan(a_sig, a_top):
        return flags | DE
    return flags


def x87_add(f: int, control: int, raw: int) -> int:
    fsw, cw = status_word(f), control_word(f)
    a_sig, a_top, b_sig, b_top, denormal, bad = operands(f, fsw, control, raw)
    if bad:
        return underflow(f, fsw, cw, control)
    x_sig, x_top, y_sig, y_top = a_sig, a_top, b_sig, b_top
    if control & SWAP:
        x_sig, x_top, y_sig, y_top = b_sig, b_top, a_sig, a_top
    if control & VARIANT and not is_nan(y_sig, y_top):
        y_top ^= 0x8000
    sig, top, flags = add(x_sig, x_top, y_sig, y_top, cw)
    return conclude(f, fsw, cw, control, sig, top, with_memory_denormal(flags, denormal, a_sig, a_top))


def x87_multiply(f: int, control: int, raw: int) -> int:
    fsw, cw = status_word(f), control_word(f)
    a_sig, a_top, b_sig, b_top, denormal, bad = operands(f, fsw, control, raw)
    if bad:
        return underflow(f, fsw, cw, control)
    sig, top, flags = multiply(a_sig, a_top, b_sig, b_top, cw)
    return conclude(f, fsw, cw, control, sig, top, with_memory_denormal(flags, denormal, a_sig, a_top))


def x87_divide(f: int, control: int, raw: int) -> int:
    fsw, cw = status_word(f), control_word(f)
    a_sig, a_top, b_sig, b_top, denormal, bad = operands(f, fsw, control, raw)
    if bad:
        return underflow(f, fsw, cw, control)
    x_sig, x_top, y_sig, y_top = a_sig, a_top, b_sig, b_top
    if control & SWAP:
        x_sig, x_top, y_sig, y_top = b_sig, b_top, a_sig, a_top
    sig, top, flags = divide_values(x_sig, x_top, y_sig, y_top, cw)
    return conclude(f, fsw, cw, control, sig, top, with_memory_denormal(flags, denormal, a_sig, a_top))
