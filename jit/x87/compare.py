"""FCOM, FUCOM, FICOM, FTST, FCOMI and FUCOMI (SDM Vol. 2A)."""

from jit.native import inline, ult
from jit.x87.binary import is_nan, operands
from jit.x87.format import C0, C1, C2, C3, CONDITIONS, DE, DENORMAL, IE, QUIET_NAN, SF, kind, normalised, sign_of
from jit.x87.sources import FROM_SHIFT, FROM_ZERO, POPS_SHIFT, TO_RFLAGS, VARIANT
from jit.x87.stack import UNDERFLOW, control_word, finish, popped, status_word, suppressed

GREATER, LESS, EQUAL, UNORDERED = 0, C0, C3, C0 | C2 | C3


@inline
def magnitude_less(a_sig: int, a_top: int, b_sig: int, b_top: int) -> int:
    a_high, a_exp = normalised(a_sig, a_top)
    b_high, b_exp = normalised(b_sig, b_top)
    return a_exp < b_exp or (a_exp == b_exp and ult(a_high, b_high))


@inline
def order(a_sig: int, a_top: int, b_sig: int, b_top: int) -> int:
    """GREATER, LESS or EQUAL for two numbers."""
    if a_sig == 0 and b_sig == 0:
        return EQUAL
    a_sign, b_sign = sign_of(a_top), sign_of(b_top)
    if a_sig == 0:
        return GREATER if b_sign else LESS
    if b_sig == 0:
        return LESS if a_sign else GREATER
    if a_sign != b_sign:
        return LESS if a_sign else GREATER
    if magnitude_less(a_sig, a_top, b_sig, b_top):
        return GREATER if a_sign else LESS
    if magnitude_less(b_sig, b_top, a_sig, a_top):
        return LESS if a_sign else GREATER
    return EQUAL


@inline
def compare(a_sig: int, a_top: int, b_sig: int, b_top: int, quiet: int) -> tuple[int, int]:
    """(condition bits, flags)."""
    a_kind, b_kind = kind(a_sig, a_top), kind(b_sig, b_top)
    if a_kind >= QUIET_NAN or b_kind >= QUIET_NAN:
        silent = quiet and a_kind <= QUIET_NAN and b_kind <= QUIET_NAN
        return UNORDERED, 0 if silent else IE
    flags = DE if a_kind == DENORMAL or b_kind == DENORMAL else 0
    return order(a_sig, a_top, b_sig, b_top), flags


def x87_compare(f: int, control: int, raw: int) -> int:
    """1 if an exception is unmasked, plus the condition bits."""
    fsw, cw = status_word(f), control_word(f)
    if (control >> FROM_SHIFT) & 7 == FROM_ZERO:
        raw = 0
    a_sig, a_top, b_sig, b_top, denormal, bad = operands(f, fsw, control, raw)
    if bad:
        result, flags = UNORDERED, UNDERFLOW
    else:
        result, flags = compare(a_sig, a_top, b_sig, b_top, control & VARIANT != 0)
        if denormal != 0 and flags & IE == 0 and not is_nan(a_sig, a_top):
            flags |= DE
    if not suppressed(flags & ~SF, cw):
        fsw = popped(f, fsw, (control >> POPS_SHIFT) & 3)
    if control & TO_RFLAGS == 0:
        fsw = (fsw & ~CONDITIONS) | result
    elif not bad:
        flags |= fsw & C1               # the forms that write RFLAGS clear C1 for stack faults alone
    return finish(f, fsw, cw, flags) | result
