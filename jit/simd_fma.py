"""Fused multiply-add, exact in every mode; companion of jit/simd_float.py (SDM Vol. 1 14.5; Vol. 2C VFMADD*)."""

from jit.fpu_layout import MXCSR, SLOW_RESULT
from jit.native import ctlz, inline, ld32, ld64, shr, st32, ult, umulh
from jit.semantics.wiring import FMA_ALTERNATE, FMA_NEGATE_ADDEND, FMA_NEGATE_PRODUCT
from jit.simd_float import add_zeros, deliver, element, flushed, set_element
from jit.softfloat import (
    DAZ,
    DE,
    DOWN,
    FTZ,
    IE,
    INFINITE,
    QUIET,
    ROUND_SHIFT,
    SIGNALLING,
    ZERO,
    default_nan,
    infinity,
    is_denormal,
    kind_of,
    quieted,
    round_pack,
    sign_of,
    signed_zero,
    unpack,
)

BFLOAT_MODE = 0x1F80 | DAZ | FTZ


@inline
def shifted_right(high: int, low: int, count: int) -> tuple[int, int]:
    """128 bits shifted right; bits that fall out are kept as bit 0."""
    if count <= 0:
        return high, low
    if count > 127:
        return 0, (1 if (high | low) != 0 else 0)
    lost = 0
    if count > 63:
        lost = low
        low, high = high, 0
        count -= 64
    if count > 0:
        lost |= low & ((1 << count) - 1)
        low = shr(low, count) | (high << (64 - count))
        high = shr(high, count)
    return high, low | (1 if lost != 0 else 0)


@inline
def normalised(high: int, low: int) -> tuple[int, int]:
    """(significand as in jit/softfloat.py, places it was moved left) of 128 bits from 2 up to below 2**127."""
    moved = 0
    if high == 0:
        high, low, moved = shr(low, 1), low << 63, 63
    shift = ctlz(high) - 1
    if shift > 0:
        high = (high << shift) | shr(low, 64 - shift)
        low <<= shift
    return high | (1 if low != 0 else 0), moved + shift


