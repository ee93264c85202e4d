"""Random states for the XSAVE family: a mask of the components that every such host has, and an area whose header is
mostly one that XRSTOR takes (SDM Vol. 1 13.4 to 13.8)."""

from __future__ import annotations

from tools.oracle.arena import DATA
from tools.oracle.case import Case
from tools.oracle.generate import MASK32, RAX, RDX
from tools.oracle.vector_values import VectorBuilder, mxcsr

COMPONENTS = 0xE7               # x87, SSE, AVX and AVX-512's three
OTHERS = 1 << 9 | 1 << 17 | 1 << 18     # PKRU and AMX's two: no error in a header where the host has enabled them
AREA = 0xB00                    # bytes of an area of these, at least
MXCSR, HEADER, HEADER_BYTES = 24, 512, 64
COMPACTED = 1 << 63
ALIGNED = 64


class XsaveBuilder(VectorBuilder):
    """As `VectorBuilder`, with EDX:EAX and an area in memory."""

    def build(self, rip: int) -> Case:
        """The case. Where EAX or EDX is part of the address too, it holds the mask."""
        case = super().build(rip)
        mask = self.rng.choice((COMPONENTS, self.rng.getrandbits(8) & COMPONENTS, 7))
        registers = list(case.registers)
        registers[RAX] = registers[RAX] & ~MASK32 | mask
        registers[RDX] &= ~MASK32
        return case._replace(registers=tuple(registers))

    def target(self) -> int:
        """Where the area lies; most lie in the arena, aligned, with a valid header."""
        rng = self.rng
        if rng.random() < 0.1:
            return super().target()
        at = DATA.address + ALIGNED * rng.randrange((DATA.size - AREA) // ALIGNED)
        present = rng.getrandbits(8) & COMPONENTS
        layout = rng.choice((0, 0, COMPACTED | COMPONENTS, COMPACTED | present | rng.getrandbits(8) & COMPONENTS))
        header = present.to_bytes(8, "little") + layout.to_bytes(8, "little")
        header = header.ljust(HEADER_BYTES, b"\0")
        if rng.random() < 0.1:
            wrong, bit = rng.randrange(24), rng.randrange(8)
            bit ^= 4 if OTHERS >> (8 * wrong + bit) % 64 & 1 else 0
            header = header[:wrong] + bytes((1 << bit,)) + header[wrong + 1:]
        self.pokes += [(at + HEADER, header), (at + MXCSR, mxcsr(rng).to_bytes(4, "little"))]
        return at
