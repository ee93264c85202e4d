"""SSE and AVX floating point, exact in every mode: what vector instructions do where the host's arithmetic does not
serve (jit/semantics/vector_float.py). One call does all elements of an instruction.

The functions take the address of the FPU file and no state, so that compiled regions may call them. They give 0, or 1
where an exception is unmasked; then MXCSR has its flags and the destination is unchanged (SDM Vol. 1 11.5.2, 11.5.3).
"""

from jit.fpu_layout import MXCSR, SLOW_RESULT
from jit.native import inline, ld32, ld64, memmove, shr, st32, st64
from jit.semantics.wiring import ADD, ADDSUB, FLOAT_SCALAR, MAX, MIN, MUL, ROOT, SUB
from jit.softfloat import (
    DAZ,
    DE,
    FINITE,
    IE,
    INFINITE,
    MASK_SHIFT,
    OE,
    PE,
    QUIET,
    SIGNALLING,
    UE,
    ZE,
    ZERO,
    add_finite,
    default_nan,
    divide_finite,
    infinity,
    is_denormal,
    kind_of,
    multiply_finite,
    quieted,
    root_finite,
    sign_of,
    signed_zero,
)

BEFORE = IE | DE | ZE


@inline
def element(address: int, width: int) -> int:
    return ld32(address) if width == 4 else ld64(address)


@inline
def set_element(address: int, width: int, value: int) -> None:
    if width == 4:
        st32(address, value)
    else:
        st64(address, value)


@inline
def flushed(x: int, m: int, top: int, mxcsr: int) -> int:
    """A source operand: with DAZ, denormals are zeros."""
    return signed_zero(x, m, top) if mxcsr & DAZ and is_denormal(x, m, top) else x


@inline
def raise_flags(fpu: int, flags: int, mxcsr: int) -> int:
    """Note exceptions in MXCSR; 1 if one of them is unmasked. Those after the computation need it to be done."""
    unmasked = flags & ~shr(mxcsr, MASK_SHIFT)
    if unmasked & BEFORE:
        st64(fpu + MXCSR, mxcsr | (flags & BEFORE))
        return 1
    st64(fpu + MXCSR, mxcsr | flags)
    return 1 if unmasked & (OE | UE | PE) else 0


@inline
def nan_result(x: int, y: int, kx: int, ky: int, m: int) -> tuple[int, int]:
    """(bits, flags) where an operand is a NaN: the first that is one, quieted (SDM Vol. 1 table 4-7)."""
    return (quieted(x, m) if kx >= QUIET else quieted(y, m)), (IE if kx == SIGNALLING or ky == SIGNALLING else 0)


@inline
def less(x: int, y: int, m: int, top: int) -> int:
    """x < y, neither a NaN."""
    sx, sy = sign_of(x, m, top), sign_of(y, m, top)
    if (x | y) & ((((top + 1) << m)) - 1) == 0:
        return False
    if sx != sy:
        return sx
    return ult_by_sign(x, y, sx)


@inline
def ult_by_sign(x: int, y: int, negative: int) -> bool:
    """Order of values of the same sign by their bits."""
    if x == y:
        return False
    smaller = (x ^ (-1 << 63)) < (y ^ (-1 << 63))
    return not smaller if negative else smaller


