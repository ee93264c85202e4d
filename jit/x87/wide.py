"""128-bit unsigned integers as (high, low) pairs of 64-bit words."""

from jit.native import ctlz, inline, shr, udiv, ult, umulh

SIGN = -(1 << 63)
MASK32 = 0xFFFFFFFF


@inline
def add128(ah: int, al: int, bh: int, bl: int) -> tuple[int, int]:
    low = al + bl
    return ah + bh + (1 if ult(low, al) else 0), low


@inline
def sub128(ah: int, al: int, bh: int, bl: int) -> tuple[int, int]:
    return ah - bh - (1 if ult(al, bl) else 0), al - bl


@inline
def less128(ah: int, al: int, bh: int, bl: int) -> int:
    return ult(ah, bh) or (ah == bh and ult(al, bl))


@inline
def shl128(high: int, low: int, n: int) -> tuple[int, int]:
    """Shift left by 0 to 127."""
    if n >= 64:
        return low << (n - 64), 0
    if n == 0:
        return high, low
    return (high << n) | shr(low, 64 - n), low << n


@inline
def shr128(high: int, low: int, n: int) -> tuple[int, int]:
    """Shift right by 0 to 127."""
    if n >= 64:
        return 0, shr(high, n - 64)
    if n == 0:
        return high, low
    return shr(high, n), shr(low, n) | (high << (64 - n))


@inline
def shr128_jam(high: int, low: int, n: int) -> tuple[int, int]:
    """Shift right by n >= 0; what is shifted out sets the last bit if any of it is set."""
    if n == 0:
        return high, low
    if n >= 128:
        return 0, 1 if high | low != 0 else 0
    lost_high, lost_low = shl128(high, low, 128 - n)
    high, low = shr128(high, low, n)
    return high, low | (1 if lost_high | lost_low != 0 else 0)


@inline
def clz128(high: int, low: int) -> int:
    """Leading zeros, 128 for 0."""
    return ctlz(high) if high != 0 else 64 + ctlz(low)


@inline
def multiply64(a: int, b: int) -> tuple[int, int]:
    """The 128-bit product."""
    return umulh(a, b), a * b


@inline
def multiply128(ah: int, al: int, bh: int, bl: int) -> tuple[int, int]:
    """The upper half of the 256-bit product, at most 2 units too small."""
    high, low = multiply64(ah, bh)
    high, low = add128(high, low, 0, umulh(ah, bl))
    return add128(high, low, 0, umulh(al, bh))


@inline
def divide(high: int, low: int, by: int) -> tuple[int, int]:
    """(quotient, remainder) of high:low / by, where by has its top bit set and high < by (Knuth 4.3.1 D)."""
    bh, bl = shr(by, 32), by & MASK32
    quotient = 0
    rest = high
    for n in range(2):
        digit_in = shr(low, 32) if n == 0 else low & MASK32
        digit = udiv(rest, bh)
        left = rest - digit * bh
        while ult(MASK32, digit) or ult((left << 32) | digit_in, digit * bl):
            digit -= 1
            left += bh
            if ult(MASK32, left):
                break
        rest = ((rest << 32) | digit_in) - digit * by
        quotient = (quotient << 32) | digit
    return quotient, rest
