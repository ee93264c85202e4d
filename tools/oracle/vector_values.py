"""Random vector states: elements of the kinds at which packed and floating-point arithmetic goes wrong."""

from __future__ import annotations

import struct
from functools import cache
from random import Random

from iced_x86 import Instruction

from tools.oracle.arena import DATA
from tools.oracle.case import OPMASKS, ZMM_BYTES, ZMMS, Case, VectorState
from tools.oracle.generate import MASK64, RAX, RDX, Builder, number_of, value

SINGLES = (0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x807FFFFF, 0x00800000, 0x80800000, 0x00800001, 0x3F800000,
           0xBF800000, 0x3F800001, 0x3F7FFFFF, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0xFFBFFFFF,
           0x7FC00000, 0xFFC00001, 0x4B000000, 0x4B000001, 0x4EFFFFFF, 0x4F000000, 0xCF000000, 0xCF000001, 0x5F000000,
           0xDF000000, 0x5EFFFFFF, 0x3F000000, 0x3FC00000, 0xBF000000, 0x40200000, 0x34000000, 0x33800000, 0x477FE000,
           0x477FF000, 0x33000000, 0x38800000, 0x387FC000)
DOUBLES = (0, 1 << 63, 1, 0x800FFFFFFFFFFFFF, 0x000FFFFFFFFFFFFF, 0x0010000000000000, 0x8010000000000000,
           0x0010000000000001, 0x3FF0000000000000, 0xBFF0000000000000, 0x3FF0000000000001, 0x3FEFFFFFFFFFFFFF,
           0x7FEFFFFFFFFFFFFF, 0xFFEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF0000000000001,
           0xFFF7FFFFFFFFFFFF, 0x7FF8000000000000, 0xFFF8000000000001, 0x4330000000000000, 0x41DFFFFFFFC00000,
           0x41DFFFFFFFE00000, 0x41E0000000000000, 0xC1E0000000000000, 0xC1E0000000200000, 0x43E0000000000000,
           0xC3E0000000000000, 0x3FE0000000000000, 0x3FF8000000000000, 0x47EFFFFFE0000000, 0x47EFFFFFF0000000,
           0x3810000000000000, 0x380FFFFFFFFFFFFF, 0x36A0000000000000, 0x3690000000000000, 0x3800000000000001)
ROUNDING, DAZ, FLUSH, MASKS = 13, 0x40, 0x8000, 0x1F80
ALIGNED = -64
FCW_DEFAULT, TOP_AND_CONDITIONS, PENDING_INVALID = 0x37F, 0x7F00, 0x8081
POOL = 1024                     # registers made of each kind


def single(rng: Random) -> int:
    """The bits of a single-precision value."""
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(SINGLES)
    if kind < 0.6:                                      # ordinary magnitudes, of few or many significant bits
        fraction = rng.getrandbits(23) & -1 << rng.choice((0, 0, 12, 20))
        return rng.getrandbits(1) << 31 | rng.randrange(120, 136) << 23 | fraction
    if kind < 0.75:                                     # near the ends of the range
        return rng.getrandbits(1) << 31 | rng.choice((0, 1, 2, 24, 62, 63, 64, 190, 191, 253, 254)) << 23 | \
            rng.getrandbits(23)
    return rng.getrandbits(32)


def double(rng: Random) -> int:
    """The bits of a double-precision value."""
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(DOUBLES)
    if kind < 0.6:
        fraction = rng.getrandbits(52) & -1 << rng.choice((0, 0, 26, 48))
        return rng.getrandbits(1) << 63 | rng.randrange(1010, 1060) << 52 | fraction
    if kind < 0.75:
        return rng.getrandbits(1) << 63 | rng.choice((0, 1, 2, 53, 510, 511, 512, 896, 897, 872, 1150, 1151, 1534, 1535,
                                                      2045, 2046)) << 52 | rng.getrandbits(52)
    return rng.getrandbits(64)


