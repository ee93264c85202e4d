"""Conversions between floating-point formats and integers, exact in every mode; companion of jit/simd_float.py."""

from jit.fpu_layout import MXCSR, SLOW_RESULT
from jit.native import ctlz, inline, ld16, ld64, memmove, memset, shr, st16, st64, sx32
from jit.semantics.wiring import (
    BY_MXCSR,
    CONVERT_FILL,
    F16,
    F32,
    F64,
    FLOAT_SCALAR,
    I32,
    I64,
    SUPPRESS_INEXACT,
    U32,
    U64,
)
from jit.simd_float import element, flushed, raise_flags, set_element
from jit.softfloat import (
    DE,
    IE,
    INFINITE,
    LEAD,
    PE,
    QUIET,
    ROUND_SHIFT,
    SIGNALLING,
    UE,
    ZERO,
    infinity,
    is_denormal,
    kind_of,
    quieted,
    round_at,
    round_pack,
    shift_jam,
    sign_of,
    signed_zero,
    unpack,
)


@inline
def fraction_bits(kind: str) -> int:
    return 23 if kind == F32 else 52 if kind == F64 else 10


@inline
def top_exponent(kind: str) -> int:
    return 255 if kind == F32 else 2047 if kind == F64 else 31


@inline
def width_of(kind: str) -> int:
    return 2 if kind == F16 else 4 if kind == F32 or kind == I32 or kind == U32 else 8


@inline
def read(address: int, kind: str) -> int:
    if kind == F16:
        return ld16(address)
    return element(address, width_of(kind))


@inline
def write(address: int, kind: str, value: int) -> None:
    if kind == F16:
        st16(address, value)
    else:
        set_element(address, width_of(kind), value)


@inline
def integral(x: int, m: int, top: int, rounding: int, scale: int) -> tuple[int, bool, bool]:
    """(magnitude, inexact, too large) of a finite value times 2**scale rounded to an integer; magnitudes up to
    2**63 - 1."""
    exponent, significand = unpack(x, m, top)
    shift = LEAD - (exponent - shr(top, 1) + scale)
    if shift < 0:
        return 0, False, True
    if shift == 0:
        return significand, False, False
    if shift > LEAD:
        significand, shift = shift_jam(significand, shift - LEAD), LEAD
    value, inexact = round_at(significand, shift, rounding, 1 if sign_of(x, m, top) else 0)
    return value, inexact, False


@inline
def to_integer(x: int, source: int, bits: int, rounding: int, mxcsr: int) -> tuple[int, int]:
    """(integer, flags). NaNs and what does not fit give the integer indefinite (SDM Vol. 1 4.8.3.7, table 4-10)."""
    m, top = fraction_bits(source), top_exponent(source)
    x = flushed(x, m, top, mxcsr)
    kind = kind_of(x, m, top)
    indefinite = -1 << (bits - 1)
    if kind >= INFINITE:
        return indefinite, IE
    if kind == ZERO:
        return 0, 0
    magnitude, inexact, large = integral(x, m, top, rounding, 0)
    negative = sign_of(x, m, top)
    if large:
        exact = negative and bits == 64 and x & ((1 << m) - 1) == 0 and shr(x, m) & top == shr(top, 1) + 63
        return indefinite, (0 if exact else IE)
    limit = (1 << (bits - 1)) - (0 if negative and bits == 32 else 1)
    if magnitude > limit:
        return indefinite, IE
    return (-magnitude if negative else magnitude), (PE if inexact else 0)


