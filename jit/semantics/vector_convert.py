"""Conversions between floating-point formats and integers, and rounding to integral values (SDM Vol. 2: CVT*, ROUND*).

As in jit/semantics/vector_float.py, the host converts where that can change nothing but the destination, and
jit/simd_convert.py does the rest. The immediate is its `control`: a rounding mode, or BY_MXCSR.
"""

from collections.abc import Callable

from llvmlite import ir

from jit.fpu_layout import MXCSR, SLOW_RESULT
from jit.host_features import host_has
from jit.semantics import wiring
from jit.semantics.vector_float import Lanes, otherwise, raise_fault, usual_mode
from jit.semantics.wiring import BY_MXCSR, CONVERT_FILL, FLOAT_SCALAR, SUPPRESS_INEXACT
from jit.softfloat import ROUND_SHIFT
from jit.vector import F32, F64, I1, I32, I64, Kernel, define, vector

KIND = {F32: wiring.F32, F64: wiring.F64, I32: wiring.I32, I64: wiring.I64}
BYTES = {wiring.F16: 2, wiring.F32: 4, wiring.F64: 8, wiring.I32: 4, wiring.I64: 8, wiring.U32: 4, wiring.U64: 8}
MAGIC = float(3 << 51)              # adding and taking it away rounds a double below 2**51 to an integer
TRUNCATE = 3


def convert_code(source: ir.Type, to: ir.Type, count: int, extra: int = 0) -> ir.Constant:
    """The first argument of jit/simd_convert.py's functions."""
    return I64(KIND[source] | KIND[to] << 4 | count << 16 | extra)


def inexact_noted(k: Kernel) -> ir.Value:
    """Whether PE is set and masked."""
    mxcsr = k.scalar(I64(MXCSR), I64)
    return k.b.icmp_unsigned("==", k.b.and_(mxcsr, I64(0x1020)), I64(0x1020))


def store_filled(k: Kernel, value: ir.Value, fill: bool) -> None:
    """A result narrower than its register, the rest of 16 bytes cleared."""
    if fill:
        k.store(k.d, ir.Constant(vector(I64, 2), [0, 0]))
    k.store(k.d, value)


def rounded(k: Kernel, x: ir.Value, truncate: bool) -> ir.Value:
    """Doubles below 2**51 as doubles of integral value."""
    if truncate:
        return x
    packed = isinstance(x.type, ir.VectorType)
    magic = ir.Constant(x.type, [MAGIC] * x.type.count if packed else MAGIC)
    return k.b.fsub(k.b.fadd(x, magic), magic)


