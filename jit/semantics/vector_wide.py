"""Moves that only VEX and EVEX encodings have (SDM Vol. 2C: VBROADCAST*, VPERM2*128, VPERMIL*, VPERMQ)."""

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
    """VPERMILPS, VPERMILPD: elements of A, by the bits of B from bit `at` up, in groups of `per`."""
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
    """VPERMQ, VPERMPD by the immediate: any of the four of its 256 bits for each."""
    x = k.load(k.a, I64)
    result = x
    for i in range(x.type.count):
        result = k.b.insert_element(result, chosen(k, x, i & -4, 2, 2 * (i & 3)), I32(i))
    k.store(k.d, result)


def permute_pairs(k: Kernel) -> None:
    """VPERMILPD by the immediate: a bit for each element."""
    x = k.load(k.a, I64)
    result = x
    for i in range(x.type.count):
        result = k.b.insert_element(result, chosen(k, x, i & -2, 1, i), I32(i))
    k.store(k.d, result)


for _suffix, _element in (("b", I8), ("w", I16), ("d", I32), ("q", I64)):
    define("broadcast" + _suffix, broadcast(_element), *VECTOR)
define("permute_halves", permute_halves, 32)
define("permilps", permute_by(I32, 4, 0), *VECTOR)
define("permilpd", permute_by(I64, 2, 1), *VECTOR)
define("permute_quads", permute_quads, 32, 64)
define("permilpd_imm", permute_pairs, *VECTOR)
