"""NaN operands (SDM Vol. 1 table 4-7)."""

from jit.native import inline, ult
from jit.x87.format import IE, INDEFINITE_SIG, INDEFINITE_TOP, QUIET, QUIET_NAN, SIGNALING_NAN, UNSUPPORTED


@inline
def invalid() -> tuple[int, int, int]:
    """(sig, top, flags) of the masked response to an invalid operation."""
    return INDEFINITE_SIG, INDEFINITE_TOP, IE


@inline
def propagate(a_sig: int, a_top: int, a_kind: int, b_sig: int, b_top: int, b_kind: int) -> tuple[int, int, int]:
    """Result of two operands of which at least one is a NaN or unsupported: a quiet NaN wins over a signaling one,
    else the larger significand, else the positive one."""
    if a_kind == UNSUPPORTED or b_kind == UNSUPPORTED:
        return invalid()
    flags = IE if a_kind == SIGNALING_NAN or b_kind == SIGNALING_NAN else 0
    take_a = b_kind < QUIET_NAN
    if a_kind >= QUIET_NAN and b_kind >= QUIET_NAN:
        if a_kind != b_kind:
            take_a = a_kind == QUIET_NAN
        elif a_sig == b_sig:
            take_a = a_top <= b_top
        else:
            take_a = ult(b_sig, a_sig)
    if take_a:
        return a_sig | QUIET, a_top, flags
    return b_sig | QUIET, b_top, flags


@inline
def propagate_one(sig: int, top: int, value_kind: int) -> tuple[int, int, int]:
    """Result of a single operand that is a NaN or unsupported."""
    if value_kind == UNSUPPORTED:
        return invalid()
    return sig | QUIET, top, IE if value_kind == SIGNALING_NAN else 0
