"""Multiplication, division, and the sign extensions that prepare it."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, operand_width

_ACCUMULATOR = {Mnemonic.MUL: "mul", Mnemonic.DIV: "div", Mnemonic.IDIV: "idiv"}
_EXTEND = {Mnemonic.CBW: "widen.16", Mnemonic.CWDE: "widen.32", Mnemonic.CDQE: "widen.64", Mnemonic.CWD: "spread.16",
           Mnemonic.CDQ: "spread.32", Mnemonic.CQO: "spread.64"}


@lowers(*_ACCUMULATOR)
def accumulator(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    slot, _ = e.source(insn, 0, width)
    e.op(f"{_ACCUMULATOR[insn.mnemonic]}.{width}", a=slot)


@lowers(Mnemonic.IMUL)
def imul(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    if insn.op_count == 1:
        slot, _ = e.source(insn, 0, width)
        e.op(f"imul1.{width}", a=slot)
        return
    d = GPR_SLOT[insn.op0_register][0]
    slot, _ = e.source(insn, 1, width)
    if insn.op_count == 2:
        e.op(f"imul.{width}", d, d, slot)
    else:
        e.op(f"imul.{width}", d, slot, *e.source(insn, 2, width))


@lowers(Mnemonic.MULX)
def mulx(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    slot, _ = e.source(insn, 2, width)
    e.op(f"mulx.{width}", GPR_SLOT[insn.op0_register][0], slot, GPR_SLOT[insn.op1_register][0])


@lowers(*_EXTEND)
def extend(e: Emitter, insn: Instruction) -> None:
    e.op(_EXTEND[insn.mnemonic])
