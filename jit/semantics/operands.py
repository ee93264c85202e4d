"""Reading and writing the operands of micro-ops: register slots by width, and effective addresses.

Operand words are byte offsets into the register file, so AH is RAX's slot plus one. A source that may be an immediate
is read as `slot + imm`: the decoder passes the ZERO slot for an immediate, and 0 for the immediate of a register.
"""

from jit.layout import TMP
from jit.native import State, inline, rd8, rd16, rd32, rd64, shr, wr8, wr16, wr64
from jit.semantics.wiring import INDEX_SLOT, SCALE_SHIFT, STACK_SEGMENT

OFFSET = TMP + 8 * 5                # an effective address that an earlier micro-op computed (emu/decode/operands.py)
WIDTHS = (8, 16, 32, 64)
WIDE = (16, 32, 64)


@inline
def read(st: State, slot: int, width: int) -> int:
    """A register or temporary, zero-extended from `width` bits."""
    if width == 8:
        return rd8(st, slot)
    if width == 16:
        return rd16(st, slot)
    if width == 32:
        return rd32(st, slot)
    return rd64(st, slot)


@inline
def write(st: State, slot: int, width: int, value: int) -> None:
    """Write a register as the architecture does: 32-bit writes clear the upper half (SDM Vol. 1 3.4.1.1)."""
    if width == 8:
        wr8(st, slot, value)
    elif width == 16:
        wr16(st, slot, value)
    elif width == 32:
        wr64(st, slot, value & 0xFFFFFFFF)
    else:
        wr64(st, slot, value)


@inline
def truncate(value: int, width: int) -> int:
    """The low `width` bits, zero-extended."""
    if width == 64:
        return value
    return value & ((1 << width) - 1)


@inline
def effective(st: State, a: int, b: int, imm: int) -> int:
    """base + index * scale + displacement."""
    return rd64(st, a) + (rd64(st, b & INDEX_SLOT) << (shr(b, SCALE_SHIFT) & 3)) + imm


@inline
def hint(b: int) -> int:
    """The slow path's flags for a memory operand: STACK_SEGMENT becomes jit.slow.STACK."""
    return (b & STACK_SEGMENT) >> 6
