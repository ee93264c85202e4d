"""Arithmetic in GF(2**8) and GF(2): GF2P8MULB, GF2P8AFFINEQB, GF2P8AFFINEINVQB (SDM Vol. 2A), PCLMULQDQ (Vol. 2B)."""

from collections.abc import Callable

from llvmlite import ir

from jit.host_features import host_has
from jit.vector import I8, I32, I64, I128, Kernel, constant, define, vector

POLYNOMIAL = 0x11B              # x**8 + x**4 + x**3 + x + 1 (FIPS 197 4.2)
SIZES = (16, 32, 64)


def product(x: int, y: int) -> int:
    """x * y in GF(2**8)."""
    total = 0
    for bit in range(8):
        if y >> bit & 1:
            total ^= x << bit
    for bit in range(14, 7, -1):
        if total >> bit & 1:
            total ^= POLYNOMIAL << bit - 8
    return total


INVERSES = [0, *(next(y for y in range(1, 256) if product(x, y) == 1) for x in range(1, 256))]


def looked_up(k: Kernel, name: str, table: list[int], x: ir.Value) -> ir.Value:
    """Each byte of x replaced by the table's entry of that number."""
    data = k.module.globals.get(name)
    if data is None:
        data = ir.GlobalVariable(k.module, ir.ArrayType(I8, 256), name)
        data.initializer = ir.Constant(data.value_type, bytearray(table))
        data.global_constant, data.linkage = True, "internal"
    result = x
    for i in range(x.type.count):
        index = k.b.zext(k.b.extract_element(x, I32(i)), I64)
        result = k.b.insert_element(result, k.b.load(k.b.gep(data, [I64(0), index])), I32(i))
    return result


def doubled(k: Kernel, x: ir.Value) -> ir.Value:
    """Bytes times x in GF(2**8)."""
    count = x.type.count
    carry = k.b.and_(k.b.ashr(x, constant(I8, [7] * count)), constant(I8, [POLYNOMIAL & 0xFF] * count))
    return k.b.xor(k.b.shl(x, constant(I8, [1] * count)), carry)


def multiply(k: Kernel) -> None:
    x, y = k.load(k.a, I8), k.load(k.c, I8)
    count = x.type.count
    total = constant(I8, [0] * count)
    seven = constant(I8, [7] * count)
    for bit in range(7, -1, -1):
        total = doubled(k, total)
        wanted = k.b.ashr(k.b.shl(y, constant(I8, [7 - bit] * count)), seven)
        total = k.b.xor(total, k.b.and_(x, wanted))
    k.store(k.d, total)


def affine(inverted: bool) -> Callable[[Kernel], None]:
    """Each byte of A, or its inverse, times the matrix in the quadword of B, whose byte 7 is the first row; then the
    immediate is added."""
    def emit(k: Kernel) -> None:
        b = k.b
        x, rows = k.load(k.a, I8), k.load(k.c, I8)
        count = x.type.count
        if inverted:
            x = looked_up(k, "gf_inverses", INVERSES, x)
        result = k.splat(b.trunc(k.imm, I8), count)
        for bit in range(8):
            row = k.shuffle(rows, rows, [(i & -8) + 7 - bit for i in range(count)])
            parity = b.and_(k.intrinsic("ctpop", b.and_(row, x)), constant(I8, [1] * count))
            result = b.xor(result, b.shl(parity, constant(I8, [bit] * count)))
        k.store(k.d, result)
    return emit


def carry_less(k: Kernel, x: ir.Value, y: ir.Value) -> ir.Value:
    """The 128-bit carry-less product of 64-bit numbers: ordinary products of numbers that have only every fifth bit,
    whose sums of up to 13 ones cannot carry into the next bit that counts."""
    b = k.b
    masks = [sum(1 << bit for bit in range(part, 128, 5)) for part in range(5)]
    xs, ys = ([b.zext(b.and_(v, I64(m & (1 << 64) - 1)), I128) for m in masks] for v in (x, y))
    total = None
    for part in range(5):
        terms = [b.mul(xs[i], ys[(part - i) % 5]) for i in range(5)]
        folded = terms[0]
        for term in terms[1:]:
            folded = b.xor(folded, term)
        folded = b.and_(folded, I128(masks[part]))
        total = folded if total is None else b.or_(total, folded)
    return total


def carry_less_product(k: Kernel) -> None:
    """In each 128-bit lane the product of one quadword of A and one of B, by bits 0 and 4 of the immediate."""
    b = k.b
    offsets = [b.shl(b.and_(b.lshr(k.imm, I64(at)), I64(1)), I64(3)) for at in (0, 4)]
    a, c = b.add(k.a, offsets[0]), b.add(k.c, offsets[1])
    results = []
    for lane in range(0, k.size, 16):
        x, y = k.scalar(a, I64, lane), k.scalar(c, I64, lane)
        if host_has("pclmul"):
            zero = constant(I64, [0, 0])
            pair = (b.insert_element(zero, value, I32(0)) for value in (x, y))
            results.append(k.call("llvm.x86.pclmulqdq", vector(I64, 2), *pair, I8(0)))
        else:
            results.append(carry_less(k, x, y))
    for lane, result in enumerate(results):
        k.store_scalar(k.d, result, 16 * lane)


define("pclmulqdq", carry_less_product, *SIZES)
define("gf2p8mulb", multiply, *SIZES)
define("gf2p8affineqb", affine(False), *SIZES)
define("gf2p8affineinvqb", affine(True), *SIZES)
