"""Extended numbers of 128 bits and polynomials, for the transcendental instructions.

A number is (h, l, x): 1.f * 2**x with the significand h:l in units of 2**-127, its top bit set. A fraction is a pair
in units of 2**-128, a factor a pair in units of 2**-127. Errors stay below 2**-100, so that a result rounded from
here is the exact one but where that lies within 2**-36 units in the last place of a tie.
"""

from jit.native import inline
from jit.x87.wide import SIGN, add128, clz128, divide, multiply128, shl128, shr128, sub128

Table = tuple[int, ...]         # of upper or lower halves of 128-bit numbers, jit/x87/constants.py


@inline
def normal(h: int, l: int, x: int) -> tuple[int, int, int]:
    """The number h:l * 2**(x - 127), which is not 0."""
    shift = clz128(h, l)
    h, l = shl128(h, l, shift)
    return h, l, x - shift


@inline
def product(ah: int, al: int, ax: int, bh: int, bl: int, bx: int) -> tuple[int, int, int]:
    h, low = multiply128(ah, al, bh, bl)
    return normal(h, low, ax + bx + 1)


@inline
def fraction(h: int, l: int, x: int) -> tuple[int, int]:
    """A number below 1 as a fraction."""
    if x < -128:
        return 0, 0
    return shr128(h, l, -1 - x)


@inline
def polynomial(zh: int, zl: int, table_h: Table, table_l: Table, terms: int, alternating: int) -> tuple[int, int]:
    """Sum of (+-z)**k * table[k] for a fraction z, as a factor."""
    h, low = table_h[terms - 1], table_l[terms - 1]
    for k in range(terms - 2, -1, -1):
        ph, pl = multiply128(zh, zl, h, low)
        if alternating:
            h, low = sub128(table_h[k], table_l[k], ph, pl)
        else:
            h, low = add128(table_h[k], table_l[k], ph, pl)
    return h, low


@inline
def reciprocal(h: int, l: int) -> tuple[int, int]:
    """1 / (h:l / 2**128) as a factor, where h has its top bit set: from 64 bits to 126 by one step of Newton's."""
    if h == SIGN and l == 0:
        return -1, -1
    start, _ = divide(SIGN - 1, -1, h)
    ph, pl = multiply128(h, l, start, 0)            # d * r in units of 2**-127
    if ph < 0:                                      # above 1: r is too large
        eh, el = sub128(ph, pl, SIGN, 0)
        ch, cl = multiply128(start, 0, eh, el)
        ch, cl = shl128(ch, cl, 1)
        return sub128(start, 0, ch, cl)
    eh, el = sub128(SIGN, 0, ph, pl)
    ch, cl = multiply128(start, 0, eh, el)
    ch, cl = shl128(ch, cl, 1)
    return add128(start, 0, ch, cl)