def vector(rng: Random, size: int, kind: str) -> bytes:
    """`size` bytes (a multiple of 8) of "single", "double", "text" or integer elements."""
    if kind == "single":
        return b"".join(struct.pack("<I", single(rng)) for _ in range(size // 4))
    if kind == "double":
        return b"".join(struct.pack("<Q", double(rng)) for _ in range(size // 8))
    if kind == "text":
        return bytes(rng.choice((0, 1, 1, 2, 2, 3, 3, 0x80, 0xFF, 1, 2, 3, 4)) for _ in range(size))
    return b"".join(value(rng).to_bytes(8, "little") for _ in range(size // 8))


def mxcsr(rng: Random) -> int:
    """MXCSR: often the usual one, else any rounding, DAZ, FTZ, masks and flags."""
    kind = rng.random()
    if kind < 0.2:
        return MASKS | rng.choice((0, 0x20))
    word = rng.randrange(4) << ROUNDING | MASKS
    word |= rng.choice((0, rng.getrandbits(6)))
    word |= rng.choice((0, 0, DAZ)) | rng.choice((0, 0, FLUSH))
    if rng.random() < 0.4:
        word &= ~(rng.getrandbits(6) << 7)
    return word


def opmask(rng: Random) -> bytes:
    """An opmask register: all, none, one or some of the elements; bits beyond the elements are set, too."""
    kind = rng.random()
    if kind < 0.15:
        return b"\xff" * 8
    if kind < 0.25:
        return bytes(8)
    if kind < 0.4:
        return (1 << rng.choice((rng.randrange(8), rng.randrange(64)))).to_bytes(8, "little")
    return rng.getrandbits(64).to_bytes(8, "little")


def indices(rng: Random, size: int, scale: int) -> bytes:
    """Elements of a vector index: most lead to the middle of the data, some beyond its ends, some are equal."""
    reach = rng.choice((64, 2000, 2000, 12000)) // scale
    few = [rng.randrange(-reach, reach) for _ in range(3)]
    found = b""
    for _ in range(ZMM_BYTES // size):
        element = rng.choice(few) if rng.random() < 0.2 else rng.randrange(-reach, reach)
        if rng.random() < 0.02:
            element = rng.getrandbits(8 * size - 1)
        found += element.to_bytes(size, "little", signed=True)
    return found


@cache
def _pool(kind: str) -> list[bytes]:
    """Registers of a kind, to choose from."""
    rng = Random(kind)
    return [vector(rng, ZMM_BYTES, kind) for _ in range(POOL)]


def register(rng: Random, kind: str) -> bytes:
    """A register whose 16-byte pieces come from the pool."""
    pool = _pool(kind)
    if rng.random() < 0.2:
        return vector(rng, 16, kind) + rng.choice(pool)[16:]
    return rng.choice(pool)[:32] + rng.choice(pool)[32:]


class VectorBuilder(Builder):
    """A case with vector state; its memory operand's contents are of the same kind."""

    def target(self) -> int:
        at = super().target()
        if self.rng.random() < 0.75:
            at &= ALIGNED
        self.operand = at
        return at

    def _operands(self, insn: Instruction) -> None:
        super()._operands(insn)
        if "pcmpestr" in str(insn):
            for register in (RAX, RDX):
                if self.rng.random() < 0.8:
                    self.registers[register] = self.rng.randrange(-20, 20) & MASK64

    def build(self, rip: int) -> Case:
        """The case, with the code at `rip`."""
        rng, insn = self.rng, self.encoded.insn
        self.operand = 0
        case = super().build(rip)
        kind = rng.choice(_kinds(insn))
        registers = [register(rng, kind if rng.random() < 0.9 else "integer")
                     for _ in range(ZMMS if self.bits == 64 else ZMMS // 4)]
        if insn.is_vsib:
            index = number_of(insn.memory_index)
            registers[index] = indices(rng, 8 if insn.is_vsib64 else 4, insn.memory_index_scale)
        zmm = b"".join(registers).ljust(ZMM_BYTES * ZMMS, b"\0")
        st = b"".join(vector(rng, 8, "integer") + struct.pack("<H", rng.choice((0xFFFF, 0x3FFF, 0))) + bytes(6)
                      for _ in range(8))
        pokes = case.pokes
        if self.operand and DATA.address <= self.operand and self.operand + 64 <= DATA.end:
            pokes = (*pokes, (self.operand, vector(rng, 64, kind)))
        word, fsw = mxcsr(rng), rng.choice((0, rng.getrandbits(16) & TOP_AND_CONDITIONS))
        fcw = FCW_DEFAULT
        if rng.random() < 0.02:                         # an x87 exception is pending, of which MMX hears, but not SSE
            fcw, fsw, word = fcw & ~1, fsw | PENDING_INVALID, MASKS
        state = VectorState(word, zmm, st, fcw, fsw, rng.choice((0, 0xFF, rng.getrandbits(8))),
                            opmask=b"".join(opmask(rng) for _ in range(OPMASKS)))
        return case._replace(vector=state, pokes=pokes)


def _kinds(insn: Instruction) -> tuple[str, ...]:
    """Element kinds worth trying."""
    name = str(insn).split(" ")[0]
    if "pcmp" in name and "str" in name:
        return ("text",)
    if name.startswith(("p", "vp", "movd", "movq")):
        return ("integer",)
    found = []
    if "ps" in name or "ss" in name:
        found.append("single")
    if "pd" in name or "sd" in name:
        found.append("double")
    if not found or "dq" in name or "2s" in name or "si" in name:
        found.append("integer")
    return tuple(found)


