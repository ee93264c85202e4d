"""Segment translation of memory operands outside 64-bit mode (SDM Vol. 3A 5.3)."""

from jit.exits import OK
from jit.native import shr, wr64
from jit.registry import op
from jit.semantics.operands import effective, truncate
from jit.semantics.segmentation import READ, WRITE, linear_address
from jit.semantics.wiring import SEGMENT_SHIFT, SIZE_SHIFT, WRITE_ACCESS


@op("linear_seg", 16, 32)
def linear_seg(bits):
    """Slot d = linear address of the memory operand, whose access the segment allows."""
    def linear_seg(st, d, a, b, imm):
        offset = truncate(effective(st, a, b, imm), bits)
        access = WRITE if b & WRITE_ACCESS else READ
        linear, status = linear_address(st, shr(b, SEGMENT_SHIFT) & 7, offset, shr(b, SIZE_SHIFT) & 0xFF, access)
        if status != OK:
            return status
        wr64(st, d, linear)
        return OK
    return linear_seg
