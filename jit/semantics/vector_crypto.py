"""Carry-less multiplication (SDM Vol. 2B PCLMULQDQ)."""

from jit.semantics.vector_integer import VECTOR
from jit.vector import I64, I128, Kernel, define


def carry_less_product(k: Kernel) -> None:
    """In each 128-bit lane the product of one quadword of A and one of B, by bits 0 and 4 of the immediate."""
    b = k.b
    for lane in range(0, k.size, 16):
        offsets = [b.shl(b.and_(b.lshr(k.imm, I64(at)), I64(1)), I64(3)) for at in (0, 4)]
        x = b.zext(k.scalar(b.add(k.a, offsets[0]), I64, lane), I128)
        y = b.zext(k.scalar(b.add(k.c, offsets[1]), I64, lane), I128)
        total = I128(0)
        for bit in range(64):
            wanted = b.and_(b.lshr(y, I128(bit)), I128(1))
            total = b.xor(total, b.and_(b.shl(x, I128(bit)), b.sub(I128(0), wanted)))
        k.store_scalar(k.d, total, lane)


define("pclmulqdq", carry_less_product, *VECTOR)
