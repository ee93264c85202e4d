"""MOVDIR64B: 64 bytes from any address to a line of ES (SDM Vol. 2B); CLZERO: zeros to one (APM Vol. 3). MOVDIRI is a
move (emu/decode/lower_move.py)."""

from iced_x86 import Code, Instruction, Mnemonic, Register

from emu.decode.emitter import Emitter
from emu.decode.lower_wait import byte_at
from emu.decode.lowering import lowers
from emu.decode.operands import ADDRESS, GPR_SLOT, SEGMENT_NUMBER
from jit import fpu_layout, layout
from jit.semantics.wiring import SEGMENT_SHIFT, SIZE_SHIFT, WRITE_ACCESS

LINE = 64
_IN_RAX = {Code.CLZEROW: 16, Code.CLZEROD: 32, Code.CLZEROQ: 64}


@lowers(Mnemonic.MOVDIR64B)
def movdir64b(e: Emitter, insn: Instruction) -> None:
    """The destination's line is checked for alignment, then for access, after the source has been read."""
    buffer = fpu_layout.tmpv(0)
    e.op(f"loadv.{LINE}", buffer, *e.address(insn, LINE))
    slot, width = GPR_SLOT[insn.op0_register]
    if e.bits != 64:
        b = layout.ZERO | SEGMENT_NUMBER[Register.ES] << SEGMENT_SHIFT | LINE << SIZE_SHIFT | WRITE_ACCESS
        e.op(f"linear_seg.{width}", ADDRESS, slot, b)
    elif width == 32:
        e.op("linear_base32", ADDRESS, slot, layout.ZERO | layout.ZERO << SEGMENT_SHIFT)
    else:
        e.op("mov.64", ADDRESS, slot)
    e.op(f"storev.{LINE}.a", buffer, ADDRESS)


@lowers(Mnemonic.CLZERO)
def clzero(e: Emitter, insn: Instruction) -> None:
    e.op("clear_line", fpu_layout.tmpv(0), *byte_at(e, insn, layout.gpr(0), _IN_RAX[insn.code], WRITE_ACCESS))
