"""Whether floating-point and vector instructions may run now: one word of the register file, checked by one micro-op.

VECTOR_GATE holds a bit for each reason against; an instruction family faults when a bit of its mask is set (SDM Vol.
3A 2.5, 13.1; Vol. 2A tables 2-18 ff.). Whatever changes CR0, CR4 or XCR0 calls `update_gate`. It is a word that
regions hold in a host register, not a part of MODE: systems that switch tasks lazily toggle CR0.TS all the time, and
would have all their code decoded twice.
"""

from jit.layout import CR0, CR4, VECTOR_GATE, XCR0
from jit.native import State, inline, rd64, shr, wr64
from jit.semantics.wiring import EMULATE, NO_AVX, NO_AVX512, NO_SSE, SWITCHED

CR0_EM, CR0_TS = 4, 8
CR4_OSFXSR, CR4_OSXSAVE = 1 << 9, 1 << 18
XCR0_AVX, XCR0_AVX512 = 6, 0xE6


@inline
def update_gate(st: State) -> None:
    """Derive VECTOR_GATE."""
    cr0, cr4, xcr0 = rd64(st, CR0), rd64(st, CR4), rd64(st, XCR0)
    gate = shr(cr0, 2) & (EMULATE | SWITCHED)
    if cr4 & CR4_OSFXSR == 0:
        gate |= NO_SSE
    if cr4 & CR4_OSXSAVE == 0 or xcr0 & XCR0_AVX != XCR0_AVX:
        gate |= NO_AVX
    if cr4 & CR4_OSXSAVE == 0 or xcr0 & XCR0_AVX512 != XCR0_AVX512:
        gate |= NO_AVX512
    wr64(st, VECTOR_GATE, gate)