def packed_to_integer(real: ir.Type, truncate: bool) -> Callable[[Kernel], None]:
    """CVTPS2DQ, CVTPD2DQ and the truncating ones. `size` is the source's width."""
    def emit(k: Kernel) -> None:
        lanes, b = Lanes(k, real, False), k.b
        x, bits = lanes.load(k.c)
        small = lanes.between(bits, 1, lanes.top // 2 + 29)
        good = lanes.all(b.or_(small, lanes.zero(bits)))
        fill = real is F64 and k.size == 16

        def finish() -> None:
            wide = x if real is F64 else b.fpext(x, vector(F64, lanes.count))
            store_filled(k, b.fptosi(rounded(k, wide, truncate), vector(I32, lanes.count)), fill)
        mode = inexact_noted(k) if truncate else usual_mode(k)
        otherwise(k, b.and_(mode, good), finish, "pure_convert",
                  convert_code(real, I32, lanes.count, CONVERT_FILL if fill else 0), k.d, k.a, k.c, k.imm)
    return emit


def scalar_to_general(real: ir.Type, to: ir.Type, truncate: bool) -> Callable[[Kernel], None]:
    """CVTSD2SI and the like: the element B to the general register D."""
    def emit(k: Kernel) -> None:
        lanes, b = Lanes(k, real, True), k.b
        x, bits = lanes.load(k.c)
        limit = 29 if to is I32 else 49
        good = b.or_(lanes.between(bits, 1, lanes.top // 2 + limit), lanes.zero(bits))
        mode = inexact_noted(k) if truncate else usual_mode(k)
        direct, exact, done, raised, taken = (k.function.append_basic_block() for _ in range(5))
        b.cbranch(b.and_(mode, good), direct, exact).set_weights([64, 1])
        b.position_at_end(direct)
        wide = x if real is F64 else b.fpext(x, F64)
        value = b.fptosi(rounded(k, wide, truncate), to)
        k.set_register(k.d, b.zext(value, I64) if to is I32 else value)
        b.branch(done)
        b.position_at_end(exact)
        status = k.call("strata_pure_to_general", I64, k.fpu, convert_code(real, to, 1), k.c, k.imm)
        b.cbranch(b.icmp_unsigned("==", status, I64(0)), taken, raised)
        b.position_at_end(raised)
        raise_fault(k)
        b.position_at_end(taken)
        k.set_register(k.d, k.scalar(I64(SLOW_RESULT), I64))
        b.branch(done)
        b.position_at_end(done)
    return emit


def packed_from_integer(real: ir.Type) -> Callable[[Kernel], None]:
    """CVTDQ2PS, CVTDQ2PD. `size` is the destination's width."""
    def emit(k: Kernel) -> None:
        b = k.b
        count = k.size // (4 if real is F32 else 8)
        x = k.load(k.c, I32, count)

        def finish() -> None:
            k.store(k.d, b.sitofp(x, vector(real, count)))
        if real is F64:
            finish()
        else:
            otherwise(k, usual_mode(k), finish, "pure_convert", convert_code(I32, real, count), k.d, k.a, k.c, k.imm)
    return emit


def scalar_from_general(source: ir.Type, real: ir.Type) -> Callable[[Kernel], None]:
    """CVTSI2SD and the like: the general register B into the low element, the rest from A."""
    def emit(k: Kernel) -> None:
        lanes, b = Lanes(k, real, True), k.b
        value = k.register(k.c, source)

        def finish() -> None:
            lanes.store(lanes.bits(b.sitofp(value, real)))
        if source is I32 and real is F64:
            finish()
            return
        k.store_scalar(I64(SLOW_RESULT + 32), value)
        otherwise(k, usual_mode(k), finish, "pure_convert", convert_code(source, real, 1, FLOAT_SCALAR), k.d, k.a,
                  I64(SLOW_RESULT + 32), k.imm)
    return emit


def change_format(source: ir.Type, to: ir.Type, scalar: bool) -> Callable[[Kernel], None]:
    """CVTPS2PD, CVTPD2PS, CVTSS2SD, CVTSD2SS. `size` is the wider operand's width."""
    def emit(k: Kernel) -> None:
        b = k.b
        count = 1 if scalar else k.size // 8
        whole = I32 if source is F32 else I64
        bits = k.scalar(k.c, whole) if scalar else k.load(k.c, whole, count)
        lanes = Lanes(k, source, scalar)
        lanes.count = count
        other = Lanes(k, to, scalar)
        other.count = count
        x = b.bitcast(bits, source if scalar else vector(source, count))
        kind = to if scalar else vector(to, count)
        if to is F64:
            result = b.fpext(x, kind)
            good = lanes.all(lanes.comparable(bits))
        else:
            result = b.fptrunc(x, kind)
            safe = b.and_(lanes.normal(bits), other.safely_normal(other.bits(result)))
            good = b.and_(usual_mode(k), lanes.all(b.or_(safe, lanes.zero(bits))))
        fill = not scalar and to is F32 and k.size == 16

        def finish() -> None:
            if scalar:
                other.store(other.bits(result))
            else:
                store_filled(k, result, fill)
        extra = FLOAT_SCALAR if scalar else CONVERT_FILL if fill else 0
        otherwise(k, good, finish, "pure_convert", convert_code(source, to, count, extra), k.d, k.a, k.c, k.imm)
    return emit


def round_integral(real: ir.Type, scalar: bool) -> Callable[[Kernel], None]:
    """ROUNDPS, VRNDSCALEPS and the like. The host rounds normal numbers to integers where inexactness needs no note."""
    def emit(k: Kernel) -> None:
        lanes, b = Lanes(k, real, scalar), k.b
        if not host_has("sse4.1"):
            otherwise(k, I1(0), lambda: None, "pure_round", lanes.code(0), k.d, k.a, k.c, k.imm)
            return
        x, bits = lanes.load(k.c)
        mxcsr = k.scalar(I64(MXCSR), I64)
        mode = b.select(truth(b, k.imm, BY_MXCSR), b.lshr(mxcsr, I64(ROUND_SHIFT)), k.imm)
        value = lanes.bits(k.intrinsic("rint", x))
        for number, name in ((1, "floor"), (2, "ceil"), (3, "trunc")):
            wanted = b.icmp_unsigned("==", b.and_(mode, I64(3)), I64(number))
            value = b.select(wanted, lanes.bits(k.intrinsic(name, x)), value)
        quiet = b.or_(truth(b, k.imm, SUPPRESS_INEXACT), inexact_noted(k))
        whole = b.icmp_unsigned("==", b.and_(k.imm, I64(0xF0)), I64(0))
        good = lanes.all(b.or_(lanes.normal(bits), lanes.zero(bits)))
        otherwise(k, b.and_(b.and_(quiet, whole), good), lambda: lanes.store(value), "pure_round", lanes.code(0), k.d,
                  k.a, k.c, k.imm)
    return emit


def truth(b: ir.IRBuilder, word: ir.Value, bit: int) -> ir.Value:
    """Whether a word has a bit."""
    return b.icmp_unsigned("!=", b.and_(word, I64(bit)), I64(0))


def mmx_to_packed(k: Kernel) -> None:
    """CVTPI2PS: two integers into the low half, the rest from A."""
    rest = k.load(k.a, I64, 2)
    otherwise(k, I1(0), lambda: None, "pure_convert", convert_code(I32, F32, 2), k.d, k.a, k.c, k.imm)
    k.store(k.d, k.b.insert_element(rest, k.scalar(k.d, I64), I32(0)))


def packed_to_mmx(real: ir.Type) -> Callable[[Kernel], None]:
    """CVTPS2PI, CVTPD2PI and the truncating ones."""
    def emit(k: Kernel) -> None:
        otherwise(k, I1(0), lambda: None, "pure_convert", convert_code(real, I32, 2), k.d, k.a, k.c, k.imm)
    return emit


def half_precision(source: int, to: int) -> Callable[[Kernel], None]:
    """VCVTPH2PS, VCVTPS2PH. `size` is that of the single-precision operand."""
    def emit(k: Kernel) -> None:
        fill = CONVERT_FILL if to == wiring.F16 and k.size == 16 else 0
        code = I64(source | to << 4 | (k.size // 4) << 16 | fill)
        otherwise(k, I1(0), lambda: None, "pure_convert", code, k.d, k.a, k.c, k.imm)
    return emit


def exact_only(source: int, to: int) -> Callable[[Kernel], None]:
    """Conversions that jit/simd_convert.py does whatever the operands. `size` is the wider operand's width."""
    def emit(k: Kernel) -> None:
        count = k.size // max(BYTES[source], BYTES[to])
        fill = CONVERT_FILL if count * BYTES[to] < 16 else 0
        code = I64(source | to << 4 | count << 16 | fill)
        otherwise(k, I1(0), lambda: None, "pure_convert", code, k.d, k.a, k.c, k.imm)
    return emit


def to_unsigned_general(source: int, to: int) -> Callable[[Kernel], None]:
    """VCVTSD2USI and the like."""
    def emit(k: Kernel) -> None:
        otherwise(k, I1(0), lambda: None, "pure_to_general", I64(source | to << 4), k.c, k.imm)
        k.set_register(k.d, k.scalar(I64(SLOW_RESULT), I64))
    return emit


def from_unsigned_general(source: int, to: int) -> Callable[[Kernel], None]:
    """VCVTUSI2SD and the like."""
    def emit(k: Kernel) -> None:
        k.store_scalar(I64(SLOW_RESULT + 32), k.register(k.c, I32 if source == wiring.U32 else I64))
        code = I64(source | to << 4 | 1 << 16 | FLOAT_SCALAR)
        otherwise(k, I1(0), lambda: None, "pure_convert", code, k.d, k.a, I64(SLOW_RESULT + 32), k.imm)
    return emit


define("cvtph2ps", half_precision(wiring.F16, wiring.F32), 16, 32, 64)
define("cvtps2ph", half_precision(wiring.F32, wiring.F16), 16, 32, 64)
for _name, _truncate in (("cvt", False), ("cvtt", True)):
    define(_name + "ps2dq", packed_to_integer(F32, _truncate), 16, 32, 64)
    define(_name + "pd2dq", packed_to_integer(F64, _truncate), 16, 32, 64)
    for _suffix, _real in (("ss", F32), ("sd", F64)):
        define(f"{_name}{_suffix}2si", scalar_to_general(_real, I32, _truncate), 4)
        define(f"{_name}{_suffix}2si", scalar_to_general(_real, I64, _truncate), 8)
define("cvtps2pi", packed_to_mmx(F32), 8)
define("cvtpd2pi", packed_to_mmx(F64), 8)
define("cvtpi2ps", mmx_to_packed, 8)
define("cvtdq2ps", packed_from_integer(F32), 16, 32, 64)
define("cvtdq2pd", packed_from_integer(F64), 16, 32, 64)
for _suffix, _real in (("ss", F32), ("sd", F64)):
    define("cvtsi2" + _suffix, scalar_from_general(I32, _real), 4)
    define("cvtsi2" + _suffix, scalar_from_general(I64, _real), 8)
define("cvtps2pd", change_format(F32, F64, False), 16, 32, 64)
define("cvtpd2ps", change_format(F64, F32, False), 16, 32, 64)
define("cvtss2sd", change_format(F32, F64, True), 8)
define("cvtsd2ss", change_format(F64, F32, True), 8)
for _suffix, _real, _scalar in (("ps", F32, False), ("pd", F64, False), ("ss", F32, True), ("sd", F64, True)):
    _sizes = ((4 if _real is F32 else 8),) if _scalar else (16, 32, 64)
    define("round" + _suffix, round_integral(_real, _scalar), *_sizes)
for _suffix, _kind in (("ps", wiring.F32), ("pd", wiring.F64)):
    for _integer, _other in (("udq", wiring.U32), ("qq", wiring.I64), ("uqq", wiring.U64)):
        for _name in ("cvt", "cvtt"):
            define(f"{_name}{_suffix}2{_integer}", exact_only(_kind, _other), 16, 32, 64)
        define(f"cvt{_integer}2{_suffix}", exact_only(_other, _kind), 16, 32, 64)
for _suffix, _kind in (("ss", wiring.F32), ("sd", wiring.F64)):
    for _size, _other in ((4, wiring.U32), (8, wiring.U64)):
        for _name in ("cvt", "cvtt"):
            define(f"{_name}{_suffix}2usi", to_unsigned_general(_kind, _other), _size)
        define(f"cvtusi2{_suffix}", from_unsigned_general(_other, _kind), _size)
