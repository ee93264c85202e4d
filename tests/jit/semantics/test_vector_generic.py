"""Vector kernels as hosts without the matching extension run them, against the definitions."""

import ctypes
import hashlib
from collections.abc import Iterator
from itertools import count
from random import Random

import llvmlite.binding as llvm
import numpy as np
import pytest

from jit import fpu_layout, host_features, layout
from jit.compiler import compiler
from jit.registry import OPS
from jit.semantics import (  # noqa: F401  (they register micro-ops)
    vector_aes,
    vector_galois,
    vector_permute,
    vector_sha,
    vector_shuffle,
)

A, B, D = (fpu_layout.xmm(n) for n in (1, 2, 3))
_numbers = count()
HANDLER = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, *[ctypes.c_int64] * 4)


@pytest.fixture(autouse=True, params=["generic", "host"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    host_features.prefer_generic(request.param == "generic")
    yield request.param
    host_features.prefer_generic(False)


class Handler:
    """One micro-op compiled by itself, on an FPU file of its own."""

    def __init__(self, name: str) -> None:
        symbol = f"test.{next(_numbers)}"
        module = llvm.parse_assembly(OPS[name].build().text(symbol))
        compiler().optimise(module)
        self.call = HANDLER(compiler().add_object(compiler().target.emit_object(module), symbol))
        self.size = int(name.rpartition(".")[2])
        self.file = np.zeros(fpu_layout.FPU_BYTES, np.uint8)
        self.state = np.zeros(4096, np.uint64)
        self.state[layout.FPU // 8] = self.file.ctypes.data

    def __call__(self, a: bytes, b: bytes = b"", immediate: int = 0, d: bytes = b"") -> bytes:
        for place, data in ((A, a), (B, b), (D, d)):
            self.file[place:place + len(data)] = np.frombuffer(data, np.uint8)
        assert self.call(self.state.ctypes.data, D, A, B, immediate) == 0
        return bytes(self.file[D:D + self.size])


def flip(text: str) -> bytes:
    return bytes.fromhex(text)


def test_aes_encrypts_as_fips_197_appendix_b_does() -> None:
    """The states at the start of rounds 1 and 2, and before the last round and after it."""
    key1, key10 = flip("a0fafe1788542cb123a339392a6c7605"), flip("d014f9a8c9ee2589e13f0cc8b6630ca6")
    assert Handler("aesenc.16")(flip("193de3bea0f4e22b9ac68d2ae9f84808"), key1) == \
        flip("a49c7ff2689f352b6b5bea43026a5049")
    assert Handler("aesenclast.16")(flip("eb40f21e592e38848ba113e71bc342d2"), key10) == \
        flip("3925841d02dc09fbdc118597196a0b32")


def test_aes_decrypts_what_it_encrypted() -> None:
    """The equivalent inverse cipher (FIPS 197 5.3.5), for one inner round and one last round."""
    rng = Random(1)
    state, key = rng.randbytes(32), rng.randbytes(32)
    for size in (16, 32):
        zero = bytes(size)
        inner = Handler(f"aesenclast.{size}")(state[:size], key[:size])
        keyless = bytes(x ^ y for x, y in zip(inner, key, strict=False))
        assert Handler(f"aesdeclast.{size}")(keyless, zero) == state[:size]
    mixed = Handler("aesenc.16")(state[:16], bytes(16))
    assert Handler("aesdeclast.16")(Handler("aesimc.16")(mixed), bytes(16)) == state[:16]
    assert Handler("aesdec.16")(Handler("aesenclast.16")(state[:16], bytes(16)), bytes(16)) == \
        Handler("aesimc.16")(state[:16])


def test_key_generation_expands_the_key_of_fips_197_appendix_a1() -> None:
    key = flip("2b7e151628aed2a6abf7158809cf4f3c")
    assert Handler("aeskeygenassist.16")(key, immediate=1)[12:] == flip("8b84eb01")


def polynomial_product(x: int, y: int) -> int:
    total = 0
    for bit in range(y.bit_length()):
        if y >> bit & 1:
            total ^= x << bit
    return total


@pytest.mark.parametrize("immediate", [0, 1, 0x10, 0x11])
def test_carry_less_products(immediate: int) -> None:
    rng = Random(immediate)
    multiply = Handler("pclmulqdq.32")
    for values in ((-1 & (1 << 128) - 1,) * 4, *(tuple(rng.getrandbits(128) for _ in range(4)) for _ in range(50))):
        a, b = (b"".join(v.to_bytes(16, "little") for v in values[i:i + 2]) for i in (0, 2))
        found = multiply(a, b, immediate)
        for lane in range(2):
            x = values[lane] >> 64 * (immediate & 1) & (1 << 64) - 1
            y = values[2 + lane] >> 64 * (immediate >> 4 & 1) & (1 << 64) - 1
            assert int.from_bytes(found[16 * lane:16 * lane + 16], "little") == polynomial_product(x, y)


def reduced(value: int) -> int:
    for bit in range(14, 7, -1):
        if value >> bit & 1:
            value ^= 0x11B << bit - 8
    return value


def test_products_of_bytes() -> None:
    rng = Random(3)
    multiply = Handler("gf2p8mulb.32")
    for _ in range(50):
        a, b = rng.randbytes(32), rng.randbytes(32)
        assert list(multiply(a, b)) == [reduced(polynomial_product(x, y)) for x, y in zip(a, b, strict=True)]


def test_affine_transformations() -> None:
    rng = Random(4)
    transform = Handler("gf2p8affineqb.16")
    for _ in range(50):
        values, matrices, added = rng.randbytes(16), rng.randbytes(16), rng.randrange(256)
        halves = (transformed(values[i:i + 8], matrices[i:i + 8]) for i in (0, 8))
        assert transform(values, matrices, added) == bytes(v ^ added for v in b"".join(halves))


def test_inverses() -> None:
    """Under the identity matrix, whose first row is byte 7; a byte times its inverse is 1."""
    identity = bytes(0x80 >> i for i in range(8)) * 2
    invert = Handler("gf2p8affineinvqb.16")
    for start in range(0, 256, 16):
        values = bytes(range(start, start + 16))
        found = invert(values, identity)
        assert [reduced(polynomial_product(x, y)) for x, y in zip(values, found, strict=True)] == \
            [int(v != 0) for v in values]


def transformed(values: bytes, matrix: bytes) -> bytes:
    """Bit i of each result byte is the parity of the byte and the matrix's byte 7 - i (SDM Vol. 2A)."""
    return bytes(sum((bin(matrix[7 - bit] & v).count("1") & 1) << bit for bit in range(8)) for v in values)


def test_sha256_of_one_block() -> None:
    """SHA256RNDS2 and the schedule give the digest of "abc" (FIPS 180-4 5.3.3)."""
    rounds, first, second = (Handler(n + ".16") for n in ("sha256rnds2", "sha256msg1", "sha256msg2"))
    primes = [p for p in range(2, 312) if all(p % q for q in range(2, p))]

    def root(p: int, n: int) -> int:
        """32 bits of the fraction of the n-th root."""
        low, high = 0, p << 32
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if middle ** n <= p << 32 * n else (low, middle)
        return low & 0xFFFFFFFF

    def pack(words: list[int]) -> bytes:
        return b"".join(w.to_bytes(4, "little") for w in words)

    def unpack(data: bytes) -> list[int]:
        return [int.from_bytes(data[i:i + 4], "little") for i in range(0, 16, 4)]
    constants = [root(p, 3) for p in primes]
    start = [root(p, 2) for p in primes[:8]]
    block = b"abc\x80" + bytes(52) + (24).to_bytes(8, "big")
    schedule = [int.from_bytes(block[i:i + 4], "big") for i in range(0, 64, 4)]
    while len(schedule) < 64:
        w = schedule[-16:]
        partial = unpack(first(pack(w[0:4]), pack(w[4:8])))
        partial = [(p + x) & 0xFFFFFFFF for p, x in zip(partial, w[9:13], strict=True)]
        schedule += unpack(second(pack(partial), pack(w[12:16])))
    a, b, c, d, e, f, g, h = start
    high, low = pack([f, e, b, a]), pack([h, g, d, c])
    for step in range(0, 64, 2):
        added = [(constants[step + i] + schedule[step + i]) & 0xFFFFFFFF for i in range(2)]
        rounds.file[fpu_layout.xmm(0):fpu_layout.xmm(0) + 8] = np.frombuffer(pack([*added, 0, 0])[:8], np.uint8)
        high, low = rounds(low, high), high
    f, e, b, a = unpack(high)
    h, g, d, c = unpack(low)
    digest = b"".join(((x + y) & 0xFFFFFFFF).to_bytes(4, "big")
                      for x, y in zip((a, b, c, d, e, f, g, h), start, strict=True))
    assert digest == hashlib.sha256(b"abc").digest()


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_pshufb_chooses_bytes_of_the_lane(size: int) -> None:
    rng = Random(size)
    data, control = rng.randbytes(size), rng.randbytes(size)
    lane = min(16, size)
    expected = bytes(0 if c & 0x80 else data[i // lane * lane + c % lane] for i, c in enumerate(control))
    assert Handler(f"pshufb.{size}")(data, control) == expected


@pytest.mark.parametrize(("name", "element", "size"), [
    ("permb", 1, 16), ("permb", 1, 64), ("permw", 2, 32), ("permd", 4, 32), ("permd", 4, 64), ("permq", 8, 32)])
def test_permutes_choose_elements_of_the_vector(name: str, element: int, size: int) -> None:
    rng = Random(f"{name} {size}")
    data, control = rng.randbytes(size), rng.randbytes(size)
    found = b""
    for at in range(0, size, element):
        index = int.from_bytes(control[at:at + element], "little") % (size // element)
        found += data[element * index:element * index + element]
    assert Handler(f"{name}.{size}")(control, data) == found


@pytest.mark.parametrize(("name", "element", "size"), [
    ("perm2b", 1, 16), ("perm2b", 1, 64), ("perm2w", 2, 64), ("perm2d", 4, 16), ("perm2d", 4, 64), ("perm2q", 8, 32)])
def test_permutes_of_two_tables(name: str, element: int, size: int) -> None:
    """The first table is at the immediate's place, the second is operand B."""
    rng = Random(f"{name} {size}")
    first, second, control = (rng.randbytes(size) for _ in range(3))
    found = b""
    for at in range(0, size, element):
        index = int.from_bytes(control[at:at + element], "little") % (2 * size // element)
        found += (first + second)[element * index:element * index + element]
    assert Handler(f"{name}.{size}")(control, second, D, first) == found
