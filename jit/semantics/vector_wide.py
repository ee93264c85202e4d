"""Moves that only 256-bit vectors have (SDM Vol. 2C: VBROADCAST*, VINSERT*128, VEXTRACT*128, VPERM*)."""

from collections.abc import Callable

from llvmlite import ir

from jit.semantics.vector_integer import VECTOR
from jit.semantics.vector_shuffle import chosen
from jit.vector import I8, I16, I32, I64, I128, Kernel, constant, define


def broadcast(element: ir.IntType) -> Callable[[Kernel], None]:
    """The lowest element of A to all."""
    def emit(k: Kernel) -> None:
        k.store(k.d, k.splat(k.scalar(k.a, element), k.size * 8 // element.width))
    return emit


def insert_half(k: Kernel) -> None:
    """VINSERTF128: A with the half that the immediate names replaced by B."""
    x, half = k.load(k.a, I128), k.scalar(k.c, I128)
    k.store(k.d, k.b.insert_element(x, half, k.b.trunc(k.b.and_(k.imm, I64(1)), I32)))


def extract_half(k: Kernel) -> None:
    """VEXTRACTF128 to a register or temporary."""
    at = k.b.shl(k.b.and_(k.imm, I64(1)), I64(4))
    k.store_scalar(k.d, k.scalar(k.b.add(k.a, at), I128))


def permute_halves(k: Kernel) -> None:
    """VPERM2F128: each half one of four, or zero."""
    choices = k.b.shuffle_vector(k.load(k.a, I128), k.load(k.c, I128), constant(I32, [0, 1, 2, 3]))
    result = k.load(k.a, I128)
    for half in range(2):
        control = k.b.lshr(k.imm, I64(4 * half))
        value = k.b.extract_element(choices, k.b.trunc(k.b.and_(control, I64(3)), I32))
        clear = k.b.icmp_unsigned("!=", k.b.and_(control, I64(8)), I64(0))
        result = k.b.insert_element(result, k.b.select(clear, I128(0), value), I32(half))
    k.store(k.d, result)


def permute_by(element: ir.IntType, per: int, at: int) -> Callable[[Kernel], None]:
    """VPERMILPS, VPERMILPD, VPERMD: elements of A, by the bits of B from bit `at` up, in groups of `per`."""
    def emit(k: Kernel) -> None:
        x, y = k.load(k.a, element), k.load(k.c, element)
        result = x
        for i in range(x.type.count):
            index = k.b.lshr(k.b.extract_element(y, I32(i)), element(at))
            index = k.b.add(k.b.and_(index, element(per - 1)), element(i & -per))
            number = index if element is I32 else k.b.trunc(index, I32)
            result = k.b.insert_element(result, k.b.extract_element(x, number), I32(i))
        k.store(k.d, result)
    return emit


def permute_quads(k: Kernel) -> None:
    """VPERMQ, VPERMPD: any of four for each."""
    x = k.load(k.a, I64)
    result = x
    for i in range(4):
        result = k.b.insert_element(result, chosen(k, x, 0, 2, 2 * i), I32(i))
    k.store(k.d, result)


def permute_pairs(k: Kernel) -> None:
    """VPERMILPD by the immediate: a bit for each element."""
    x = k.load(k.a, I64)
    result = x
    for i in range(x.type.count):
        result = k.b.insert_element(result, chosen(k, x, i & -2, 1, i), I32(i))
    k.store(k.d, result)


for _suffix, _element in (("b", I8), ("w", I16), ("d", I32), ("q", I64), ("x", I128)):
    define("broadcast" + _suffix, broadcast(_element), *VECTOR)
define("insert_half", insert_half, 32)
define("extract_half", extract_half, 32)
define("permute_halves", permute_halves, 32)
define("permilps", permute_by(I32, 4, 0), *VECTOR)
define("permilpd", permute_by(I64, 2, 1), *VECTOR)
define("permd", permute_by(I32, 8, 0), 32)
define("permute_quads", permute_quads, 32)
define("permilpd_imm", permute_pairs, *VECTOR)
