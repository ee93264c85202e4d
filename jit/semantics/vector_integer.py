"""Packed integer arithmetic, comparisons and shifts (SDM Vol. 2: PADD* to PSUB*; widths 8 MMX, 16 SSE, 32 AVX2,
64 AVX-512).

Each operation takes vectors A and B of the FPU file to D.
"""

from collections.abc import Callable

from llvmlite import ir

from jit.vector import I8, I16, I32, I64, I128, Kernel, constant, define, vector

Binary = Callable[[Kernel, ir.Value, ir.Value], ir.Value]
ALL, VECTOR = (8, 16, 32, 64), (16, 32, 64)


def binary(name: str, element: ir.Type, operate: Binary, sizes: tuple[int, ...] = ALL) -> None:
    """Register d = operate(a, b) over elements of one type."""
    def emit(k: Kernel) -> None:
        k.store(k.d, operate(k, k.load(k.a, element), k.load(k.c, element)))
    define(name, emit, *sizes)


def unary(name: str, element: ir.Type, operate: Callable[[Kernel, ir.Value], ir.Value],
          sizes: tuple[int, ...] = ALL) -> None:
    """Register d = operate(a)."""
    def emit(k: Kernel) -> None:
        k.store(k.d, operate(k, k.load(k.a, element)))
    define(name, emit, *sizes)


def instruction(name: str) -> Binary:
    """An LLVM instruction as an operation."""
    return lambda k, x, y: getattr(k.b, name)(x, y)


def called(name: str) -> Binary:
    """An LLVM intrinsic as an operation."""
    return lambda k, x, y: k.intrinsic(name, x, y)


def compared(predicate: str) -> Binary:
    """All ones where the (signed) comparison holds."""
    return lambda k, x, y: k.b.sext(k.b.icmp_signed(predicate, x, y), x.type)


def widened(k: Kernel, value: ir.Value, signed: bool) -> ir.Value:
    """Elements extended to twice their width."""
    kind = vector(ir.IntType(value.type.element.width * 2), value.type.count)
    return k.b.sext(value, kind) if signed else k.b.zext(value, kind)


