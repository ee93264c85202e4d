"""Fused multiply-add (SDM Vol. 2C VFMADD* to VFNMSUB*).

A and B are the factors in the order in which a NaN among them is taken, the immediate is the addend's place in the FPU
file. On hosts without FMA instructions jit/simd_fma.py does all of it.
"""

from collections.abc import Callable

from llvmlite import ir

from jit.host_features import host_has
from jit.semantics.vector_float import Lanes, otherwise, usual_mode
from jit.semantics.wiring import FMA_ALTERNATE, FMA_NEGATE_ADDEND, FMA_NEGATE_PRODUCT
from jit.vector import F32, F64, I1, Kernel, define

OPERATIONS = {"fmadd": 0, "fmsub": FMA_NEGATE_ADDEND, "fnmadd": FMA_NEGATE_PRODUCT,
              "fnmsub": FMA_NEGATE_PRODUCT | FMA_NEGATE_ADDEND, "fmaddsub": FMA_ALTERNATE,
              "fmsubadd": FMA_ALTERNATE | FMA_NEGATE_ADDEND}


def negated_elements(lanes: Lanes, operation: int) -> ir.Constant:
    """The sign bit where the addend is negated, else 0."""
    sign = 1 << lanes.whole.width - 1
    flips = [bool(operation & FMA_NEGATE_ADDEND) ^ bool(operation & FMA_ALTERNATE and number & 1 == 0)
             for number in range(lanes.count)]
    values = [sign if flip else 0 for flip in flips]
    return lanes.whole(values[0]) if lanes.scalar else ir.Constant(ir.VectorType(lanes.whole, lanes.count), values)


def fused(real: ir.Type, scalar: bool, operation: int) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        lanes, b = Lanes(k, real, scalar), k.b
        arguments = (lanes.code(operation), k.d, k.a, k.c, k.imm)
        if not host_has("fma"):
            otherwise(k, I1(0), lambda: None, "pure_fma", *arguments)
            return
        x, xi = lanes.load(k.a)
        y, yi = lanes.load(k.c)
        z, zi = lanes.load(k.imm)
        if operation & FMA_NEGATE_PRODUCT:
            x = b.bitcast(b.xor(xi, lanes.number(1 << lanes.whole.width - 1)), x.type)
        z = b.bitcast(b.xor(zi, negated_elements(lanes, operation)), z.type)
        bits = lanes.bits(k.intrinsic("fma", x, y, z))
        usual, ordinary = usual_mode(k), lanes.ordinary(xi, yi, zi)
        good = lanes.all(b.and_(ordinary, lanes.safely_normal(bits)))

        def rare() -> ir.Value:
            """A zero is exact where it is not a product that is too small."""
            zero_product = b.or_(lanes.zero(xi), lanes.zero(yi))
            exact = b.and_(lanes.zero(bits), b.or_(lanes.normal(zi), zero_product))
            return b.and_(usual, lanes.all(b.and_(ordinary, b.or_(lanes.safely_normal(bits), exact))))

        def finish() -> None:
            if scalar:
                k.store_scalar(k.d, bits)
            else:
                k.store(k.d, bits)
        otherwise(k, b.and_(usual, good), finish, "pure_fma", *arguments, rare=rare)
    return emit


for _suffix, _real, _scalar in (("ps", F32, False), ("pd", F64, False), ("ss", F32, True), ("sd", F64, True)):
    _sizes = ((4 if _real is F32 else 8),) if _scalar else (16, 32, 64)
    for _name, _operation in OPERATIONS.items():
        if not (_scalar and _operation & FMA_ALTERNATE):
            define(_name + _suffix, fused(_real, _scalar, _operation), *_sizes)
