"""Floating-point arithmetic and comparisons of packed and scalar elements (SDM Vol. 2: ADDPS to UCOMISD).

The fast path is the host's arithmetic, which rounds to nearest: the only mode in which the ABI lets compiled code run,
so the host's MXCSR is never touched. It serves where it can change nothing but the destination: operands and results
are normal numbers (or zeros, where that is exact), and rounding is to nearest with inexactness masked and already
noted in MXCSR.PE, as it is after a program's first inexact result. Everything else is for jit/simd_float.py, which
is exact in every mode and sets flags.
"""

from collections.abc import Callable

from llvmlite import ir

from jit import exits, layout
from jit.fpu_layout import MXCSR, tmpv
from jit.semantics.vector_integer import neighbours
from jit.semantics.wiring import ADD, ADDSUB, DIV, FLOAT_SCALAR, MAX, MIN, MUL, ROOT, SUB
from jit.vector import F32, F64, I1, I32, I64, Kernel, constant, define, vector

UD, XM = 6, 19
CR4_OSXMMEXCPT = 1 << 10
ROUNDING_PM_PE, NEAREST_PM_PE = 0x7020, 0x1020      # MXCSR bits, and how they read where the host's result will do


class Lanes:
    """The elements of an operation: `count` of type `real`, seen also as integers. Scalars are taken from the low end
    of the register; the rest of the destination comes from operand A."""

    def __init__(self, k: Kernel, real: ir.Type, scalar: bool) -> None:
        self.k, self.real, self.scalar = k, real, scalar
        self.whole = I32 if real is F32 else I64
        self.width = self.whole.width // 8
        self.count = 1 if scalar else k.size // self.width
        self.fraction, self.top = (23, 255) if real is F32 else (52, 2047)

    def load(self, word: ir.Value) -> tuple[ir.Value, ir.Value]:
        """(real, integer) elements, as a vector or as one value."""
        bits = self.k.scalar(word, self.whole) if self.scalar else self.k.load(word, self.whole)
        kind = self.real if self.scalar else vector(self.real, self.count)
        return self.k.b.bitcast(bits, kind), bits

    def bits(self, value: ir.Value) -> ir.Value:
        return self.k.b.bitcast(value, self.whole if self.scalar else vector(self.whole, self.count))

    def number(self, value: int) -> ir.Constant:
        return self.whole(value) if self.scalar else constant(self.whole, [value] * self.count)

    def magnitude(self, bits: ir.Value) -> ir.Value:
        return self.k.b.and_(bits, self.number((1 << self.whole.width - 1) - 1))

    def between(self, bits: ir.Value, low: int, high: int) -> ir.Value:
        """Whether the exponent field lies in [low, high]."""
        b = self.k.b
        start = self.number(low << self.fraction)
        span = self.number((high - low + 1) << self.fraction)
        return b.icmp_unsigned("<", b.sub(self.magnitude(bits), start), span)

    def normal(self, bits: ir.Value) -> ir.Value:
        return self.between(bits, 1, self.top - 1)

    def safely_normal(self, bits: ir.Value) -> ir.Value:
        """A result whose rounding cannot have been from below the normal range."""
        return self.between(bits, 2, self.top - 1)

    def ordinary(self, *operands: ir.Value) -> ir.Value:
        """None of them is a denormal."""
        sizes = [self.k.b.sub(self.magnitude(bits), self.number(1)) for bits in operands]    # zero becomes the largest
        least = sizes[0]
        for size in sizes[1:]:
            least = self.k.intrinsic("umin", least, size)
        return self.k.b.icmp_unsigned(">=", least, self.number((1 << self.fraction) - 1))

    def finite(self, bits: ir.Value) -> ir.Value:
        return self.k.b.icmp_signed("<", self.magnitude(bits), self.number(self.top << self.fraction))

    def zero(self, bits: ir.Value) -> ir.Value:
        return self.k.b.icmp_unsigned("==", self.magnitude(bits), self.number(0))

    def comparable(self, bits: ir.Value) -> ir.Value:
        """Neither a NaN nor a denormal."""
        b = self.k.b
        infinite = b.icmp_unsigned("==", self.magnitude(bits), self.number(self.top << self.fraction))
        return b.or_(b.or_(self.normal(bits), self.zero(bits)), infinite)

    def all(self, condition: ir.Value) -> ir.Value:
        """Whether a condition holds for every element."""
        if self.scalar:
            return condition
        whole = ir.IntType(self.count)
        return self.k.b.icmp_unsigned("==", self.k.b.bitcast(condition, whole), whole((1 << self.count) - 1))

    def store(self, bits: ir.Value) -> None:
        k = self.k
        if not self.scalar:
            k.store(k.d, bits)
            return
        rest = k.load(k.a, self.whole, 16 // self.width)
        k.store(k.d, k.b.insert_element(rest, bits, I32(0)))

    def code(self, operation: int) -> ir.Constant:
        """The argument that tells jit/simd_float.py what to do."""
        return I64(operation | self.width << 8 | self.count << 16 | (FLOAT_SCALAR if self.scalar else 0))


def usual_mode(k: Kernel) -> ir.Value:
    """Whether rounding is to nearest, PE set and masked."""
    mxcsr = k.scalar(I64(MXCSR), I64)
    return k.b.icmp_unsigned("==", k.b.and_(mxcsr, I64(ROUNDING_PM_PE)), I64(NEAREST_PM_PE))


def otherwise(k: Kernel, fast: ir.Value, finish: Callable[[], None], function: str, *arguments: ir.Value,
              rare: Callable[[], ir.Value] | None = None) -> None:
    """`finish()` where `fast` holds, or `rare()`, which is asked then; else the exact function, whose 1 means an
    unmasked exception: #XM, or #UD where the system does not take it (SDM Vol. 3A 2.5, CR4.OSXMMEXCPT)."""
    b = k.b
    direct, second, exact, done, raised = (k.function.append_basic_block() for _ in range(5))
    b.cbranch(fast, direct, second).set_weights([64, 1])
    b.position_at_end(second)
    if rare is None:
        b.branch(exact)
    else:
        b.cbranch(rare(), direct, exact)
    b.position_at_end(direct)
    finish()
    b.branch(done)
    b.position_at_end(exact)
    status = k.call("strata_" + function, I64, k.fpu, *arguments)
    b.cbranch(b.icmp_unsigned("==", status, I64(0)), done, raised).set_weights([64, 1])
    b.position_at_end(raised)
    raise_fault(k)
    b.position_at_end(done)


def raise_fault(k: Kernel) -> None:
    """Leave with #XM or #UD."""
    taken = k.b.and_(k.register(I64(layout.CR4)), I64(CR4_OSXMMEXCPT))
    vector_number = k.b.select(k.b.icmp_unsigned("!=", taken, I64(0)), I64(XM), I64(UD))
    k.set_register(I64(layout.FAULT_VECTOR), vector_number)
    k.set_register(I64(layout.FAULT_ERROR), I64(0))
    k.set_register(I64(layout.FAULT_HAS_ERROR), I64(0))
    k.b.ret(I64(exits.FAULT))


def arithmetic(real: ir.Type, scalar: bool, operation: int) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        lanes, b = Lanes(k, real, scalar), k.b
        x, xi = lanes.load(k.a)
        y, yi = lanes.load(k.c)
        if operation == ADDSUB:
            result = k.shuffle(b.fsub(x, y), b.fadd(x, y), [i + lanes.count * (i & 1) for i in range(lanes.count)])
        else:
            result = {ADD: b.fadd, SUB: b.fsub, MUL: b.fmul, DIV: b.fdiv}[operation](x, y)
        bits = lanes.bits(result)
        usual = usual_mode(k)
        if operation in (ADD, SUB, ADDSUB):
            # Infinities and NaNs come out as such; a sum of so small a size is exact.
            good = lanes.all(b.and_(lanes.ordinary(xi, yi, bits), lanes.finite(bits)))
            rare = None
        else:
            good = lanes.all(b.and_(lanes.ordinary(xi, yi), lanes.safely_normal(bits)))

            def rare() -> ir.Value:
                zero = lanes.zero(xi) if operation == DIV else b.or_(lanes.zero(xi), lanes.zero(yi))
                exact = b.or_(lanes.safely_normal(bits), b.and_(zero, lanes.zero(bits)))
                return b.and_(usual, lanes.all(b.and_(lanes.ordinary(xi, yi), exact)))
        otherwise(k, b.and_(usual, good), lambda: lanes.store(bits), "pure_arithmetic",
                  lanes.code(operation), k.d, k.a, k.c, rare=rare)
    return emit


def horizontal(real: ir.Type, operation: int) -> Callable[[Kernel], None]:
    """HADDPS and the like: neighbours of A, then of B, within each 128-bit lane, as operands of their own."""
    operate = arithmetic(real, False, operation)

    def emit(k: Kernel) -> None:
        lanes = Lanes(k, real, False)
        x, y = k.load(k.a, lanes.whole), k.load(k.c, lanes.whole)
        for part, temporary in enumerate((tmpv(2), tmpv(3))):
            k.store(I64(temporary), k.shuffle(x, y, neighbours(k, lanes.count, part)))
        k.a, k.c = I64(tmpv(2)), I64(tmpv(3))
        operate(k)
    return emit


def dot(real: ir.Type) -> Callable[[Kernel], None]:
    """DPPS, DPPD: the exact function does it all."""
    def emit(k: Kernel) -> None:
        lanes = Lanes(k, real, False)
        otherwise(k, I1(0), lambda: None, "pure_dot", lanes.code(0), k.d, k.a, k.c, k.imm)
    return emit


def estimate(scalar: bool, operation: int) -> Callable[[Kernel], None]:
    """RCPPS, RSQRTPS."""
    def emit(k: Kernel) -> None:
        lanes = Lanes(k, F32, scalar)
        otherwise(k, I1(0), lambda: None, "pure_estimate", lanes.code(operation), k.d, k.a, k.c)
    return emit


def root(real: ir.Type, scalar: bool) -> Callable[[Kernel], None]:
    """SQRT of operand B; the rest of a scalar's register comes from A."""
    def emit(k: Kernel) -> None:
        lanes, b = Lanes(k, real, scalar), k.b
        x, bits = lanes.load(k.c)
        positive = b.icmp_signed(">", bits, lanes.number(0))
        good = b.or_(b.and_(positive, lanes.normal(bits)), lanes.zero(bits))
        otherwise(k, b.and_(usual_mode(k), lanes.all(good)),
                  lambda: lanes.store(lanes.bits(k.intrinsic("sqrt", x))), "pure_arithmetic",
                  lanes.code(ROOT), k.d, k.a, k.c)
    return emit


def extreme(real: ir.Type, scalar: bool, operation: int) -> Callable[[Kernel], None]:
    """MIN, MAX: the second operand where neither is the lesser or greater. Nothing is rounded."""
    def emit(k: Kernel) -> None:
        lanes, b = Lanes(k, real, scalar), k.b
        x, xi = lanes.load(k.a)
        y, yi = lanes.load(k.c)
        first = b.fcmp_ordered("<" if operation == MIN else ">", x, y)
        good = b.and_(lanes.comparable(xi), lanes.comparable(yi))
        otherwise(k, lanes.all(good), lambda: lanes.store(b.select(first, xi, yi)), "pure_arithmetic",
                  lanes.code(operation), k.d, k.a, k.c)
    return emit


def compare(real: ir.Type, scalar: bool) -> Callable[[Kernel], None]:
    """CMPPS and the like. The immediate is a predicate's truth (bits 0 to 3: less, equal, greater, unordered) with bit
    4 set where it signals quiet NaNs (emu/decode/lower_sse_float.py)."""
    def emit(k: Kernel) -> None:
        lanes, b = Lanes(k, real, scalar), k.b
        x, xi = lanes.load(k.a)
        y, yi = lanes.load(k.c)

        def finish() -> None:
            result = None
            for bit, relation in enumerate(("<", "==", ">")):
                wanted = b.trunc(b.lshr(k.imm, I64(bit)), I1)
                holds = b.fcmp_ordered(relation, x, y)
                part = b.and_(holds, wanted if scalar else k.splat(wanted, lanes.count))
                result = part if result is None else b.or_(result, part)
            lanes.store(b.sext(result, xi.type))
        good = b.and_(lanes.comparable(xi), lanes.comparable(yi))
        otherwise(k, lanes.all(good), finish, "pure_compare", lanes.code(0), k.d, k.a, k.c, k.imm)
    return emit


def compare_flags(real: ir.Type) -> Callable[[Kernel], None]:
    """COMISS and the like: ZF, PF, CF = 111 unordered, 000 greater, 001 less, 100 equal; the others are cleared. The
    immediate is 1 where quiet NaNs signal."""
    def emit(k: Kernel) -> None:
        lanes, b = Lanes(k, real, True), k.b
        x, xi = lanes.load(k.a)
        y, yi = lanes.load(k.c)
        good = b.and_(lanes.comparable(xi), lanes.comparable(yi))
        direct, exact, done, raised = (k.function.append_basic_block() for _ in range(4))
        b.cbranch(good, direct, exact).set_weights([64, 1])
        b.position_at_end(direct)
        equal = b.zext(b.fcmp_ordered("==", x, y), I64)
        below = b.zext(b.fcmp_ordered("<", x, y), I64)
        b.branch(done)
        b.position_at_end(exact)
        found = k.call("strata_pure_compare_flags", I64, k.fpu, lanes.code(0), k.a, k.c, k.imm)
        b.cbranch(b.icmp_signed(">=", found, I64(0)), done, raised).set_weights([64, 1])
        b.position_at_end(raised)
        raise_fault(k)
        b.position_at_end(done)
        zero, carry, unordered = (b.phi(I64) for _ in range(3))
        zero.add_incoming(equal, direct)
        carry.add_incoming(below, direct)
        unordered.add_incoming(I64(0), direct)
        with b.goto_block(exact):
            parts = [b.and_(b.lshr(found, I64(n)), I64(1)) for n in range(3)]
        for phi, part in zip((carry, zero, unordered), parts, strict=True):
            phi.add_incoming(part, exact)
        # The form of jit/flags.py: PF is the parity of RES 7:0 xor CARRY 15:8.
        k.set_register(I64(layout.RES), b.select(b.icmp_unsigned("!=", zero, I64(0)), I64(0), I64(0x100)))
        k.set_register(I64(layout.AUX), b.shl(carry, I64(63)))
        k.set_register(I64(layout.CARRY), b.or_(carry, b.shl(b.xor(unordered, I64(1)), I64(8))))
    return emit


for _suffix, _real, _scalar in (("ps", F32, False), ("pd", F64, False), ("ss", F32, True), ("sd", F64, True)):
    _sizes = ((4 if _real is F32 else 8),) if _scalar else (16, 32, 64)
    for _name, _operation in (("add", ADD), ("sub", SUB), ("mul", MUL), ("div", DIV)):
        define(_name + _suffix, arithmetic(_real, _scalar, _operation), *_sizes)
    if not _scalar:
        define("addsub" + _suffix, arithmetic(_real, False, ADDSUB), 16, 32)
        define("hadd" + _suffix, horizontal(_real, ADD), 16, 32)
        define("hsub" + _suffix, horizontal(_real, SUB), 16, 32)
        define("dp" + _suffix, dot(_real), 16, 32)
    if _real is F32:
        define("rcp" + _suffix, estimate(_scalar, 0), *_sizes[:2])
        define("rsqrt" + _suffix, estimate(_scalar, 1), *_sizes[:2])
    define("min" + _suffix, extreme(_real, _scalar, MIN), *_sizes)
    define("max" + _suffix, extreme(_real, _scalar, MAX), *_sizes)
    define("sqrt" + _suffix, root(_real, _scalar), *_sizes)
    define("cmp" + _suffix, compare(_real, _scalar), *_sizes)
define("comiss", compare_flags(F32), 4)
define("comisd", compare_flags(F64), 8)