@inline
def arithmetic(operation: str, x: int, y: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags) of one element."""
    x, y = flushed(x, m, top, mxcsr), flushed(y, m, top, mxcsr)
    kx, ky = kind_of(x, m, top), kind_of(y, m, top)
    denormal = DE if is_denormal(x, m, top) or is_denormal(y, m, top) else 0
    if operation == MIN or operation == MAX:
        if kx >= QUIET or ky >= QUIET:
            return y, IE
        first = less(x, y, m, top) if operation == MIN else less(y, x, m, top)
        return (x if first else y), denormal
    if kx >= QUIET or ky >= QUIET:
        return nan_result(x, y, kx, ky, m)
    sx, sy = 1 if sign_of(x, m, top) else 0, 1 if sign_of(y, m, top) else 0
    if operation == SUB:
        y ^= (top + 1) << m
        sy ^= 1
    if operation == ADD or operation == SUB:
        if kx == INFINITE or ky == INFINITE:
            if kx == ky and sx != sy:
                return default_nan(m, top), IE
            return (x if kx == INFINITE else y), denormal
        if kx == ZERO and ky == ZERO:
            return add_zeros(x, y, sx, sy, m, top, mxcsr), 0
        if kx == ZERO or ky == ZERO:
            return alone(y if kx == ZERO else x, m, top, mxcsr, denormal)
        bits, flags = add_finite(sx, x, sy, y, m, top, mxcsr)
        return bits, flags | denormal
    sign = sx ^ sy
    if operation == MUL:
        if kx == INFINITE or ky == INFINITE:
            if kx == ZERO or ky == ZERO:
                return default_nan(m, top), IE
            return infinity(sign, m, top), denormal
        if kx == ZERO or ky == ZERO:
            return signed_zero(x ^ y, m, top), denormal
        bits, flags = multiply_finite(sign, x, y, m, top, mxcsr)
        return bits, flags | denormal
    if kx == ky and kx != FINITE:
        return default_nan(m, top), IE
    if kx == INFINITE:
        return infinity(sign, m, top), denormal
    if kx == ZERO or ky == INFINITE:
        return signed_zero(x ^ y, m, top), denormal
    if ky == ZERO:
        return infinity(sign, m, top), ZE
    bits, flags = divide_finite(sign, x, y, m, top, mxcsr)
    return bits, flags | denormal


@inline
def add_zeros(x: int, y: int, sx: int, sy: int, m: int, top: int, mxcsr: int) -> int:
    """0 + 0: negative where both are, or where they differ and rounding is down."""
    if sx == sy:
        return x
    return signed_zero(-1, m, top) if shr(mxcsr, 13) & 3 == 1 else 0


@inline
def alone(x: int, m: int, top: int, mxcsr: int, denormal: int) -> tuple[int, int]:
    """(bits, flags) of x + 0: a denormal result still underflows."""
    if denormal == 0:
        return x, 0
    if shr(mxcsr, MASK_SHIFT) & UE == 0:
        return x, denormal | UE
    if mxcsr & 0x8000:
        return signed_zero(x, m, top), denormal | UE | PE
    return x, denormal


@inline
def square_root(x: int, m: int, top: int, mxcsr: int) -> tuple[int, int]:
    """(bits, flags)."""
    x = flushed(x, m, top, mxcsr)
    kind = kind_of(x, m, top)
    if kind >= QUIET:
        return quieted(x, m), (IE if kind == SIGNALLING else 0)
    if kind == ZERO:
        return x, 0
    if sign_of(x, m, top):
        return default_nan(m, top), IE
    if kind == INFINITE:
        return x, 0
    bits, flags = root_finite(x, m, top, mxcsr)
    return bits, flags | (DE if is_denormal(x, m, top) else 0)


@inline
def deliver(fpu: int, code: int, d: int, a: int, flags: int, mxcsr: int) -> int:
    """Note the flags, and write the result to D unless an exception is unmasked, which gives 1."""
    if raise_flags(fpu, flags, mxcsr):
        return 1
    if code & FLOAT_SCALAR:
        memmove(fpu + d, fpu + a, 16)
    memmove(fpu + d, fpu + SLOW_RESULT, (shr(code, 8) & 0xFF) * (shr(code, 16) & 0xFF))
    return 0


def pure_arithmetic(fpu: int, code: int, d: int, a: int, b: int) -> int:
    """`code`: operation, element width in bits 15:8, number of elements in bits 23:16, FLOAT_SCALAR."""
    mxcsr = ld64(fpu + MXCSR)
    operation, width, count = code & 0xFF, shr(code, 8) & 0xFF, shr(code, 16) & 0xFF
    m, top = (23, 255) if width == 4 else (52, 2047)
    total = 0
    for number in range(count):
        at = number * width
        y = element(fpu + b + at, width)
        if operation == ROOT:
            bits, flags = square_root(y, m, top, mxcsr)
        else:
            step = (SUB if number & 1 == 0 else ADD) if operation == ADDSUB else operation
            bits, flags = arithmetic(step, element(fpu + a + at, width), y, m, top, mxcsr)
        total |= flags
        set_element(fpu + SLOW_RESULT + at, width, bits)
    return deliver(fpu, code, d, a, total, mxcsr)


@inline
def relation(x: int, y: int, m: int, top: int, mxcsr: int, signals: int) -> tuple[int, int]:
    """(1 less, 2 equal, 4 greater or 8 unordered; flags)."""
    x, y = flushed(x, m, top, mxcsr), flushed(y, m, top, mxcsr)
    kx, ky = kind_of(x, m, top), kind_of(y, m, top)
    if kx >= QUIET or ky >= QUIET:
        return 8, (IE if signals != 0 or kx == SIGNALLING or ky == SIGNALLING else 0)
    denormal = DE if is_denormal(x, m, top) or is_denormal(y, m, top) else 0
    if less(x, y, m, top):
        return 1, denormal
    return (4 if less(y, x, m, top) else 2), denormal


def pure_compare(fpu: int, code: int, d: int, a: int, b: int, predicate: int) -> int:
    """CMPPS and the like, `code` as in `pure_arithmetic`. `predicate`: the relations that it holds for, and bit 4 where
    it signals quiet NaNs."""
    mxcsr = ld64(fpu + MXCSR)
    width, count = shr(code, 8) & 0xFF, shr(code, 16) & 0xFF
    m, top = (23, 255) if width == 4 else (52, 2047)
    total = 0
    for number in range(count):
        at = number * width
        found, flags = relation(element(fpu + a + at, width), element(fpu + b + at, width), m, top, mxcsr,
                                predicate & 16)
        total |= flags
        set_element(fpu + SLOW_RESULT + at, width, -1 if found & predicate else 0)
    return deliver(fpu, code, d, a, total, mxcsr)


def pure_compare_flags(fpu: int, code: int, a: int, b: int, signals: int) -> int:
    """COMISS and the like: bit 0 CF, bit 1 ZF, bit 2 PF; -1 where an exception is unmasked."""
    mxcsr = ld64(fpu + MXCSR)
    width = shr(code, 8) & 0xFF
    m, top = (23, 255) if width == 4 else (52, 2047)
    found, flags = relation(element(fpu + a, width), element(fpu + b, width), m, top, mxcsr, signals)
    if raise_flags(fpu, flags, mxcsr):
        return -1
    if found == 8:
        return 7
    return found & 3
