"""SHA-1 and SHA-256 steps (SDM Vol. 2B SHA1MSG1 to SHA256RNDS2; FIPS 180-4). A is also the destination."""

from collections.abc import Callable

from llvmlite import ir

from jit.fpu_layout import xmm
from jit.vector import I32, I64, Kernel, define

SHA1_CONSTANTS = (0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6)      # FIPS 180-4 4.2.1
Words = list[ir.Value]
Step = Callable[[Kernel, Words, Words], Words]


def words(k: Kernel, word: ir.Value) -> Words:
    """Four doublewords, the lowest first."""
    value = k.load(word, I32)
    return [k.b.extract_element(value, I32(i)) for i in range(4)]


def right(k: Kernel, x: ir.Value, count: int) -> ir.Value:
    """Rotated right."""
    return k.b.or_(k.b.lshr(x, I32(count)), k.b.shl(x, I32(32 - count)))


def left(k: Kernel, x: ir.Value, count: int) -> ir.Value:
    return right(k, x, 32 - count)


def xor(k: Kernel, *values: ir.Value) -> ir.Value:
    total = values[0]
    for value in values[1:]:
        total = k.b.xor(total, value)
    return total


def add(k: Kernel, *values: ir.Value) -> ir.Value:
    total = values[0]
    for value in values[1:]:
        total = k.b.add(total, value)
    return total


def choose(k: Kernel, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """Ch (FIPS 180-4 4.1)."""
    return k.b.xor(k.b.and_(x, k.b.xor(y, z)), z)


def majority(k: Kernel, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    return k.b.or_(k.b.and_(x, y), k.b.and_(z, k.b.or_(x, y)))


def small_sigma(k: Kernel, x: ir.Value, first: int, second: int, shift: int) -> ir.Value:
    return xor(k, right(k, x, first), right(k, x, second), k.b.lshr(x, I32(shift)))


def big_sigma(k: Kernel, x: ir.Value, *counts: int) -> ir.Value:
    return xor(k, *(right(k, x, count) for count in counts))


def step(operate: Step) -> Callable[[Kernel], None]:
    """A micro-op from a function of the doublewords of A and of B, lowest first, to those of the result."""
    def emit(k: Kernel) -> None:
        result = k.load(k.a, I32)
        for i, word in enumerate(operate(k, words(k, k.a), words(k, k.c))):
            result = k.b.insert_element(result, word, I32(i))
        k.store(k.d, result)
    return emit


def sha1_schedule_1(k: Kernel, x: Words, y: Words) -> Words:
    """SHA1MSG1."""
    w5, w4 = y[2], y[3]
    return [k.b.xor(w5, x[0]), k.b.xor(w4, x[1]), k.b.xor(x[0], x[2]), k.b.xor(x[1], x[3])]


def sha1_schedule_2(k: Kernel, x: Words, y: Words) -> Words:
    """SHA1MSG2."""
    w16 = left(k, k.b.xor(x[3], y[2]), 1)
    w17, w18 = left(k, k.b.xor(x[2], y[1]), 1), left(k, k.b.xor(x[1], y[0]), 1)
    return [left(k, k.b.xor(x[0], w16), 1), w18, w17, w16]


def sha1_next(k: Kernel, x: Words, y: Words) -> Words:
    """SHA1NEXTE."""
    return [*y[:3], k.b.add(y[3], left(k, x[3], 30))]


def sha256_schedule_1(k: Kernel, x: Words, y: Words) -> Words:
    """SHA256MSG1."""
    following = [*x[1:], y[0]]
    return [k.b.add(w, small_sigma(k, n, 7, 18, 3)) for w, n in zip(x, following, strict=True)]


def sha256_schedule_2(k: Kernel, x: Words, y: Words) -> Words:
    """SHA256MSG2."""
    w16 = k.b.add(x[0], small_sigma(k, y[2], 17, 19, 10))
    w17 = k.b.add(x[1], small_sigma(k, y[3], 17, 19, 10))
    return [w16, w17, k.b.add(x[2], small_sigma(k, w16, 17, 19, 10)), k.b.add(x[3], small_sigma(k, w17, 17, 19, 10))]


def sha256_rounds(k: Kernel, x: Words, y: Words) -> Words:
    """SHA256RNDS2: A holds H, G, D, C and B holds F, E, B, A, lowest first; XMM0 what is added in each round."""
    h, g, d, c = x
    f, e, b, a = y
    for number in range(2):
        given = k.scalar(I64(xmm(0)), I32, 4 * number)
        first = add(k, choose(k, e, f, g), big_sigma(k, e, 6, 11, 25), given, h)
        second = add(k, majority(k, a, b, c), big_sigma(k, a, 2, 13, 22))
        h, g, f, e, d, c, b, a = g, f, e, k.b.add(d, first), c, b, a, k.b.add(first, second)
    return [f, e, b, a]


def sha1_rounds(k: Kernel) -> None:
    """SHA1RNDS4: A holds D, C, B, A, lowest first; B the words, in the highest of which E is contained already."""
    b = k.b
    kind = b.and_(k.imm, I64(3))
    is_kind = [b.icmp_unsigned("==", kind, I64(i)) for i in range(4)]
    value = I32(SHA1_CONSTANTS[0])
    for i in range(1, 4):
        value = b.select(is_kind[i], I32(SHA1_CONSTANTS[i]), value)
    d, c, bb, a = words(k, k.a)
    schedule = words(k, k.c)[::-1]
    e = I32(0)
    for word in schedule:
        parity = xor(k, bb, c, d)
        mixed = b.select(is_kind[0], choose(k, bb, c, d), b.select(is_kind[2], majority(k, bb, c, d), parity))
        total = add(k, mixed, left(k, a, 5), word, e, value)
        a, bb, c, d, e = total, a, left(k, bb, 30), c, d
    result = k.load(k.a, I32)
    for i, word in enumerate((d, c, bb, a)):
        result = b.insert_element(result, word, I32(i))
    k.store(k.d, result)


for _name, _operate in (("sha1msg1", sha1_schedule_1), ("sha1msg2", sha1_schedule_2), ("sha1nexte", sha1_next),
                        ("sha256msg1", sha256_schedule_1), ("sha256msg2", sha256_schedule_2),
                        ("sha256rnds2", sha256_rounds)):
    define(_name, step(_operate), 16)
define("sha1rnds4", sha1_rounds, 16)
