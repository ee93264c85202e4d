"""Products of integers added to the destination (SDM Vol. 2C VPDPBUSD to VPDPWSSDS, VPMADD52LUQ, VPMADD52HUQ)."""

from collections.abc import Callable

from llvmlite import ir

from jit.vector import I8, I16, I32, I64, I128, Kernel, constant, define, vector

SIZES = (16, 32, 64)
PRODUCT_BITS = 52


def extended(k: Kernel, value: ir.Value, element: ir.IntType, signed: bool) -> ir.Value:
    kind = vector(element, value.type.count)
    return k.b.sext(value, kind) if signed else k.b.zext(value, kind)


def dot(element: ir.IntType, a_signed: bool, saturating: bool) -> Callable[[Kernel], None]:
    """Each doubleword of D plus the products of A's and B's elements in it; B's are signed. The sum is exact before it
    saturates."""
    def emit(k: Kernel) -> None:
        b = k.b
        x, y = k.load(k.a, element), k.load(k.c, element)
        per = 32 // element.width
        count = x.type.count // per
        wide = I64 if saturating else I32
        total = extended(k, k.load(k.d, I32), wide, True) if saturating else k.load(k.d, I32)
        for part in range(per):
            order = list(range(part, x.type.count, per))
            factors = [extended(k, k.shuffle(v, v, order), I32, s) for v, s in ((x, a_signed), (y, True))]
            product = b.mul(*factors)
            total = b.add(total, extended(k, product, wide, True) if saturating else product)
        if saturating:
            for name, bound in (("smax", -1 << 31), ("smin", (1 << 31) - 1)):
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


for _name, _element, _a_signed in (("pdpbusd", I8, False), ("pdpwssd", I16, True)):
    define(_name, dot(_element, _a_signed, False), *SIZES)
    define(_name + "s", dot(_element, _a_signed, True), *SIZES)
define("pmadd52luq", multiply_52(False), *SIZES)
define("pmadd52huq", multiply_52(True), *SIZES)
