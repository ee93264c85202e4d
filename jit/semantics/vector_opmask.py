"""Opmask registers (SDM Vol. 2A KADD* to KXOR*, Vol. 2C VPMOVM2*, VPBROADCASTM*) and comparisons into them (VPCMP*,
VPTESTM*, VPTESTNM*).

Operands are offsets in the FPU file. The widths in micro-op names are bytes of mask for the first kind, of vectors for
the others, whose immediate is the offset of the writemask.
"""

from collections.abc import Callable

from llvmlite import ir

from jit.semantics.vector_mask import ELEMENTS, WIDE, mask_bits, store_conditions
from jit.semantics.vector_shuffle import set_zero_carry
from jit.vector import I32, I64, Kernel, constant, define, vector

Operation = Callable[[Kernel, ir.Value, ir.Value], ir.Value]
MASK_BYTES = (1, 2, 4, 8)
PREDICATES = {"eq": "==", "lt": "<", "le": "<=", "ne": "!=", "ge": ">=", "gt": ">"}


def mask_value(k: Kernel, word: ir.Value) -> ir.Value:
    """The low bits of an opmask register, as many as the operation's width has."""
    return k.scalar(word, ir.IntType(8 * k.size))


def store_mask(k: Kernel, value: ir.Value) -> None:
    """The bits above the operation's width become 0."""
    k.store_scalar(k.d, value if value.type.width == 64 else k.b.zext(value, I64))


def logic(operate: Operation) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        store_mask(k, operate(k, mask_value(k, k.a), mask_value(k, k.c)))
    return emit


def copy(k: Kernel) -> None:
    store_mask(k, mask_value(k, k.a))


def invert(k: Kernel) -> None:
    store_mask(k, k.b.not_(mask_value(k, k.a)))


def shift(name: str) -> Callable[[Kernel], None]:
    """KSHIFTL, KSHIFTR by the immediate: nothing is left where that exceeds the width."""
    def emit(k: Kernel) -> None:
        count = k.b.and_(k.imm, I64(0xFF))
        beyond = k.b.icmp_unsigned(">=", count, I64(8 * k.size))
        value = mask_value(k, k.a)
        safe = k.b.select(beyond, I64(0), count)
        amount = safe if k.size == 8 else k.b.trunc(safe, value.type)
        store_mask(k, k.b.select(beyond, value.type(0), getattr(k.b, name)(value, amount)))
    return emit


def unpack(k: Kernel) -> None:
    """KUNPCK: the low halves of A and B, A's above."""
    half = ir.IntType(4 * k.size)
    high, low = (k.b.zext(k.scalar(word, half), ir.IntType(8 * k.size)) for word in (k.a, k.c))
    store_mask(k, k.b.or_(k.b.shl(high, high.type(half.width)), low))


def or_test(k: Kernel) -> None:
    """KORTEST: ZF where A | B is 0, CF where it is all ones."""
    value = k.b.or_(mask_value(k, k.a), mask_value(k, k.c))
    set_zero_carry(k, k.b.icmp_unsigned("==", value, value.type(0)), k.b.icmp_unsigned("==", value, value.type(-1)))


def test(k: Kernel) -> None:
    """KTEST: ZF where A & B is 0, CF where ~A & B is."""
    b, x, y = k.b, mask_value(k, k.a), mask_value(k, k.c)
    zero = x.type(0)
    set_zero_carry(k, b.icmp_unsigned("==", b.and_(x, y), zero), b.icmp_unsigned("==", b.and_(b.not_(x), y), zero))


def compare(element: ir.IntType, predicate: str, signed: bool) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        x, y = k.load(k.a, element), k.load(k.c, element)
        store_conditions(k, (k.b.icmp_signed if signed else k.b.icmp_unsigned)(predicate, x, y))
    return emit


def test_elements(element: ir.IntType, predicate: str) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        both = k.b.and_(k.load(k.a, element), k.load(k.c, element))
        store_conditions(k, k.b.icmp_unsigned(predicate, both, constant(element, [0] * both.type.count)))
    return emit


def spread(element: ir.IntType) -> Callable[[Kernel], None]:
    """VPMOVM2*: elements of all ones where the bit of mask A is set."""
    def emit(k: Kernel) -> None:
        count = k.size * 8 // element.width
        k.store(k.d, k.b.sext(mask_bits(k, k.a, count), vector(element, count)))
    return emit


def broadcast(mask_bytes: int, element: ir.IntType) -> Callable[[Kernel], None]:
    """VPBROADCASTM*: mask A itself, to all elements."""
    def emit(k: Kernel) -> None:
        value = k.b.zext(k.scalar(k.a, ir.IntType(8 * mask_bytes)), element)
        k.store(k.d, k.splat(value, k.size * 8 // element.width))
    return emit


def constant_mask(value: int) -> Callable[[Kernel], None]:
    """Comparisons that always or never hold: as many bits as there are elements, under the mask."""
    def emit(k: Kernel) -> None:
        k.store_scalar(k.d, k.b.and_(k.scalar(k.imm, I64), I64((1 << k.size) - 1 if value else 0)))
    return emit


define("kand", logic(lambda k, x, y: k.b.and_(x, y)), *MASK_BYTES)
define("kandn", logic(lambda k, x, y: k.b.and_(k.b.not_(x), y)), *MASK_BYTES)
define("kor", logic(lambda k, x, y: k.b.or_(x, y)), *MASK_BYTES)
define("kxor", logic(lambda k, x, y: k.b.xor(x, y)), *MASK_BYTES)
define("kxnor", logic(lambda k, x, y: k.b.not_(k.b.xor(x, y))), *MASK_BYTES)
define("kadd", logic(lambda k, x, y: k.b.add(x, y)), *MASK_BYTES)
define("kmov", copy, *MASK_BYTES)
define("knot", invert, *MASK_BYTES)
define("kshiftl", shift("shl"), *MASK_BYTES)
define("kshiftr", shift("lshr"), *MASK_BYTES)
define("kunpck", unpack, 2, 4, 8)
define("kortest", or_test, *MASK_BYTES)
define("ktest", test, *MASK_BYTES)
define("compare_true", constant_mask(1), 2, 4, 8, 16, 32, 64)
define("compare_false", constant_mask(0), 2, 4, 8, 16, 32, 64)
for _bytes, _type in ELEMENTS.items():
    for _name, _predicate in PREDICATES.items():
        define(f"compare_{_name}{_bytes}", compare(_type, _predicate, signed=True), *WIDE)
        define(f"compare_{_name}u{_bytes}", compare(_type, _predicate, signed=False), *WIDE)
    define(f"testm{_bytes}", test_elements(_type, "!="), *WIDE)
    define(f"testnm{_bytes}", test_elements(_type, "=="), *WIDE)
    define(f"spread{_bytes}", spread(_type), *WIDE)
define("broadcast_mask8", broadcast(1, I64), *WIDE)
define("broadcast_mask4", broadcast(2, I32), *WIDE)