@inline
def to_unsigned(x: int, source: int, bits: int, rounding: int, mxcsr: int) -> tuple[int, int]:
    """(integer, flags). NaNs and what does not fit give all ones (SDM Vol. 2C VCVTPS2UDQ)."""
    m, top = fraction_bits(source), top_exponent(source)
    x = flushed(x, m, top, mxcsr)
    kind = kind_of(x, m, top)
    if kind >= INFINITE:
        return -1, IE
    if kind == ZERO:
        return 0, 0
    if shr(x, m) & top == shr(top, 1) + 63 and not sign_of(x, m, top):
        _, significand = unpack(x, m, top)
        return (significand << 1, 0) if bits == 64 else (-1, IE)
    magnitude, inexact, large = integral(x, m, top, rounding, 0)
    if large or (magnitude != 0 and sign_of(x, m, top)) or (bits == 32 and shr(magnitude, 32) != 0):
        return -1, IE
    return magnitude, (PE if inexact else 0)


@inline
def from_unsigned(value: int, to: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags)."""
    m, top = fraction_bits(to), top_exponent(to)
    if value < 0:                                       # at least 2**63
        return round_pack(0, shr(top, 1) + 63, shr(value, 1) | (value & 1), m, top, mxcsr)
    return from_integer(value, to, mxcsr)


@inline
def from_integer(value: int, to: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags)."""
    m, top = fraction_bits(to), top_exponent(to)
    if value == 0:
        return 0, 0
    sign = 1 if value < 0 else 0
    magnitude = -value if value < 0 else value
    if magnitude < 0:                                   # -2**63
        return round_pack(sign, shr(top, 1) + 63, 1 << LEAD, m, top, mxcsr)
    shift = ctlz(magnitude) - 1
    return round_pack(sign, shr(top, 1) + LEAD - shift, magnitude << shift, m, top, mxcsr)


