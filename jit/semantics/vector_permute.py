"""Rearrangement across lanes and under masks (SDM Vol. 2C: VPERM*, VPERMI2*, VPERMT2*, VALIGN*, VSHUFF*, VEXTRACT*,
VINSERT*, VPCOMPRESS*, VPEXPAND*, VPMOVQB to VPMOVUSWB).

Elements that variable indices choose are read from the FPU file, not from a vector in a register, for which LLVM would
write the vector to the stack each time.
"""

from collections.abc import Callable

from llvmlite import ir

from jit.fpu_layout import TEMPORARY_MASK, VECTOR_BYTES, opmask
from jit.host_features import host_has
from jit.semantics.vector_mask import ELEMENTS, WIDE
from jit.semantics.vector_move import clear_above
from jit.semantics.vector_shuffle import chosen
from jit.vector import I8, I32, I64, I128, Kernel, constant, define, vector

LETTER = {1: "b", 2: "w", 4: "d", 8: "q"}
# The host's permutes by element width: their name in LLVM's intrinsics, and the feature that they need.
HOST_PERMUTE = {8: ("qi", "avx512vbmi"), 16: ("hi", "avx512bw"), 32: ("si", "avx512f"), 64: ("di", "avx512f")}
HOST_PERMUTE_TWO = {8: "qi", 16: "hi", 32: "d", 64: "q"}


def wide_index(k: Kernel, indices: ir.Value, place: int, limit: int) -> ir.Value:
    """Index number `place`, below `limit` (a power of 2), as i64."""
    index = k.b.extract_element(indices, I32(place))
    extended = index if index.type is I64 else k.b.zext(index, I64)
    return k.b.and_(extended, I64(limit - 1))


def host_permutes(k: Kernel, element: ir.IntType) -> bool:
    """Whether the host has EVEX-encoded permutes of such elements and width."""
    return host_has(HOST_PERMUTE[element.width][1]) and (k.size == VECTOR_BYTES or host_has("avx512vl"))


def permute(element: ir.IntType) -> Callable[[Kernel], None]:
    """VPERMB and the like: elements of B, by the indices A."""
    def emit(k: Kernel) -> None:
        indices = k.load(k.a, element)
        if element is I32 and k.size == 32 and host_has("avx2"):
            k.store(k.d, k.call("llvm.x86.avx2.permd", indices.type, k.load(k.c, element), indices))
            return
        if host_permutes(k, element) and (k.size > 16 or element.width < 32):
            name = f"llvm.x86.avx512.permvar.{HOST_PERMUTE[element.width][0]}.{8 * k.size}"
            k.store(k.d, k.call(name, indices.type, k.load(k.c, element), indices))
            return
        count, width = indices.type.count, element.width // 8
        result = constant(element, [0] * count)
        for place in range(count):
            at = k.b.add(k.c, k.b.mul(wide_index(k, indices, place, count), I64(width)))
            result = k.b.insert_element(result, k.scalar(at, element), I32(place))
        k.store(k.d, result)
    return emit


def permute_two(element: ir.IntType) -> Callable[[Kernel], None]:
    """VPERMI2*, VPERMT2*: elements of the tables at the immediate's offset and B, by the indices A."""
    def emit(k: Kernel) -> None:
        b = k.b
        indices = k.load(k.a, element)
        if host_permutes(k, element):
            name = f"llvm.x86.avx512.vpermi2var.{HOST_PERMUTE_TWO[element.width]}.{8 * k.size}"
            k.store(k.d, k.call(name, indices.type, k.load(k.imm, element), indices, k.load(k.c, element)))
            return
        count, width = indices.type.count, element.width // 8
        result = constant(element, [0] * count)
        for place in range(count):
            index = wide_index(k, indices, place, 2 * count)
            table = b.select(b.icmp_unsigned("<", index, I64(count)), k.imm, k.c)
            at = b.add(table, b.mul(b.and_(index, I64(count - 1)), I64(width)))
            result = b.insert_element(result, k.scalar(at, element), I32(place))
        k.store(k.d, result)
    return emit


def align(element: ir.IntType) -> Callable[[Kernel], None]:
    """VALIGND, VALIGNQ: A above B, shifted right by the immediate's number of elements."""
    def emit(k: Kernel) -> None:
        x, y = k.load(k.c, element), k.load(k.a, element)
        count = x.type.count
        both = k.shuffle(x, y, list(range(2 * count)))
        start = k.b.trunc(k.b.and_(k.imm, I64(count - 1)), I32)
        result = constant(element, [0] * count)
        for place in range(count):
            value = k.b.extract_element(both, k.b.add(start, I32(place)))
            result = k.b.insert_element(result, value, I32(place))
        k.store(k.d, result)
    return emit