def high_product(signed: bool) -> Binary:
    def operate(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
        product = k.b.mul(widened(k, x, signed), widened(k, y, signed))
        return k.b.trunc(k.b.lshr(product, k.splat(I32(16), x.type.count)), x.type)
    return operate


def rounded_product(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
    """PMULHRSW: bits 30:15 of the product after adding half (SDM Vol. 2B)."""
    count = x.type.count
    product = k.b.lshr(k.b.mul(widened(k, x, True), widened(k, y, True)), k.splat(I32(14), count))
    return k.b.trunc(k.b.lshr(k.b.add(product, k.splat(I32(1), count)), k.splat(I32(1), count)), x.type)


def average(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
    total = k.b.add(widened(k, x, False), widened(k, y, False))
    one = k.splat(total.type.element(1), total.type.count)
    return k.b.trunc(k.b.lshr(k.b.add(total, one), one), x.type)


def even_product(signed: bool) -> Binary:
    """PMULUDQ, PMULDQ: the low halves of 64-bit elements."""
    def operate(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
        half = k.splat(I64(32), x.type.count)
        if signed:
            return k.b.mul(k.b.ashr(k.b.shl(x, half), half), k.b.ashr(k.b.shl(y, half), half))
        mask = k.splat(I64(0xFFFFFFFF), x.type.count)
        return k.b.mul(k.b.and_(x, mask), k.b.and_(y, mask))
    return operate


def evens_and_odds(k: Kernel, value: ir.Value) -> tuple[ir.Value, ir.Value]:
    count = value.type.count
    return (k.shuffle(value, value, list(range(0, count, 2))), k.shuffle(value, value, list(range(1, count, 2))))


def multiply_add(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
    """PMADDWD: sums of pairs of 32-bit products."""
    even, odd = evens_and_odds(k, k.b.mul(widened(k, x, True), widened(k, y, True)))
    return k.b.add(even, odd)


def multiply_add_bytes(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
    """PMADDUBSW: unsigned bytes of A times signed ones of B, pairs summed with signed saturation."""
    even, odd = evens_and_odds(k, k.b.mul(widened(k, x, False), widened(k, y, True)))
    return k.intrinsic("sadd.sat", even, odd)


def absolute_differences(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
    """PSADBW: for each 8 bytes the sum of absolute differences, in 64 bits."""
    wide = [widened(k, v, False) for v in (x, y)]
    difference = k.b.sub(*wide)
    zero = constant(I16, [0] * x.type.count)
    total = k.b.select(k.b.icmp_signed("<", difference, zero), k.b.sub(zero, difference), difference)
    while total.type.count > k.size // 8:
        total = k.b.add(*evens_and_odds(k, total))
    return k.b.zext(total, vector(I64, k.size // 8))


def sign(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
    """PSIGN: A negated, cleared or kept by the sign of B."""
    zero = constant(x.type.element, [0] * x.type.count)
    kept = k.b.select(k.b.icmp_signed("<", y, zero), k.b.sub(zero, x), x)
    return k.b.select(k.b.icmp_signed("==", y, zero), zero, kept)


def absolute(k: Kernel, x: ir.Value) -> ir.Value:
    zero = constant(x.type.element, [0] * x.type.count)
    return k.b.select(k.b.icmp_signed("<", x, zero), k.b.sub(zero, x), x)


def neighbours(k: Kernel, count: int, part: int) -> list[int]:
    """The even (part 0) or odd (1) elements of two vectors, lane by lane."""
    per = count // k.lanes
    return [base + lane * per + i for lane in range(k.lanes) for base in (0, count) for i in range(part, per, 2)]


def horizontal(operate: Binary) -> Binary:
    """PHADD and the like: neighbours of A, then of B, within each 128-bit lane."""
    def operation(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
        count = x.type.count
        return operate(k, k.shuffle(x, y, neighbours(k, count, 0)), k.shuffle(x, y, neighbours(k, count, 1)))
    return operation


def shift_count(k: Kernel, element: ir.IntType, word: ir.Value | None) -> tuple[ir.Value, ir.Value]:
    """(count, whether it exceeds the width) of a shift by the low 64 bits of a vector, or by the immediate."""
    count = k.b.and_(k.imm, I64(0xFF)) if word is None else k.scalar(word, I64)
    return count, k.b.icmp_unsigned(">=", count, I64(element.width))


def shift(name: str, element: ir.IntType, immediate: bool) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        x = k.load(k.a, element)
        count, beyond = shift_count(k, element, None if immediate else k.c)
        limit = I64(element.width - 1)
        safe = k.b.select(beyond, limit if name == "ashr" else I64(0), count)
        amount = safe if element is I64 else k.b.trunc(safe, element)
        result = getattr(k.b, name)(x, k.splat(amount, x.type.count))
        if name != "ashr":
            result = k.b.select(beyond, constant(element, [0] * x.type.count), result)
        k.store(k.d, result)
    return emit


def shift_each(name: str) -> Binary:
    """VPSLLVD and the like: each element by its own count."""
    def operate(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
        element, count = x.type.element, x.type.count
        beyond = k.b.icmp_unsigned(">=", y, k.splat(element(element.width), count))
        zero = constant(element, [0] * count)
        limit = k.splat(element(element.width - 1), count) if name == "ashr" else zero
        result = getattr(k.b, name)(x, k.b.select(beyond, limit, y))
        return result if name == "ashr" else k.b.select(beyond, zero, result)
    return operate


def byte_shift(left: bool) -> Callable[[Kernel], None]:
    """PSLLDQ, PSRLDQ: each 128-bit lane by the immediate's number of bytes."""
    def emit(k: Kernel) -> None:
        count = k.b.and_(k.imm, I64(0xFF))
        beyond = k.b.icmp_unsigned(">", count, I64(15))
        amount = k.b.zext(k.b.shl(k.b.select(beyond, I64(0), count), I64(3)), I128)
        for at in range(0, k.size, 16):
            lane = k.scalar(k.b.add(k.a, I64(at)), I128)
            moved = k.b.shl(lane, amount) if left else k.b.lshr(lane, amount)
            k.store_scalar(k.b.add(k.d, I64(at)), k.b.select(beyond, I128(0), moved))
    return emit


def minimum_position(k: Kernel) -> None:
    """PHMINPOSUW: the smallest word and its index."""
    x = k.load(k.a, I16)
    best, position = k.b.extract_element(x, I32(0)), I16(0)
    for i in range(1, 8):
        value = k.b.extract_element(x, I32(i))
        less = k.b.icmp_unsigned("<", value, best)
        best, position = k.b.select(less, value, best), k.b.select(less, I16(i), position)
    result = k.b.insert_element(constant(I16, [0] * 8), best, I32(0))
    k.store(k.d, k.b.insert_element(result, position, I32(1)))


def difference_sums(k: Kernel) -> None:
    """MPSADBW: eight sums of absolute differences of four bytes, at places that the immediate chooses for each lane."""
    for lane in range(k.size // 16):
        control = k.b.lshr(k.imm, I64(3 * lane))
        a_at = k.b.add(k.a, k.b.add(I64(16 * lane), k.b.and_(control, I64(4))))
        b_at = k.b.add(k.c, k.b.add(I64(16 * lane), k.b.shl(k.b.and_(control, I64(3)), I64(2))))
        a_bytes = [k.b.zext(k.scalar(a_at, I8, i), I16) for i in range(11)]
        b_bytes = [k.b.zext(k.scalar(b_at, I8, i), I16) for i in range(4)]
        result = constant(I16, [0] * 8)
        sums = []
        for i in range(8):
            total = I16(0)
            for j in range(4):
                difference = k.b.sub(a_bytes[i + j], b_bytes[j])
                negative = k.b.icmp_signed("<", difference, I16(0))
                total = k.b.add(total, k.b.select(negative, k.b.neg(difference), difference))
            sums.append(total)
        for i, total in enumerate(sums):
            result = k.b.insert_element(result, total, I32(i))
        k.store(k.b.add(k.d, I64(16 * lane)), result)


for _suffix, _element in (("b", I8), ("w", I16), ("d", I32), ("q", I64)):
    binary("padd" + _suffix, _element, instruction("add"))
    binary("psub" + _suffix, _element, instruction("sub"))
    binary("pcmpeq" + _suffix, _element, compared("=="))
    binary("pcmpgt" + _suffix, _element, compared(">"))
    if _element in (I8, I16):
        binary("padds" + _suffix, _element, called("sadd.sat"))
        binary("paddus" + _suffix, _element, called("uadd.sat"))
        binary("psubs" + _suffix, _element, called("ssub.sat"))
        binary("psubus" + _suffix, _element, called("usub.sat"))
        binary("pavg" + _suffix, _element, average)
    binary("pmins" + _suffix, _element, called("smin"))
    binary("pmaxs" + _suffix, _element, called("smax"))
    binary("pminu" + _suffix, _element, called("umin"))
    binary("pmaxu" + _suffix, _element, called("umax"))
    unary("pabs" + _suffix, _element, absolute)
    if _element is not I64:
        binary("psign" + _suffix, _element, sign)
    if _element is not I8:
        for _name, _shift in (("psll", "shl"), ("psrl", "lshr"), ("psra", "ashr")):
            define(_name + _suffix, shift(_shift, _element, immediate=False), *ALL)
            define(_name + _suffix + "_imm", shift(_shift, _element, immediate=True), *ALL)
            binary(f"{_name}v{_suffix}", _element, shift_each(_shift), VECTOR)
for _suffix, _element in (("w", I16), ("d", I32)):
    binary("phadd" + _suffix, _element, horizontal(instruction("add")))
    binary("phsub" + _suffix, _element, horizontal(instruction("sub")))
binary("phaddsw", I16, horizontal(called("sadd.sat")))
binary("phsubsw", I16, horizontal(called("ssub.sat")))
binary("pand", I64, instruction("and_"))
binary("por", I64, instruction("or_"))
binary("pxor", I64, instruction("xor"))
binary("pandn", I64, lambda k, x, y: k.b.and_(k.b.not_(x), y))
binary("pmullw", I16, instruction("mul"))
binary("pmulld", I32, instruction("mul"), VECTOR)
binary("pmullq", I64, instruction("mul"), VECTOR)
binary("pmulhw", I16, high_product(True))
binary("pmulhuw", I16, high_product(False))
binary("pmulhrsw", I16, rounded_product)
binary("pmuludq", I64, even_product(False))
binary("pmuldq", I64, even_product(True), VECTOR)
binary("pmaddwd", I16, multiply_add)
binary("pmaddubsw", I8, multiply_add_bytes)
binary("psadbw", I8, absolute_differences)
define("pslldq", byte_shift(True), *VECTOR)
define("psrldq", byte_shift(False), *VECTOR)
define("phminposuw", minimum_position, 16)
define("mpsadbw", difference_sums, *VECTOR)
