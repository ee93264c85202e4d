"""Products of integers added to the destination (SDM Vol. 2C VPDPBUSD to VPDPWUUDS, VPMADD52LUQ, VPMADD52HUQ)."""

from collections.abc import Callable

from llvmlite import ir

from jit.vector import I8, I16, I32, I64, I128, Kernel, constant, define, vector

SIZES = (16, 32, 64)
PRODUCT_BITS = 52


def extended(k: Kernel, value: ir.Value, element: ir.IntType, signed: bool) -> ir.Value:
    kind = vector(element, value.type.count)
    return k.b.sext(value, kind) if signed else k.b.zext(value, kind)


def dot(element: ir.IntType, a_signed: bool, b_signed: bool, saturating: bool) -> Callable[[Kernel], None]:
    """Each doubleword of D plus the products of A's and B's elements in it; the sum is exact before it saturates, to
    signed where a factor is signed, else to unsigned."""
    def emit(k: Kernel) -> None:
        b = k.b
        x, y = k.load(k.a, element), k.load(k.c, element)
        per = 32 // element.width
        count = x.type.count // per
        signed = a_signed or b_signed
        wide = I64 if saturating else I32
        total = extended(k, k.load(k.d, I32), wide, signed) if saturating else k.load(k.d, I32)
        for part in range(per):
            order = list(range(part, x.type.count, per))
            factors = [extended(k, k.shuffle(v, v, order), I32, s) for v, s in ((x, a_signed), (y, b_signed))]
            product = b.mul(*factors)
            total = b.add(total, extended(k, product, wide, signed) if saturating else product)
        if saturating:
            low, high = (-1 << 31, (1 << 31) - 1) if signed else (0, (1 << 32) - 1)
            for name, bound in (("smax", low), ("smin", high)):
                total = k.intrinsic(name, total, constant(I64, [bound] * count))
            total = b.trunc(total, vector(I32, count))
        k.store(k.d, total)
    return emit


def multiply_52(high: bool) -> Callable[[Kernel], None]:
    """Each quadword of D plus the low or high 52 bits of the product of the low 52 bits of A's and B's."""
    def emit(k: Kernel) -> None:
        b = k.b
        count = k.size // 8
        mask = constant(I64, [(1 << PRODUCT_BITS) - 1] * count)
        x, y = (b.and_(k.load(word, I64), mask) for word in (k.a, k.c))
        if high:
            wide = vector(I128, count)
            product = b.mul(b.zext(x, wide), b.zext(y, wide))
            part = b.trunc(b.lshr(product, constant(I128, [PRODUCT_BITS] * count)), x.type)
        else:
            part = b.and_(b.mul(x, y), mask)
        k.store(k.d, b.add(k.load(k.d, I64), part))
    return emit


for _letter, _element in (("b", I8), ("w", I16)):
    for _signs in ("us", "ss", "su", "uu"):
        for _suffix in ("d", "ds"):
            define(f"pdp{_letter}{_signs}{_suffix}",
                   dot(_element, _signs[0] == "s", _signs[1] == "s", _suffix == "ds"), *SIZES)
define("pmadd52luq", multiply_52(False), *SIZES)
define("pmadd52huq", multiply_52(True), *SIZES)
