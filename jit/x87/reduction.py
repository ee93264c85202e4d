"""Reducing an angle to within pi / 4 of a multiple of pi / 2, by the 66-bit pi of processors (SDM Vol. 1 8.3.8)."""

from jit.native import inline
from jit.x87.constants import REDUCER_H, REDUCER_L
from jit.x87.series import normal
from jit.x87.wide import less128, shl128, sub128

RANGE = 63                              # |x| must be below 2**63


@inline
def reduced(high: int, exponent: int) -> tuple[int, int, int, int, int]:
    """(quadrant 0 to 3, sign, h, l, x) of high * 2**(exponent - 63), exponent < RANGE: the angle is
    quadrant * pi / 2 + (-1)**sign * the number; h:l = 0 stands for none."""
    if exponent < -1:
        return 0, 0, high, 0, exponent
    rest_h, rest_l = 0, high
    quadrant = 0
    for _ in range(exponent + 2):
        rest_h, rest_l = shl128(rest_h, rest_l, 1)
        quadrant <<= 1
        if not less128(rest_h, rest_l, REDUCER_H, REDUCER_L):
            rest_h, rest_l = sub128(rest_h, rest_l, REDUCER_H, REDUCER_L)
            quadrant |= 1
    sign = 0
    other_h, other_l = sub128(REDUCER_H, REDUCER_L, rest_h, rest_l)
    if less128(other_h, other_l, rest_h, rest_l):
        rest_h, rest_l = other_h, other_l
        quadrant += 1
        sign = 1
    if rest_h | rest_l == 0:
        return quadrant & 3, sign, 0, 0, 0
    h, low, x = normal(rest_h, rest_l, 127 - 65)
    return quadrant & 3, sign, h, low, x
