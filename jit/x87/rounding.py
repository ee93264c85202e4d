"""Rounding a result into a register, with overflow and underflow (SDM Vol. 1 4.8.4, 8.1.5, 8.5.4, 8.5.5)."""

from jit.native import inline
from jit.x87.format import (
    C1,
    EXP_MAX,
    OE,
    PE,
    ROUND_DOWN,
    ROUND_NEAREST,
    ROUND_UP,
    SIGN,
    UE,
    dropped,
    rounding,
)
from jit.x87.wide import shr128_jam

WRAP = 24576                            # unmasked overflow and underflow divide or multiply by 2**24576


@inline
def rounds_up(sign: int, last: int, fraction: int, rc: int) -> bool:
    """Whether a significand whose last bit is `last` and whose dropped bits are `fraction` / 2**64 grows."""
    if rc == ROUND_NEAREST:
        return fraction < 0 and (fraction != SIGN or last != 0)
    if rc == ROUND_DOWN:
        return sign != 0 and fraction != 0
    return rc == ROUND_UP and sign == 0 and fraction != 0


@inline
def round_significand(sign: int, high: int, low: int, drop: int, rc: int) -> tuple[int, int, int, int]:
    """(significand, carry out, fraction that was dropped, whether it was rounded up) at 64 - drop bits."""
    unit = 1 << drop
    fraction = low
    if drop != 0:
        fraction = ((high & (unit - 1)) << (64 - drop)) | (1 if low != 0 else 0)
    base = high & -unit
    up = rounds_up(sign, base & unit, fraction, rc)
    sig = base + unit if up else base
    return sig, sig == 0 and up, fraction, up


@inline
def overflow(sign: int, drop: int, rc: int) -> tuple[int, int, int]:
    """The masked response: infinity or the largest number, by rounding mode (SDM Vol. 1 table 4-10)."""
    if rc == ROUND_NEAREST or rc == (ROUND_DOWN if sign else ROUND_UP):
        return SIGN, (sign << 15) | EXP_MAX, OE | PE | C1
    return -(1 << drop), (sign << 15) | (EXP_MAX - 1), OE | PE


@inline
def round_at(sign: int, exponent: int, high: int, low: int, cw: int, drop: int) -> tuple[int, int, int]:
    """(sig, top, flags) of +-high.low * 2**(exponent - 16383 - 63), where high has its top bit set and bit 0 of low
    stands for everything below it."""
    rc = rounding(cw)
    sig, carry, fraction, up = round_significand(sign, high, low, drop, rc)
    flags = 0
    if exponent <= 0 and not (exponent == 0 and carry):     # tiny after rounding to an unbounded exponent
        if cw & UE:
            high, low = shr128_jam(high, low, 1 - exponent)
            sig, carry, fraction, up = round_significand(sign, high, low, drop, rc)
            if fraction != 0:
                flags = UE | PE | (C1 if up else 0)
            return sig, (sign << 15) | (1 if sig < 0 else 0), flags
        flags = UE
        exponent += WRAP
        if exponent <= 0:                                   # FSCALE alone goes as far
            return 0, sign << 15, UE | PE
    if carry:
        sig = SIGN
        exponent += 1
    if exponent >= EXP_MAX:
        if cw & OE:
            return overflow(sign, drop, rc)
        flags |= OE
        exponent -= WRAP
        if exponent >= EXP_MAX:
            return SIGN, (sign << 15) | EXP_MAX, OE | PE | C1
    if fraction != 0:
        flags |= PE | (C1 if up else 0)
    return sig, (sign << 15) | exponent, flags


@inline
def round_result(sign: int, exponent: int, high: int, low: int, cw: int) -> tuple[int, int, int]:
    """`round_at` the precision that FCW selects."""
    return round_at(sign, exponent, high, low, cw, dropped(cw))


@inline
def round_as_inexact(sign: int, exponent: int, high: int, low: int, cw: int) -> tuple[int, int, int]:
    """A result that is close enough to be taken as it is, but counts as inexact."""
    sig, top, flags = round_at(sign, exponent, high, low, cw, 0)
    if exponent <= 0 and cw & UE:
        flags |= UE
    return sig, top, flags | PE
