"""State components of the XSAVE feature set, declared once: for the instructions, CPUID leaf 0DH and tools.

A component is `count` registers of `each` bytes, at byte offset `file` of the FPU file and `stride` apart there; in an
XSAVE area of the standard form they follow each other from `offset` on (SDM Vol. 1 13.4, 13.5; the offsets above AVX's
are those of Intel's processors, which CPUID tells software). Outside 64-bit mode only `count32` of them exist (SDM
Vol. 1 13.5). Component 0, x87 state, has a layout of its own, that of FXSAVE (jit/fxsave.py).
"""

from typing import NamedTuple

from jit.fpu_layout import OPMASK, PKRU, VECTOR_BYTES, ZMM, xmm
from jit.layout import PL0_SSP, U_CET


class Component(NamedTuple):
    """`number`: its bit in XCR0, or IA32_XSS where it is `supervisor` state: that is in the compacted form only, and
    `file` an offset in the plane's register file (jit/layout.py), `offset` one in what XRSTORS has read. `aligned`: in
    the compacted form it starts at a multiple of 64."""

    name: str
    number: int
    offset: int
    size: int
    aligned: bool
    file: int
    each: int
    stride: int
    count: int          # type: ignore[assignment]  # hides a tuple method that nobody needs here
    count32: int
    supervisor: bool = False


X87, SSE, AVX = 1, 2, 4                         # bits of XCR0 that instructions treat apart
COMPONENTS = (
    Component("x87", 0, 0, 160, False, 0, 0, 0, 0, 0),
    Component("SSE", 1, 160, 256, False, ZMM, 16, VECTOR_BYTES, 16, 8),
    Component("AVX", 2, 576, 256, False, ZMM + 16, 16, VECTOR_BYTES, 16, 8),
    Component("opmask", 5, 1088, 64, False, OPMASK, 8, 8, 8, 8),
    Component("ZMM_Hi256", 6, 1152, 512, False, ZMM + 32, 32, VECTOR_BYTES, 16, 8),
    Component("Hi16_ZMM", 7, 1664, 1024, False, xmm(16), 64, VECTOR_BYTES, 16, 0),
    Component("PKRU", 9, 2688, 8, False, PKRU, 8, 8, 1, 1),
    Component("CET_U", 11, 2696, 16, False, U_CET, 8, 8, 2, 2, True),
    Component("CET_S", 12, 2712, 24, False, PL0_SSP, 8, 8, 3, 3, True),
)
HEADER, HEADER_BYTES = 512, 64                  # XSTATE_BV, XCOMP_BV, and 48 bytes that are 0 (SDM Vol. 1 13.4.2)
XCOMP_BV, COMPACTED = HEADER + 8, 1 << 63
LEGACY_AND_HEADER = HEADER + HEADER_BYTES
AREA_BYTES = 2752                               # of the standard form with every user component, in whole lines of 64


def align(offset: int) -> int:
    """The next multiple of 64."""
    return (offset + 63) & -64
