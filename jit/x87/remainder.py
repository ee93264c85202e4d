"""FPREM and FPREM1: exact partial remainders (SDM Vol. 2A).

While the exponents differ by 64 or more, a step takes 32 to 63 quotient bits off, as processors do; C2 tells that the
remainder is partial.
"""

from jit.fpu_layout import FSW
from jit.native import inline, ld16, shr, st16, ult
from jit.x87.arithmetic import denormal_flag
from jit.x87.binary import conclude, underflow
from jit.x87.format import (
    C0,
    C1,
    C2,
    C3,
    CONDITIONS,
    INFINITE,
    QUIET_NAN,
    UE,
    ZERO,
    kind,
    normalised,
    sign_of,
)
from jit.x87.nan import invalid, propagate
from jit.x87.rounding import round_at
from jit.x87.stack import control_word, is_empty, sign_exponent, significand, status_word, suppressed
from jit.x87.wide import clz128, shl128


@inline
def long_division(rest: int, by: int, bits: int) -> tuple[int, int]:
    """(low quotient bits, remainder) of rest * 2**bits / by, where rest < by and by has its top bit set."""
    quotient = 0
    for _ in range(bits):
        carry = rest < 0
        rest <<= 1
        quotient <<= 1
        if carry or not ult(rest, by):
            rest -= by
            quotient |= 1
    return quotient, rest


@inline
def remainder(a_sig: int, a_top: int, b_sig: int, b_top: int, cw: int, nearest: int) -> tuple[int, int, int, int, bool]:
    """(sig, top, flags, low three quotient bits or -1 where there is no quotient, whether it is partial)."""
    a_kind, b_kind = kind(a_sig, a_top), kind(b_sig, b_top)
    if a_kind >= QUIET_NAN or b_kind >= QUIET_NAN:
        sig, top, flags = propagate(a_sig, a_top, a_kind, b_sig, b_top, b_kind)
        return sig, top, flags, -1, False
    if a_kind == INFINITE or b_kind == ZERO:
        sig, top, flags = invalid()
        return sig, top, flags, -1, False
    flags = denormal_flag(a_kind, b_kind)
    if a_kind == ZERO:
        return a_sig, a_top, flags, 0, False
    sign = sign_of(a_top)
    ah, a_exp = normalised(a_sig, a_top)
    if b_kind == INFINITE:
        sig, top, more = round_at(sign, a_exp, ah, 0, cw | UE, 0)      # passed on, which does not underflow
        return sig, top, flags | more, 0, False
    bh, b_exp = normalised(b_sig, b_top)
    apart = a_exp - b_exp
    if apart < (-1 if nearest else 0):
        sig, top, more = round_at(sign, a_exp, ah, 0, cw, 0)
        return sig, top, flags | more, 0, False
    partial = apart >= 64
    steps = (apart & 31) | 32 if partial else apart
    quotient, rest = 0, ah
    half = 0                            # bit below the remainder's last, where a is half a binade below b
    exponent = a_exp - steps
    if apart < 0:
        half = rest << 63
        rest = shr(rest, 1)
        exponent = b_exp
    else:
        if not ult(rest, bh):
            rest -= bh
            quotient = 1
        more_quotient, rest = long_division(rest, bh, steps)
        quotient = (quotient << steps) | more_quotient
    if nearest and not partial:
        # Compare the remainder with b / 2: above it, or on it with an odd quotient, the quotient goes up
        twice_carries = rest < 0
        twice = (rest << 1) | shr(half, 63)
        above = twice_carries or ult(bh, twice)
        tie = not twice_carries and twice == bh
        if above or (tie and quotient & 1):
            quotient += 1
            sign ^= 1
            # b - rest, exact to the half bit
            rest = bh - rest - (1 if half != 0 else 0)
    if rest == 0 and half == 0:
        return 0, a_top & 0x8000, flags, quotient & 7, partial
    shift = clz128(rest, half)
    high, low = shl128(rest, half, shift)
    sig, top, more = round_at(sign, exponent - shift, high, low, cw, 0)
    return sig, top, flags | more, quotient & 7, partial


@inline
def quotient_bits(quotient: int) -> int:
    return (C0 if quotient & 4 else 0) | (C3 if quotient & 2 else 0) | (C1 if quotient & 1 else 0)


def x87_remainder(f: int, control: int, raw: int) -> int:
    """FPREM (control 0), FPREM1 (1)."""
    fsw, cw = status_word(f), control_word(f)
    if is_empty(f, fsw, 0) or is_empty(f, fsw, 1):
        return underflow(f, fsw & ~C2, cw, 0)
    sig, top, flags, quotient, partial = remainder(
        significand(f, fsw, 0), sign_exponent(f, fsw, 0), significand(f, fsw, 1), sign_exponent(f, fsw, 1), cw,
        control != 0)
    unmasked = conclude(f, fsw, cw, 0, sig, top, flags)
    if quotient < 0 or suppressed(flags, cw):
        bits = fsw & (C0 | C3)
    else:
        bits = C2 if partial else quotient_bits(quotient)
    st16(f + FSW, (ld16(f + FSW) & ~CONDITIONS) | bits)
    return unmasked
