"""Moving, packing, choosing and extending the elements of vectors (SDM Vol. 2: PACK*, PUNPCK*, PSHUF*, SHUFP*, PALIGNR,
PBLEND*, PMOVSX*, INSERTPS, PINSR*, PEXTR*, MOVMSK*, PTEST).

The general operations work within 128-bit lanes. In a region the immediate is a constant, and what is written here
with variable indices becomes one shuffle.
"""

from collections.abc import Callable

from llvmlite import ir

from jit import layout
from jit.host_features import host_has
from jit.semantics.vector_integer import ALL, VECTOR, binary, unary
from jit.vector import I8, I16, I32, I64, Kernel, constant, define, vector

HOST_SHUFFLE = {16: ("ssse3", "llvm.x86.ssse3.pshuf.b.128"), 32: ("avx2", "llvm.x86.avx2.pshuf.b"),
                64: ("avx512bw", "llvm.x86.avx512.pshuf.b.512")}



def lane_order(k: Kernel, count: int, order: Callable[[int, int], list[int]]) -> list[int]:
    """A shuffle of two vectors of `count` elements, lane by lane: `order(start, per)` gives a lane's elements."""
    per = count // k.lanes
    return [number for lane in range(k.lanes) for number in order(lane * per, per)]


def pack(signed: bool) -> Callable[[Kernel, ir.Value, ir.Value], ir.Value]:
    """Signed elements of A, then of B, saturated to half their width."""
    def operate(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
        width, count = x.type.element.width // 2, x.type.count
        low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
        narrow = vector(ir.IntType(width), count)
        halves = []
        for value in (x, y):
            clamped = k.intrinsic("smax", value, constant(value.type.element, [low] * count))
            clamped = k.intrinsic("smin", clamped, constant(value.type.element, [high] * count))
            halves.append(k.b.trunc(clamped, narrow))
        order = lane_order(k, count, lambda start, per: [base + start + i for base in (0, count) for i in range(per)])
        return k.shuffle(halves[0], halves[1], order)
    return operate


def unpack(high: bool) -> Callable[[Kernel, ir.Value, ir.Value], ir.Value]:
    """Interleave the low or high halves."""
    def operate(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
        count = x.type.count
        return k.shuffle(x, y, lane_order(k, count, lambda start, per: [
            base + start + (per // 2 if high else 0) + i for i in range(per // 2) for base in (0, count)]))
    return operate


def fixed(*order: int) -> Callable[[Kernel, ir.Value], ir.Value]:
    """The same rearrangement of each lane."""
    def operate(k: Kernel, x: ir.Value) -> ir.Value:
        return k.shuffle(x, x, lane_order(k, x.type.count, lambda start, per: [
            start + base + o for base in range(0, per, len(order)) for o in order]))
    return operate


def chosen(k: Kernel, x: ir.Value, start: int, bits: int, at: int) -> ir.Value:
    """The element of x that `bits` bits of the immediate from bit `at` choose, counted from `start`."""
    index = k.b.and_(k.b.lshr(k.imm, I64(at)), I64((1 << bits) - 1))
    return k.b.extract_element(x, k.b.trunc(k.b.add(index, I64(start)), I32))


def immediate_shuffle(element: ir.IntType, per: int, bits: int, kept: tuple[int, ...] = (),
                      base: int = 0) -> Callable[[Kernel], None]:
    """PSHUFD and the like: each group of `per` elements from A alone. Elements whose number within the lane is in
    `kept` stay; `base` is the first element that can be chosen."""
    def emit(k: Kernel) -> None:
        x = k.load(k.a, element)
        result = x
        lane = 128 // element.width if k.size >= 16 else per
        for start in range(0, x.type.count, lane):
            numbers = [i for i in range(lane) if i not in kept]
            for position, i in enumerate(numbers):
                value = chosen(k, x, start + base, bits, bits * position)
                result = k.b.insert_element(result, value, I32(start + i))
        k.store(k.d, result)
    return emit


def shuffle_two(element: ir.IntType) -> Callable[[Kernel], None]:
    """SHUFPS, SHUFPD: the lower half of each lane from A, the upper from B."""
    def emit(k: Kernel) -> None:
        x, y = k.load(k.a, element), k.load(k.c, element)
        result = x
        per, bits = (4, 2) if element is I32 else (2, 1)
        for start in range(0, x.type.count, per):
            for i in range(per):
                at = bits * i + (start if element is I64 else 0)
                value = chosen(k, x if i < per // 2 else y, start, bits, at)
                result = k.b.insert_element(result, value, I32(start + i))
        k.store(k.d, result)
    return emit


def shuffle_bytes(k: Kernel) -> None:
    """PSHUFB: bytes of A chosen by B; zero where bit 7 is set."""
    lane = min(16, k.size)
    control = k.load(k.c, I8)
    for size, (feature, name) in HOST_SHUFFLE.items():
        if size == k.size and host_has(feature):
            k.store(k.d, k.call(name, control.type, k.load(k.a, I8), control))
            return
    result = constant(I8, [0] * k.size)
    for i in range(k.size):
        index = k.b.and_(k.b.extract_element(control, I32(i)), I8(lane - 1))
        at = k.b.add(k.a, k.b.zext(index, I64))
        result = k.b.insert_element(result, k.scalar(at, I8, i & -lane), I32(i))
    zero = constant(I8, [0] * k.size)
    k.store(k.d, k.b.select(k.b.icmp_signed("<", control, zero), zero, result))


def align_right(k: Kernel) -> None:
    """PALIGNR: A above B, shifted right by bytes."""
    width = min(16, k.size)
    narrow, wide = ir.IntType(8 * width), ir.IntType(16 * width)
    count = k.b.and_(k.imm, I64(0xFF))
    beyond = k.b.icmp_unsigned(">=", count, I64(2 * width))
    amount = k.b.zext(k.b.shl(k.b.select(beyond, I64(0), count), I64(3)), wide)
    for at in range(0, k.size, width):
        high, low = (k.b.zext(k.scalar(word, narrow, at), wide) for word in (k.a, k.c))
        both = k.b.or_(k.b.shl(high, wide(8 * width)), low)
        moved = k.b.trunc(k.b.lshr(both, amount), narrow)
        k.store_scalar(k.d, k.b.select(beyond, narrow(0), moved), at)


def blend(element: ir.IntType) -> Callable[[Kernel], None]:
    """PBLENDW, BLENDPS, VPBLENDD: B where the immediate's bit is set. PBLENDW uses the same 8 bits in each lane."""
    def emit(k: Kernel) -> None:
        x, y = k.load(k.a, element), k.load(k.c, element)
        count = x.type.count
        control = k.splat(k.b.trunc(k.imm, I8), count)
        bits = k.b.and_(control, constant(I8, [1 << i % 8 for i in range(count)]))
        k.store(k.d, k.b.select(k.b.icmp_unsigned("!=", bits, constant(I8, [0] * count)), y, x))
    return emit


def blend_by_sign(element: ir.IntType) -> Callable[[Kernel], None]:
    """PBLENDVB, BLENDVPS, BLENDVPD: B where the sign of the mask is set; the mask's offset is the immediate."""
    def emit(k: Kernel) -> None:
        x, y, mask = k.load(k.a, element), k.load(k.c, element), k.load(k.imm, element)
        zero = constant(element, [0] * x.type.count)
        k.store(k.d, k.b.select(k.b.icmp_signed("<", mask, zero), y, x))
    return emit


def extend(narrow: ir.IntType, wide: ir.IntType, signed: bool) -> Callable[[Kernel], None]:
    """PMOVSX, PMOVZX: the low elements of A."""
    def emit(k: Kernel) -> None:
        count = k.size * 8 // wide.width
        value = k.load(k.a, narrow, count)
        k.store(k.d, (k.b.sext if signed else k.b.zext)(value, vector(wide, count)))
    return emit


def insert_single(k: Kernel) -> None:
    """INSERTPS: an element of B to a place in A, then elements cleared (SDM Vol. 2A INSERTPS)."""
    x, y = k.load(k.a, I32), k.load(k.c, I32)
    value = chosen(k, y, 0, 2, 6)
    place = k.b.trunc(k.b.and_(k.b.lshr(k.imm, I64(4)), I64(3)), I32)
    result = k.b.insert_element(x, value, place)
    bits = k.b.and_(k.splat(k.b.trunc(k.imm, I8), 4), constant(I8, [1, 2, 4, 8]))
    zero = constant(I32, [0] * 4)
    k.store(k.d, k.b.select(k.b.icmp_unsigned("!=", bits, constant(I8, [0] * 4)), zero, result))


def element_offset(k: Kernel, element: ir.IntType, total: int) -> ir.Value:
    """Byte offset of the element that the immediate chooses."""
    size = element.width // 8
    return k.b.mul(k.b.and_(k.imm, I64(total // size - 1)), I64(size))


def insert_element(element: ir.IntType) -> Callable[[Kernel], None]:
    """PINSRB and the like: A with one element from the general register B."""
    def emit(k: Kernel) -> None:
        value = k.register(k.c, element)
        k.store(k.d, k.load(k.a, I8))
        k.store_scalar(k.b.add(k.d, element_offset(k, element, k.size)), value)
    return emit


def extract_element(element: ir.IntType) -> Callable[[Kernel], None]:
    """PEXTRB and the like: an element of A, zero-extended, to a general register."""
    def emit(k: Kernel) -> None:
        value = k.scalar(k.b.add(k.a, element_offset(k, element, k.size)), element)
        k.set_register(k.d, value if element is I64 else k.b.zext(value, I64))
    return emit


def sign_mask(element: ir.IntType) -> Callable[[Kernel], None]:
    """MOVMSKPS, PMOVMSKB: the signs of A's elements to a general register."""
    def emit(k: Kernel) -> None:
        x = k.load(k.a, element)
        signs = k.b.icmp_signed("<", x, constant(element, [0] * x.type.count))
        k.set_register(k.d, k.b.zext(k.b.bitcast(signs, ir.IntType(x.type.count)), I64))
    return emit


def merge(k: Kernel) -> None:
    """The low `size` bytes of B with the rest of A's 16."""
    element = ir.IntType(8 * k.size)
    k.store(k.d, k.b.insert_element(k.load(k.a, element, 16 // k.size), k.scalar(k.c, element), I32(0)))


def high_to_low(k: Kernel) -> None:
    """MOVHLPS: the upper half of B under the upper half of A."""
    k.store(k.d, k.shuffle(k.load(k.a, I64), k.load(k.c, I64), [3, 1]))


def any_bit(k: Kernel, value: ir.Value) -> ir.Value:
    """Whether a vector has a bit set."""
    whole = ir.IntType(8 * k.size)
    return k.b.icmp_unsigned("!=", k.b.bitcast(value, whole), whole(0))


def test(k: Kernel, x: ir.Value, y: ir.Value) -> None:
    """ZF: x & y is 0. CF: ~x & y is 0. The other status flags are cleared."""
    b = k.b
    set_zero_carry(k, b.not_(any_bit(k, b.and_(x, y))), b.not_(any_bit(k, b.and_(b.not_(x), y))))


def set_zero_carry(k: Kernel, zero: ir.Value, carry_flag: ir.Value) -> None:
    """ZF and CF; the other status flags are cleared, in the form of jit/flags.py."""
    b = k.b
    carry = b.zext(carry_flag, I64)
    k.set_register(I64(layout.RES), b.select(zero, I64(0), I64(0x100)))
    k.set_register(I64(layout.AUX), b.shl(carry, I64(63)))
    k.set_register(I64(layout.CARRY), b.or_(carry, I64(0x100)))


def test_signs(element: ir.IntType) -> Callable[[Kernel], None]:
    """VTESTPS, VTESTPD: PTEST of the elements' signs."""
    def emit(k: Kernel) -> None:
        x, y = k.load(k.a, element), k.load(k.c, element)
        signs = constant(element, [1 << element.width - 1] * x.type.count)
        test(k, k.b.or_(x, k.b.not_(signs)), k.b.and_(y, signs))
    return emit


for _wide, _to in (("wb", I16), ("dw", I32)):
    binary("packss" + _wide, _to, pack(True))
    binary("packus" + _wide, _to, pack(False))
for _suffix, _element in (("bw", I8), ("wd", I16), ("dq", I32), ("qdq", I64)):
    binary("punpckl" + _suffix, _element, unpack(False), ALL if _element is not I64 else VECTOR)
    binary("punpckh" + _suffix, _element, unpack(True), ALL if _element is not I64 else VECTOR)
define("pshufw", immediate_shuffle(I16, 4, 2), 8)
define("pshufd", immediate_shuffle(I32, 4, 2), *VECTOR)
define("pshuflw", immediate_shuffle(I16, 4, 2, kept=(4, 5, 6, 7)), *VECTOR)
define("pshufhw", immediate_shuffle(I16, 4, 2, kept=(0, 1, 2, 3), base=4), *VECTOR)
define("shufps", shuffle_two(I32), *VECTOR)
define("shufpd", shuffle_two(I64), *VECTOR)
define("pshufb", shuffle_bytes, *ALL)
define("palignr", align_right, *ALL)
define("pblendw", blend(I16), *VECTOR)
define("blendps", blend(I32), *VECTOR)
define("blendpd", blend(I64), *VECTOR)
define("pblendvb", blend_by_sign(I8), *VECTOR)
define("blendvps", blend_by_sign(I32), *VECTOR)
define("blendvpd", blend_by_sign(I64), *VECTOR)
_widths = (("b", I8), ("w", I16), ("d", I32), ("q", I64))
for _n, (_from, _narrow_type) in enumerate(_widths):
    for _to_name, _wide_type in _widths[_n + 1:]:
        define(f"pmovsx{_from}{_to_name}", extend(_narrow_type, _wide_type, True), *VECTOR)
        define(f"pmovzx{_from}{_to_name}", extend(_narrow_type, _wide_type, False), *VECTOR)
define("insertps", insert_single, 16)
for _suffix, _element in _widths:
    define("pinsr" + _suffix, insert_element(_element), 8, 16)
    define("pextr" + _suffix, extract_element(_element), 8, 16)
define("pmovmskb", sign_mask(I8), *ALL)
define("movmskps", sign_mask(I32), *VECTOR)
define("movmskpd", sign_mask(I64), *VECTOR)
define("merge", merge, 4, 8)
define("movhlps", high_to_low, 16)
unary("movsldup", I32, fixed(0, 0), VECTOR)
unary("movshdup", I32, fixed(1, 1), VECTOR)
unary("movddup", I64, fixed(0, 0), VECTOR)
define("ptest", lambda k: test(k, k.load(k.a, I64), k.load(k.c, I64)), *VECTOR)
define("testps", test_signs(I32), *VECTOR)
define("testpd", test_signs(I64), *VECTOR)
