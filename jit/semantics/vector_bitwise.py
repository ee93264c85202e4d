"""Bit manipulation and arithmetic that only AVX-512 has (SDM Vol. 2C: VPTERNLOG*, VPROL* to VPRORV*, VPSHLD* to
VPSHRDV*, VPLZCNT*, VPOPCNT*, VPCONFLICT*, VPMULTISHIFTQB, VPSHUFBITQMB, VDBPSADBW)."""

from collections.abc import Callable

from llvmlite import ir

from jit.semantics.vector_integer import unary
from jit.semantics.vector_mask import ELEMENTS, WIDE, store_conditions
from jit.semantics.vector_shuffle import chosen
from jit.vector import I1, I8, I16, I32, I64, Kernel, constant, define, vector


def ternary(k: Kernel) -> None:
    """VPTERNLOG: bit n of the immediate where the bits of D, A and B spell n."""
    b = k.b
    words = [k.load(word, I64) for word in (k.d, k.a, k.c)]
    count = words[0].type.count
    result = constant(I64, [0] * count)
    for number in range(8):
        wanted = k.splat(b.sext(b.trunc(b.lshr(k.imm, I64(number)), I1), I64), count)
        for place, word in enumerate(words):
            wanted = b.and_(wanted, word if number >> (2 - place) & 1 else b.not_(word))
        result = b.or_(result, wanted)
    k.store(k.d, result)


def by_immediate(k: Kernel, element: ir.IntType) -> ir.Value:
    """The immediate's 8 bits in every element; the shifts below take it modulo their width."""
    count = k.b.and_(k.imm, I64(0xFF))
    return k.splat(count if element is I64 else k.b.trunc(count, element), k.size * 8 // element.width)


def rotate(element: ir.IntType, left: bool, immediate: bool) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        x = k.load(k.a, element)
        count = by_immediate(k, element) if immediate else k.load(k.c, element)
        k.store(k.d, k.intrinsic("fshl" if left else "fshr", x, x, count))
    return emit


def double_shift(element: ir.IntType, left: bool, immediate: bool) -> Callable[[Kernel], None]:
    """Of A (above, for left) and B by the immediate, or of D and A by B."""
    def emit(k: Kernel) -> None:
        first, second = (k.a, k.c) if immediate else (k.d, k.a)
        x, y = k.load(first, element), k.load(second, element)
        count = by_immediate(k, element) if immediate else k.load(k.c, element)
        k.store(k.d, k.intrinsic("fshl", x, y, count) if left else k.intrinsic("fshr", y, x, count))
    return emit


def leading_zeros(k: Kernel, x: ir.Value) -> ir.Value:
    return k.call(f"llvm.ctlz.v{x.type.count}i{x.type.element.width}", x.type, x, I1(0))


def conflicts(k: Kernel, x: ir.Value) -> ir.Value:
    """For each element a bit for every equal one below it."""
    element, count = x.type.element, x.type.count
    result = constant(element, [0] * count)
    for number in range(count - 1):
        equal = k.b.icmp_unsigned("==", x, k.shuffle(x, x, [number] * count))
        bit = constant(element, [1 << number if place > number else 0 for place in range(count)])
        result = k.b.or_(result, k.b.select(equal, bit, constant(element, [0] * count)))
    return result


def byte_of_each(k: Kernel, value: ir.Value, number: int) -> ir.Value:
    """Byte `number` of each quadword."""
    count = value.type.count
    moved = k.b.lshr(value, constant(I64, [8 * number] * count))
    return k.b.and_(moved, constant(I64, [0xFF] * count))


def multishift(k: Kernel) -> None:
    """VPMULTISHIFTQB: byte n of each quadword is B's, rotated right by byte n of A's."""
    b = k.b
    control, x = k.load(k.a, I64), k.load(k.c, I64)
    count = x.type.count
    result = constant(I64, [0] * count)
    for number in range(8):
        turned = k.intrinsic("fshr", x, x, byte_of_each(k, control, number))
        result = b.or_(result, b.shl(byte_of_each(k, turned, 0), constant(I64, [8 * number] * count)))
    k.store(k.d, result)


def select_bits(k: Kernel) -> None:
    """VPSHUFBITQMB: opmask bit n is the bit of A's quadword that byte n of B chooses."""
    b = k.b
    x, control = k.load(k.a, I64), k.load(k.c, I64)
    count = x.type.count
    one, result = constant(I64, [1] * count), constant(I64, [0] * count)
    for number in range(8):
        place = b.and_(byte_of_each(k, control, number), constant(I64, [63] * count))
        bit = b.and_(b.lshr(x, place), one)
        result = b.or_(result, b.shl(bit, constant(I64, [8 * number] * count)))
    store_conditions(k, b.trunc(b.bitcast(result, vector(I8, k.size)), vector(I1, k.size)))


def difference_sums(k: Kernel) -> None:
    """VDBPSADBW: sums of absolute differences of four bytes: of A's doublewords, and of B's bytes from four places,
    after a shuffle of B's doublewords by the immediate."""
    b = k.b
    y = k.load(k.c, I32)
    moved = y
    for place in range(y.type.count):
        moved = b.insert_element(moved, chosen(k, y, place & -4, 2, 2 * (place & 3)), I32(place))
    x_bytes = b.zext(k.load(k.a, I8), vector(I16, k.size))
    y_bytes = b.zext(b.bitcast(moved, vector(I8, k.size)), vector(I16, k.size))
    total = constant(I16, [0] * (k.size // 2))
    zero = total
    for part in range(4):
        left = [8 * (word // 4) + 4 * (word % 4 // 2) + part for word in range(k.size // 2)]
        right = [8 * (word // 4) + word % 4 + part for word in range(k.size // 2)]
        difference = b.sub(k.shuffle(x_bytes, x_bytes, left), k.shuffle(y_bytes, y_bytes, right))
        total = b.add(total, b.select(b.icmp_signed("<", difference, zero), b.neg(difference), difference))
    k.store(k.d, total)


define("pternlog", ternary, *WIDE)
for _bytes, _type in ELEMENTS.items():
    _letter = {1: "b", 2: "w", 4: "d", 8: "q"}[_bytes]
    unary("popcnt" + _letter, _type, lambda k, x: k.intrinsic("ctpop", x), WIDE)
    if _bytes >= 2:
        for _name, _left in (("pshld", True), ("pshrd", False)):
            define(f"{_name}{_letter}", double_shift(_type, _left, immediate=True), *WIDE)
            define(f"{_name}v{_letter}", double_shift(_type, _left, immediate=False), *WIDE)
    if _bytes >= 4:
        unary("plzcnt" + _letter, _type, leading_zeros, WIDE)
        unary("pconflict" + _letter, _type, conflicts, WIDE)
        for _name, _left in (("prol", True), ("pror", False)):
            define(f"{_name}{_letter}", rotate(_type, _left, immediate=True), *WIDE)
            define(f"{_name}v{_letter}", rotate(_type, _left, immediate=False), *WIDE)
define("pmultishiftqb", multishift, *WIDE)
define("pshufbitqmb", select_bits, *WIDE)
define("dbpsadbw", difference_sums, *WIDE)
