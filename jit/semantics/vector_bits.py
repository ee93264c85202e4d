"""EXTRQ and INSERTQ of SSE4a (APM Vol. 4): a field of the low quadword, given by its length and its lowest bit.

The control word has the length in bits 5:0, where 0 means 64, and the place in bits 13:8. A field that reaches beyond
bit 63 gives an undefined result: here, what fits of it. The upper quadword, also undefined, is kept.
"""

from jit.exits import OK
from jit.layout import FPU
from jit.native import Handler, State, inline, ld64, rd64, shr, st64
from jit.registry import op

IMMEDIATE, EXTRACT, INSERT = "imm", 0, 8        # where the control word is: the immediate, or a quadword of operand A


@inline
def field(control: int) -> int:
    """Mask of the field, at bit 0."""
    length = control & 0x3F
    return -1 if length == 0 else (1 << length) - 1


@op("extrq", IMMEDIATE, "reg")
def extrq(form: str) -> Handler:
    by_immediate = form == IMMEDIATE

    def extrq(st: State, d: int, a: int, b: int, imm: int) -> int:
        fpu = rd64(st, FPU)
        control = imm if by_immediate else ld64(fpu + a + EXTRACT)
        st64(fpu + d, shr(ld64(fpu + d), shr(control, 8) & 0x3F) & field(control))
        return OK
    return extrq


@op("insertq", IMMEDIATE, "reg")
def insertq(form: str) -> Handler:
    by_immediate = form == IMMEDIATE

    def insertq(st: State, d: int, a: int, b: int, imm: int) -> int:
        fpu = rd64(st, FPU)
        control = imm if by_immediate else ld64(fpu + a + INSERT)
        mask, place = field(control), shr(control, 8) & 0x3F
        value = (ld64(fpu + a) & mask) << place
        st64(fpu + d, (ld64(fpu + d) & ~(mask << place)) | value)
        return OK
    return insertq
