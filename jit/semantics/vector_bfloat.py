"""Brain floating point: the upper halves of single-precision numbers (SDM Vol. 2C VCVTNE2PS2BF16, VCVTNEPS2BF16,
VDPBF16PS). Neither MXCSR's modes nor its flags take part: rounding is to nearest, and denormals are zeros."""

from llvmlite import ir

from jit.semantics.vector_float import otherwise
from jit.vector import I1, I16, I32, I64, Kernel, constant, define, vector

SIZES = (16, 32, 64)
SIGN, MAGNITUDE, LEAST_NORMAL, INFINITE, QUIET = 1 << 31, (1 << 31) - 1, 1 << 23, 0xFF << 23, 1 << 22


def shortened(k: Kernel, x: ir.Value) -> ir.Value:
    """Single-precision numbers as 16-bit ones."""
    b, count = k.b, x.type.count

    def number(value: int) -> ir.Constant:
        return constant(I32, [value] * count)
    size = b.and_(x, number(MAGNITUDE))
    odd = b.and_(b.lshr(x, number(16)), number(1))
    rounded = b.add(x, b.add(odd, number(0x7FFF)))
    value = b.select(b.icmp_unsigned("<", size, number(LEAST_NORMAL)), b.and_(x, number(SIGN)), rounded)
    value = b.select(b.icmp_unsigned(">", size, number(INFINITE)), b.or_(x, number(QUIET)), value)
    return b.trunc(b.lshr(value, number(16)), vector(I16, count))


def convert(k: Kernel) -> None:
    """VCVTNEPS2BF16; `size` is the source's."""
    x = k.load(k.a, I32)
    result = shortened(k, x)
    if k.size == 16:
        result = k.shuffle(result, constant(I16, [0] * 4), list(range(8)))
    k.store(k.d, result)


def convert_two(k: Kernel) -> None:
    """VCVTNE2PS2BF16: B's below, A's above."""
    low, high = shortened(k, k.load(k.c, I32)), shortened(k, k.load(k.a, I32))
    k.store(k.d, k.shuffle(low, high, list(range(2 * low.type.count))))


def dot(k: Kernel) -> None:
    otherwise(k, I1(0), lambda: None, "pure_dot_bfloat", I64(k.size // 4), k.d, k.a, k.c)


define("cvtneps2bf16", convert, *SIZES)
define("cvtne2ps2bf16", convert_two, *SIZES)
define("dpbf16ps", dot, *SIZES)
