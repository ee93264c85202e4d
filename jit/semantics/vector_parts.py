"""AVX-512 operations on the parts of floating-point values (SDM Vol. 2C VGETEXPPS to VFPCLASSPS), and estimates to 14
bits. jit/simd_parts.py and jit/simd_estimates.py do them; classes of values need no arithmetic."""

from collections.abc import Callable

from llvmlite import ir

from jit.fpu_layout import MXCSR
from jit.semantics.vector_float import Lanes, otherwise
from jit.semantics.wiring import GETEXP, GETMANT, RANGE, REDUCE, SCALEF
from jit.softfloat import DAZ
from jit.vector import F32, F64, I1, I64, Kernel, define

QNAN, PLUS_ZERO, MINUS_ZERO, PLUS_INFINITY, MINUS_INFINITY, DENORMAL, NEGATIVE, SNAN = range(8)


def parts(real: ir.Type, scalar: bool, operation: int) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        lanes = Lanes(k, real, scalar)
        otherwise(k, I1(0), lambda: None, "pure_parts", lanes.code(operation), k.d, k.a, k.c, k.imm)
    return emit


def repair(real: ir.Type, scalar: bool) -> Callable[[Kernel], None]:
    """VFIXUPIMM. The immediate is as jit/simd_parts.py pure_repair wants it."""
    def emit(k: Kernel) -> None:
        lanes = Lanes(k, real, scalar)
        otherwise(k, I1(0), lambda: None, "pure_repair", lanes.code(0), k.d, k.a, k.c, k.imm)
    return emit


def estimate(real: ir.Type, scalar: bool, operation: int) -> Callable[[Kernel], None]:
    """VRCP14PS and VRSQRT14PS (operation 1) and the like."""
    def emit(k: Kernel) -> None:
        lanes = Lanes(k, real, scalar)
        otherwise(k, I1(0), lambda: None, "pure_estimate14", lanes.code(operation), k.d, k.a, k.c)
    return emit


def classes(real: ir.Type) -> Callable[[Kernel], None]:
    """VFPCLASS: all ones where the element of A is of a class that the immediate has a bit for."""
    def emit(k: Kernel) -> None:
        lanes, b = Lanes(k, real, False), k.b
        _, bits = lanes.load(k.a)
        negative = b.icmp_signed("<", bits, lanes.number(0))
        size = lanes.magnitude(bits)
        top = lanes.number(lanes.top << lanes.fraction)
        mxcsr = k.scalar(I64(MXCSR), I64)
        flushing = k.splat(b.icmp_unsigned("!=", b.and_(mxcsr, I64(DAZ)), I64(0)), lanes.count)
        small = b.icmp_unsigned("<", size, lanes.number(1 << lanes.fraction))
        none = b.icmp_unsigned("==", size, lanes.number(0))
        denormal = b.and_(b.and_(small, b.not_(none)), b.not_(flushing))
        zero = b.and_(small, b.not_(denormal))
        infinite = b.icmp_unsigned("==", size, top)
        nan = b.icmp_unsigned(">", size, top)
        quiet = b.icmp_unsigned(">=", size, lanes.number(lanes.top << lanes.fraction | 1 << lanes.fraction - 1))
        finite = b.icmp_unsigned("<", size, top)
        positive = b.not_(negative)
        conditions = {QNAN: quiet, PLUS_ZERO: b.and_(zero, positive), MINUS_ZERO: b.and_(zero, negative),
                      PLUS_INFINITY: b.and_(infinite, positive), MINUS_INFINITY: b.and_(infinite, negative),
                      DENORMAL: denormal, NEGATIVE: b.and_(b.and_(finite, negative), b.not_(zero)),
                      SNAN: b.and_(nan, b.not_(quiet))}
        result = k.splat(I1(0), lanes.count)
        for number, condition in conditions.items():
            wanted = k.splat(b.trunc(b.lshr(k.imm, I64(number)), I1), lanes.count)
            result = b.or_(result, b.and_(condition, wanted))
        k.store(k.d, b.sext(result, bits.type))
    return emit


for _suffix, _real, _scalar in (("ps", F32, False), ("pd", F64, False), ("ss", F32, True), ("sd", F64, True)):
    _sizes = ((4 if _real is F32 else 8),) if _scalar else (16, 32, 64)
    for _name, _operation in (("getexp", GETEXP), ("getmant", GETMANT), ("scalef", SCALEF), ("range", RANGE),
                              ("reduce", REDUCE)):
        define(_name + _suffix, parts(_real, _scalar, _operation), *_sizes)
    define("fixupimm" + _suffix, repair(_real, _scalar), *_sizes)
    define("rcp14" + _suffix, estimate(_real, _scalar, 0), *_sizes)
    define("rsqrt14" + _suffix, estimate(_real, _scalar, 1), *_sizes)
    if not _scalar:
        define("fpclass" + _suffix, classes(_real), *_sizes)
