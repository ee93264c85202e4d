"""Memory operands as extended-precision values; exact (SDM Vol. 1 4.2, 4.8)."""

from jit.native import ctlz, inline, shr, sx16, sx32
from jit.x87.format import BIAS, DE, EXP_MAX, SIGN
from jit.x87.sources import FROM_F32, FROM_F64, FROM_I16, FROM_I32


@inline
def widen_integer(value: int) -> tuple[int, int]:
    """(sig, top) of a signed integer."""
    if value == 0:
        return 0, 0
    sign = 0x8000 if value < 0 else 0
    size = -value if value < 0 else value
    shift = ctlz(size)
    return size << shift, sign | (BIAS + 63 - shift)


@inline
def widen_float(raw: int, fraction_bits: int, exponent_bits: int) -> tuple[int, int, int]:
    """(sig, top, DE if it is denormal) of an IEEE number. Signaling NaNs stay signaling."""
    sign = (shr(raw, fraction_bits + exponent_bits) & 1) << 15
    exponent_max = (1 << exponent_bits) - 1
    exponent = shr(raw, fraction_bits) & exponent_max
    sig = (raw & ((1 << fraction_bits) - 1)) << (63 - fraction_bits)
    rebias = BIAS - (exponent_max >> 1)
    if exponent == exponent_max:
        return SIGN | sig, sign | EXP_MAX, 0
    if exponent != 0:
        return SIGN | sig, sign | (exponent + rebias), 0
    if sig == 0:
        return 0, sign, 0
    shift = ctlz(sig)
    return sig << shift, sign | (1 + rebias - shift), DE


@inline
def widen(raw: int, source: int) -> tuple[int, int, int]:
    """(sig, top, DE or 0) of a memory operand, a FROM_* of jit/x87/sources.py other than FROM_REGISTER."""
    if source == FROM_F32:
        return widen_float(raw, 23, 8)
    if source == FROM_F64:
        return widen_float(raw, 52, 11)
    if source == FROM_I16:
        raw = sx16(raw)
    elif source == FROM_I32:
        raw = sx32(raw)
    sig, top = widen_integer(raw)
    return sig, top, 0