def shuffle_lanes(k: Kernel) -> None:
    """VSHUFF32X4 and the like: the lower half of the lanes from A, the upper from B, as the immediate says."""
    x, y = k.load(k.a, I128), k.load(k.c, I128)
    count = x.type.count
    bits = 1 if count == 2 else 2
    result = x
    for place in range(count):
        value = chosen(k, x if place < count // 2 else y, 0, bits, bits * place)
        result = k.b.insert_element(result, value, I32(place))
    k.store(k.d, result)


def extract(part: int) -> Callable[[Kernel], None]:
    """`part` bytes of A, which the immediate chooses."""
    def emit(k: Kernel) -> None:
        at = k.b.mul(k.b.and_(k.imm, I64(k.size // part - 1)), I64(part))
        k.store(k.d, k.load(k.b.add(k.a, at), I8, part))
    return emit


def insert(part: int) -> Callable[[Kernel], None]:
    """A with the part that the immediate chooses replaced by `part` bytes of B."""
    def emit(k: Kernel) -> None:
        at = k.b.mul(k.b.and_(k.imm, I64(k.size // part - 1)), I64(part))
        piece = k.load(k.c, I8, part)
        k.store(k.d, k.load(k.a, I8))
        k.store(k.b.add(k.d, at), piece)
    return emit


def broadcast(part: int) -> Callable[[Kernel], None]:
    """The low `part` bytes of A, again and again."""
    def emit(k: Kernel) -> None:
        x = k.load(k.a, I64, part // 8)
        k.store(k.d, k.shuffle(x, x, list(range(part // 8)) * (k.size // part)))
    return emit


def low_mask(k: Kernel, mask: ir.Value, count: int) -> None:
    """K8 = as many low ones as the mask has among its low `count` bits."""
    b = k.b
    number = k.intrinsic("ctpop", b.and_(mask, I64((1 << count) - 1)))
    whole = b.icmp_unsigned("==", number, I64(64))
    ones = b.sub(b.shl(I64(1), b.select(whole, I64(0), number)), I64(1))
    k.store_scalar(I64(opmask(TEMPORARY_MASK)), b.select(whole, I64(-1), ones))


def count_selected(k: Kernel) -> None:
    """K8 from mask A, of as many elements as the operation's width says."""
    low_mask(k, k.scalar(k.a, I64), k.size)


def each_selected(k: Kernel, mask: ir.Value, count: int) -> list[ir.Value]:
    """For each element how many before it are selected."""
    before, found = I64(0), []
    for place in range(count):
        found.append(before)
        before = k.b.add(before, k.b.and_(k.b.lshr(mask, I64(place)), I64(1)))
    return found


def compress(element: ir.IntType) -> Callable[[Kernel], None]:
    """A's elements that mask B selects, side by side at D, a temporary; K8 says how many."""
    def emit(k: Kernel) -> None:
        x, mask = k.load(k.a, element), k.scalar(k.c, I64)
        width = element.width // 8
        for place, before in enumerate(each_selected(k, mask, x.type.count)):
            at = k.b.add(k.d, k.b.mul(before, I64(width)))
            k.store_scalar(at, k.b.extract_element(x, I32(place)))
        low_mask(k, mask, x.type.count)
    return emit


def expand(element: ir.IntType) -> Callable[[Kernel], None]:
    """A's lowest elements one by one to where mask B selects."""
    def emit(k: Kernel) -> None:
        mask, width, count = k.scalar(k.c, I64), element.width // 8, k.size * 8 // element.width
        result = constant(element, [0] * count)
        for place, before in enumerate(each_selected(k, mask, count)):
            value = k.scalar(k.b.add(k.a, k.b.mul(before, I64(width))), element)
            result = k.b.insert_element(result, value, I32(place))
        k.store(k.d, result)
    return emit


def narrow(wide: ir.IntType, to: ir.IntType, saturation: str) -> Callable[[Kernel], None]:
    """A's elements, truncated or saturated; the rest of the destination becomes 0."""
    def emit(k: Kernel) -> None:
        x = k.load(k.a, wide)
        count = x.type.count
        limit = (1 << to.width) - 1
        if saturation == "s":
            low, high = -(limit + 1) // 2, limit // 2
            x = k.intrinsic("smax", x, constant(wide, [low] * count))
            x = k.intrinsic("smin", x, constant(wide, [high] * count))
        elif saturation == "us":
            x = k.intrinsic("umin", x, constant(wide, [limit] * count))
        k.store(k.d, k.b.trunc(x, vector(to, count)))
        k.size = count * to.width // 8
        clear_above(k)
    return emit


for _bytes, _type in ELEMENTS.items():
    define("perm" + LETTER[_bytes], permute(_type), *WIDE)
    define("perm2" + LETTER[_bytes], permute_two(_type), *WIDE)
    define("compress" + LETTER[_bytes], compress(_type), *WIDE)
    define("expand" + LETTER[_bytes], expand(_type), *WIDE)
    if _bytes >= 4:
        define("align" + LETTER[_bytes], align(_type), *WIDE)
    for _to_bytes, _to_type in ELEMENTS.items():
        if _to_bytes < _bytes:
            for _saturation in ("", "s", "us"):
                define(f"pmov{_saturation}{LETTER[_bytes]}{LETTER[_to_bytes]}", narrow(_type, _to_type, _saturation),
                       *WIDE)
define("shuffle_lanes", shuffle_lanes, 32, 64)
define("count_selected", count_selected, 2, 4, 8, 16, 32, 64)
for _part in (16, 32):
    define(f"extract{_part}", extract(_part), 32, 64)
    define(f"insert{_part}", insert(_part), 32, 64)
for _part in (8, 16, 32):
    define(f"broadcast{_part}", broadcast(_part), *WIDE)
