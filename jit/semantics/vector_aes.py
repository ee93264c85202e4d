"""AES rounds (SDM Vol. 2A AESENC to AESKEYGENASSIST; FIPS 197). Each 128-bit lane is a state; A is the state, B the
round key. Hosts with AES instructions do them with those, others with table look-ups."""

from collections.abc import Callable

from llvmlite import ir

from jit.host_features import host_has
from jit.semantics.vector_galois import INVERSES, SIZES, doubled, looked_up
from jit.vector import I8, I32, I64, Kernel, constant, define, vector

STATE = 16


def _substitute(x: int) -> int:
    """The S-box (FIPS 197 5.1.1)."""
    x = INVERSES[x]
    return 0x63 ^ x ^ (x << 1 | x >> 7) & 0xFF ^ (x << 2 | x >> 6) & 0xFF ^ (x << 3 | x >> 5) & 0xFF \
        ^ (x << 4 | x >> 4) & 0xFF


S_BOX = [_substitute(x) for x in range(256)]
INVERSE_S_BOX = [S_BOX.index(x) for x in range(256)]


def substituted(k: Kernel, x: ir.Value, inverse: bool) -> ir.Value:
    return looked_up(k, "inverse_s_box" if inverse else "s_box", INVERSE_S_BOX if inverse else S_BOX, x)


def rows_shifted(k: Kernel, x: ir.Value, step: int) -> ir.Value:
    """ShiftRows (step 1) or its inverse (-1)."""
    return k.shuffle(x, x, [4 * ((column + step * row) % 4) + row for column in range(4) for row in range(4)])


def turned(k: Kernel, x: ir.Value, by: int) -> ir.Value:
    """Each column rotated, so that row r holds what row r + by did."""
    return k.shuffle(x, x, [4 * column + (row + by) % 4 for column in range(4) for row in range(4)])


def columns_mixed(k: Kernel, x: ir.Value) -> ir.Value:
    """MixColumns (FIPS 197 5.1.3)."""
    next_row = turned(k, x, 1)
    others = k.b.xor(next_row, k.b.xor(turned(k, x, 2), turned(k, x, 3)))
    return k.b.xor(doubled(k, k.b.xor(x, next_row)), others)


def columns_unmixed(k: Kernel, x: ir.Value) -> ir.Value:
    """InvMixColumns: MixColumns after one more circulant matrix, whose rows are 5, 0, 4, 0."""
    return columns_mixed(k, k.b.xor(x, doubled(k, doubled(k, k.b.xor(x, turned(k, x, 2))))))


def one_round(k: Kernel, state: ir.Value, key: ir.Value, inverse: bool, last: bool) -> ir.Value:
    state = rows_shifted(k, substituted(k, state, inverse), -1 if inverse else 1)
    if not last:
        state = (columns_unmixed if inverse else columns_mixed)(k, state)
    return k.b.xor(state, key)


def aes_round(name: str, inverse: bool, last: bool) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        results = []
        for lane in range(0, k.size, STATE):
            at = I64(lane)
            a, c = k.b.add(k.a, at), k.b.add(k.c, at)
            if host_has("aes"):
                kind = vector(I64, 2)
                results.append(k.call("llvm.x86.aesni." + name, kind, k.load(a, I64, 2), k.load(c, I64, 2)))
            else:
                results.append(one_round(k, k.load(a, I8, STATE), k.load(c, I8, STATE), inverse, last))
        for lane, result in enumerate(results):
            k.store(k.b.add(k.d, I64(STATE * lane)), result)
    return emit


def inverse_mix_columns(k: Kernel) -> None:
    if host_has("aes"):
        k.store(k.d, k.call("llvm.x86.aesni.aesimc", vector(I64, 2), k.load(k.a, I64)))
    else:
        k.store(k.d, columns_unmixed(k, k.load(k.a, I8)))


def key_generation(k: Kernel) -> None:
    """AESKEYGENASSIST: SubWord of words 1 and 3, each also rotated and with the immediate added."""
    b = k.b
    words = b.bitcast(substituted(k, k.load(k.a, I8), False), vector(I32, 4))
    rotated = b.or_(b.lshr(words, constant(I32, [8] * 4)), b.shl(words, constant(I32, [24] * 4)))
    rotated = b.xor(rotated, k.splat(b.trunc(b.and_(k.imm, I64(0xFF)), I32), 4))
    k.store(k.d, k.shuffle(words, rotated, [1, 5, 3, 7]))


for _name, _inverse, _last in (("aesenc", False, False), ("aesenclast", False, True), ("aesdec", True, False),
                               ("aesdeclast", True, True)):
    define(_name, aes_round(_name, _inverse, _last), *SIZES)
define("aesimc", inverse_mix_columns, 16)
define("aeskeygenassist", key_generation, 16)