@inline
def change_format(x: int, source: int, to: int, rounding: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of a value in another format. Half precision ignores DAZ as a source and FTZ as a result, and does
    not signal denormal sources (SDM Vol. 2C VCVTPH2PS, VCVTPS2PH)."""
    m, top = fraction_bits(source), top_exponent(source)
    if source != F16:
        x = flushed(x, m, top, mxcsr)
    kind = kind_of(x, m, top)
    n, limit = fraction_bits(to), top_exponent(to)
    sign = 1 if sign_of(x, m, top) else 0
    if kind >= QUIET:
        fraction = x & ((1 << m) - 1)
        moved = fraction << (n - m) if n > m else shr(fraction, m - n)
        return infinity(sign, n, limit) | quieted(moved, n), (IE if kind == SIGNALLING else 0)
    if kind == INFINITE:
        return infinity(sign, n, limit), 0
    if kind == ZERO:
        return signed_zero(-sign, n, limit), 0
    denormal = DE if source != F16 and is_denormal(x, m, top) else 0
    exponent, significand = unpack(x, m, top)
    mode = (mxcsr & ~(3 << ROUND_SHIFT)) | (rounding << ROUND_SHIFT)
    if to == F16:
        mode &= ~0x8000
    exponent += shr(limit, 1) - shr(top, 1)
    bits, flags = round_pack(sign, exponent, significand, n, limit, mode)
    if to == F16 and flags & UE and denormal:           # processors do not normalise it: all of it is shifted out
        flags |= PE
    return bits, flags | denormal


@inline
def rounding_of(control: int, mxcsr: int) -> int:
    return shr(mxcsr, ROUND_SHIFT) & 3 if control & BY_MXCSR else control & 3


def pure_convert(fpu: int, code: int, d: int, a: int, b: int, control: int) -> int:
    """Convert elements of B. `code`: source kind in bits 3:0, destination's in 7:4, number of elements in bits 23:16;
    FLOAT_SCALAR takes the rest of 16 bytes from A, CONVERT_FILL clears it. `control`: rounding, or BY_MXCSR."""
    mxcsr = ld64(fpu + MXCSR)
    source, to, count = code & 0xF, shr(code, 4) & 0xF, shr(code, 16) & 0xFF
    rounding = rounding_of(control, mxcsr)
    total = 0
    for number in range(count):
        x = read(fpu + b + number * width_of(source), source)
        if source == I32 or source == I64:
            value, flags = from_integer(sx32(x) if source == I32 else x, to, mxcsr)
        elif source == U32 or source == U64:
            value, flags = from_unsigned(x, to, mxcsr)
        elif to == I32 or to == I64:
            value, flags = to_integer(x, source, 32 if to == I32 else 64, rounding, mxcsr)
        elif to == U32 or to == U64:
            value, flags = to_unsigned(x, source, 32 if to == U32 else 64, rounding, mxcsr)
        else:
            value, flags = change_format(x, source, to, rounding, mxcsr)
        write(fpu + SLOW_RESULT + number * width_of(to), to, value)
        total |= flags
    if raise_flags(fpu, total, mxcsr):
        return 1
    size = count * width_of(to)
    if code & FLOAT_SCALAR:
        memmove(fpu + d, fpu + a, 16)
    elif code & CONVERT_FILL:
        memset(fpu + d, 0, 16)
    memmove(fpu + d, fpu + SLOW_RESULT, size)
    return 0


@inline
def round_to_scale(x: int, control: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of a finite value rounded to a multiple of two to a power (bits 7:4 of the control, negated)."""
    scale = shr(control, 4) & 15
    sign = signed_zero(x, m, top)
    if kind_of(x, m, top) == ZERO or shr(x, m) & top >= shr(top, 1) + m - scale:
        return x, 0
    magnitude, inexact, _ = integral(x, m, top, rounding_of(control, mxcsr), scale)
    flags = PE if inexact and control & SUPPRESS_INEXACT == 0 else 0
    if magnitude == 0:
        return sign, flags
    shift = ctlz(magnitude) - 1
    bits, _ = round_pack(0, shr(top, 1) + LEAD - shift - scale, magnitude << shift, m, top, mxcsr)
    return bits | sign, flags


def pure_round(fpu: int, code: int, d: int, a: int, b: int, control: int) -> int:
    """ROUNDPS, VRNDSCALEPS and the like: elements of B rounded. `code` as in jit/simd_float.py pure_arithmetic;
    `control` is the instruction's immediate (SDM Vol. 2B table 4-18, Vol. 2C VRNDSCALEPD)."""
    mxcsr = ld64(fpu + MXCSR)
    width, count = shr(code, 8) & 0xFF, shr(code, 16) & 0xFF
    m, top = (23, 255) if width == 4 else (52, 2047)
    total = 0
    for number in range(count):
        x = flushed(element(fpu + b + number * width, width), m, top, mxcsr)
        kind = kind_of(x, m, top)
        if kind >= QUIET:
            x, flags = quieted(x, m), (IE if kind == SIGNALLING else 0)
        elif kind == INFINITE:
            flags = 0
        else:
            x, flags = round_to_scale(x, control, m, top, mxcsr)
        total |= flags
        set_element(fpu + SLOW_RESULT + number * width, width, x)
    if raise_flags(fpu, total, mxcsr):
        return 1
    if code & FLOAT_SCALAR:
        memmove(fpu + d, fpu + a, 16)
    memmove(fpu + d, fpu + SLOW_RESULT, count * width)
    return 0


def pure_to_general(fpu: int, code: int, b: int, control: int) -> int:
    """CVTSD2SI and the like: the integer in SLOW_RESULT; `code` as in pure_convert."""
    mxcsr = ld64(fpu + MXCSR)
    source, to = code & 0xF, shr(code, 4) & 0xF
    x = read(fpu + b, source)
    narrow = to == I32 or to == U32
    if to == U32 or to == U64:
        value, flags = to_unsigned(x, source, 32 if narrow else 64, rounding_of(control, mxcsr), mxcsr)
    else:
        value, flags = to_integer(x, source, 32 if narrow else 64, rounding_of(control, mxcsr), mxcsr)
    if raise_flags(fpu, flags, mxcsr):
        return 1
    st64(fpu + SLOW_RESULT, value & 0xFFFFFFFF if narrow else value)
    return 0