@inline
def fused_finite(sp: int, x: int, y: int, sz: int, z: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of a product, of the sign `sp`, and an addend, none of them zero."""
    ex, fx = unpack(x, m, top)
    ey, fy = unpack(y, m, top)
    ez, high_z = unpack(z, m, top)
    exponent = ex + ey - shr(top, 1) + 1                # of bit 126; the product's leading one is there or below
    high, low = umulh(fx, fy << 1), fx * (fy << 1)
    low_z = 0
    # A bit of room above for the sum. At least 20 zeros are below either significand, so that cutting bits off by
    # `shifted_right` leaves what rounding needs, whatever cancels.
    high, low = shifted_right(high, low, 1)
    high_z, low_z = shifted_right(high_z, low_z, 1)
    if ez > exponent:
        high, low = shifted_right(high, low, ez - exponent)
        exponent = ez
    else:
        high_z, low_z = shifted_right(high_z, low_z, exponent - ez)
    sign = sp
    if sp == sz:
        low_sum = low + low_z
        high_sum = high + high_z + (1 if ult(low_sum, low) else 0)
    else:
        if ult(high, high_z) or (high == high_z and ult(low, low_z)):
            high, low, high_z, low_z, sign = high_z, low_z, high, low, sz
        low_sum = low - low_z
        high_sum = high - high_z - (1 if ult(low, low_z) else 0)
    if (high_sum | low_sum) == 0:
        return signed_zero(-1 if shr(mxcsr, ROUND_SHIFT) & 3 == DOWN else 0, m, top), 0
    significand, moved = normalised(high_sum, low_sum)
    return round_pack(sign, exponent + 1 - moved, significand, m, top, mxcsr)


@inline
def product_alone(sign: int, x: int, y: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of a product that is not zero, plus zero."""
    ex, fx = unpack(x, m, top)
    ey, fy = unpack(y, m, top)
    significand, moved = normalised(umulh(fx, fy << 1), fx * (fy << 1))
    return round_pack(sign, ex + ey - shr(top, 1) + 1 - moved, significand, m, top, mxcsr)


@inline
def addend_alone(sign: int, z: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of an addend that is not zero, plus zero."""
    exponent, significand = unpack(z, m, top)
    return round_pack(sign, exponent, significand, m, top, mxcsr)


@inline
def fused(x: int, y: int, z: int, negate_product: int, negate_addend: int, m: int, top: int,
          mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of x * y + z with one rounding. The first of x, y, z that is a NaN is the result."""
    x, y, z = flushed(x, m, top, mxcsr), flushed(y, m, top, mxcsr), flushed(z, m, top, mxcsr)
    kx, ky, kz = kind_of(x, m, top), kind_of(y, m, top), kind_of(z, m, top)
    if kx >= QUIET or ky >= QUIET or kz >= QUIET:
        invalid = kx == SIGNALLING or ky == SIGNALLING or kz == SIGNALLING
        nan = x if kx >= QUIET else y if ky >= QUIET else z
        return quieted(nan, m), (IE if invalid else 0)
    sp = (1 if sign_of(x ^ y, m, top) else 0) ^ negate_product
    sz = (1 if sign_of(z, m, top) else 0) ^ negate_addend
    denormal = DE if is_denormal(x, m, top) or is_denormal(y, m, top) or is_denormal(z, m, top) else 0
    if kx == INFINITE or ky == INFINITE:
        if kx == ZERO or ky == ZERO or (kz == INFINITE and sp != sz):
            return default_nan(m, top), IE
        return infinity(sp, m, top), denormal
    if kz == INFINITE:
        return infinity(sz, m, top), denormal
    if kx == ZERO or ky == ZERO:
        if kz == ZERO:
            return add_zeros(signed_zero(-sp, m, top), signed_zero(-sz, m, top), sp, sz, m, top, mxcsr), denormal
        bits, flags = addend_alone(sz, z, m, top, mxcsr)
    elif kz == ZERO:
        bits, flags = product_alone(sp, x, y, m, top, mxcsr)
    else:
        bits, flags = fused_finite(sp, x, y, sz, z, m, top, mxcsr)
    return bits, flags | denormal


def pure_fma(fpu: int, code: int, d: int, a: int, b: int, c: int) -> int:
    """D = A * B + C. `code` as in jit/simd_float.py pure_arithmetic, the operation being a sum of FMA_NEGATE_PRODUCT,
    FMA_NEGATE_ADDEND and FMA_ALTERNATE. The rest of a scalar's register stays as it is."""
    mxcsr = ld64(fpu + MXCSR)
    width, count = shr(code, 8) & 0xFF, shr(code, 16) & 0xFF
    m, top = (23, 255) if width == 4 else (52, 2047)
    negate_product = 1 if code & FMA_NEGATE_PRODUCT else 0
    negate_addend = 1 if code & FMA_NEGATE_ADDEND else 0
    total = 0
    for number in range(count):
        at = number * width
        alternate = 1 if code & FMA_ALTERNATE and number & 1 == 0 else 0
        bits, flags = fused(element(fpu + a + at, width), element(fpu + b + at, width), element(fpu + c + at, width),
                            negate_product, negate_addend ^ alternate, m, top, mxcsr)
        total |= flags
        set_element(fpu + SLOW_RESULT + at, width, bits)
    return deliver(fpu, code, d, d, total, mxcsr)


def pure_dot_bfloat(fpu: int, count: int, d: int, a: int, b: int) -> int:
    """VDPBF16PS: to each single-precision element of D the product of the odd, then of the even 16-bit elements of A
    and B is added, each rounded to nearest; denormals are zeros, and no flags are set."""
    for number in range(count):
        at = 4 * number
        x, y, total = ld32(fpu + a + at), ld32(fpu + b + at), ld32(fpu + d + at)
        total, _ = fused(x & 0xFFFF0000, y & 0xFFFF0000, total, 0, 0, 23, 255, BFLOAT_MODE)
        total, _ = fused((x << 16) & 0xFFFF0000, (y << 16) & 0xFFFF0000, total, 0, 0, 23, 255, BFLOAT_MODE)
        st32(fpu + d + at, total)
    return 0
