"""SSE4a: EXTRQ, INSERTQ, MOVNTSS, MOVNTSD (APM Vol. 4)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import REGISTER
from emu.decode.vector_operands import Form


@lowers(Mnemonic.EXTRQ, Mnemonic.INSERTQ)
def field(e: Emitter, insn: Instruction) -> None:
    """With two immediates, the field's length and place, or a register that holds them."""
    f = Form(e, insn)
    name = "extrq" if insn.mnemonic == Mnemonic.EXTRQ else "insertq"
    source = f.slot(1) if insn.op1_kind == REGISTER else 0
    last = insn.op_count - 1
    if insn.op_kind(last) == REGISTER:
        e.op(f"{name}.reg", f.slot(0), source)
    else:
        e.op(f"{name}.imm", f.slot(0), source, imm=insn.immediate(last - 1) | insn.immediate(last) << 8)
    f.finish(f.slot(0), 16)


@lowers(Mnemonic.MOVNTSS, Mnemonic.MOVNTSD)
def store(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn, unaligned=True)
    f.store(f.slot(1), f.size(0))
    f.finish()
