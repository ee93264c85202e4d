"""FST, FSTP, FIST, FISTP, FISTTP, FBSTP and FBLD (SDM Vol. 2A).

A store to memory takes two steps, so that a page fault changes nothing: `x87_narrow` leaves the operand and the flags
in the file's scratch words, and `x87_stored` commits after the operand was written.
"""

from jit.fpu_layout import TMPV
from jit.native import inline, ld64, shr, st64
from jit.x87.format import BEFORE, IE, INDEFINITE_SIG, INDEFINITE_TOP, OE, ROUND_ZERO, UE, rounding
from jit.x87.narrow import (
    DECIMAL_INDEFINITE_HIGH,
    DECIMAL_INDEFINITE_LOW,
    narrow_decimal,
    narrow_float,
    narrow_integer,
)
from jit.x87.push import push
from jit.x87.sources import (
    FROM_SHIFT,
    POPS_SHIFT,
    QUIET,
    TO_DECIMAL,
    TO_F32,
    TO_F64,
    TO_F80,
    TO_I16,
    TO_I32,
    TRUNCATE,
)
from jit.x87.stack import (
    UNDERFLOW,
    control_word,
    finish,
    is_empty,
    popped,
    put,
    sign_exponent,
    significand,
    status_word,
)
from jit.x87.widen import widen_integer

OUT_LOW, OUT_HIGH, OUT_FLAGS = TMPV, TMPV + 8, TMPV + 16
SUPPRESS = BEFORE | OE | UE             # unmasked, these keep a store from happening


@inline
def converted(sig: int, top: int, cw: int, to: int, rc: int) -> tuple[int, int, int]:
    """(low 64 bits, bits above them, flags)."""
    high = 0
    if to == TO_F32:
        low, flags = narrow_float(sig, top, cw, 23, 8)
    elif to == TO_F64:
        low, flags = narrow_float(sig, top, cw, 52, 11)
    elif to == TO_F80:
        low, high, flags = sig, top, 0
    elif to == TO_I16:
        low, flags = narrow_integer(sig, top, rc, 16)
    elif to == TO_I32:
        low, flags = narrow_integer(sig, top, rc, 32)
    elif to == TO_DECIMAL:
        low, high, flags = narrow_decimal(sig, top, rc)
    else:
        low, flags = narrow_integer(sig, top, rc, 64)
    return low, high, flags


@inline
def indefinite(to: int) -> tuple[int, int]:
    """What an empty register is stored as."""
    if to == TO_F32:
        return 0xFFC00000, 0
    if to == TO_F64:
        return -1 << 51, 0
    if to == TO_F80:
        return INDEFINITE_SIG, INDEFINITE_TOP
    if to == TO_DECIMAL:
        return DECIMAL_INDEFINITE_LOW, DECIMAL_INDEFINITE_HIGH
    return 1 << (15 if to == TO_I16 else 31 if to == TO_I32 else 63), 0


def x87_narrow(f: int, control: int) -> int:
    """Convert ST(0). 1: the operand is to be written; 0: an unmasked exception forbids it."""
    fsw, cw = status_word(f), control_word(f)
    to = (control >> FROM_SHIFT) & 7
    if is_empty(f, fsw, 0):
        low, high = indefinite(to)
        flags = UNDERFLOW
    else:
        rc = ROUND_ZERO if control & TRUNCATE else rounding(cw)
        low, high, flags = converted(significand(f, fsw, 0), sign_exponent(f, fsw, 0), cw, to, rc)
    st64(f + OUT_LOW, low)
    st64(f + OUT_HIGH, high)
    st64(f + OUT_FLAGS, flags)
    return 0 if flags & ~cw & SUPPRESS != 0 else 1


def x87_stored(f: int, control: int) -> int:
    """The flags and the pop of a store; 1 if an exception is unmasked."""
    fsw, cw, flags = status_word(f), control_word(f), ld64(f + OUT_FLAGS)
    if flags & ~cw & SUPPRESS == 0:
        fsw = popped(f, fsw, (control >> POPS_SHIFT) & 3)
    return finish(f, fsw, cw, flags)


def x87_store_register(f: int, control: int, raw: int) -> int:
    """FST ST(i), FSTP ST(i); and FSTPNCE, which neither copies an empty register nor reports it, but pops it."""
    fsw, cw = status_word(f), control_word(f)
    flags = 0
    if control & QUIET and is_empty(f, fsw, 0):
        return finish(f, popped(f, fsw, 1), cw, 0)
    sig, top = significand(f, fsw, 0), sign_exponent(f, fsw, 0)
    if is_empty(f, fsw, 0):
        flags = UNDERFLOW
        sig, top = INDEFINITE_SIG, INDEFINITE_TOP
    if flags == 0 or cw & IE:
        put(f, fsw, control & 7, sig, top)
        fsw = popped(f, fsw, (control >> POPS_SHIFT) & 3)
    return finish(f, fsw, cw, flags)


def x87_push_decimal(f: int, high: int, low: int) -> int:
    """FBLD. Digits above 9, which the manual leaves undefined, count as what they are."""
    value = 0
    for digit in range(17, -1, -1):
        nibble = shr(low, digit << 2) if digit < 16 else shr(high, (digit - 16) << 2)
        value = value * 10 + (nibble & 15)
    sig, top = widen_integer(value)
    return push(f, status_word(f), control_word(f), sig, top | (high & 0x8000), 0)
