"""Shifts and rotates."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, TMP, operand_width

_SHIFT = {Mnemonic.SHL: "shl", Mnemonic.SAL: "shl", Mnemonic.SHR: "shr", Mnemonic.SAR: "sar", Mnemonic.ROL: "rol",
          Mnemonic.ROR: "ror", Mnemonic.RCL: "rcl", Mnemonic.RCR: "rcr"}
_DOUBLE = {Mnemonic.SHLD: "shld", Mnemonic.SHRD: "shrd"}
_FLAGLESS = {Mnemonic.SHLX: "shlx", Mnemonic.SHRX: "shrx", Mnemonic.SARX: "sarx", Mnemonic.RORX: "rorx"}


@lowers(*_SHIFT)
def shift(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    slot, imm = e.source(insn, 1, 8)
    e.modify(insn, width, lambda d: e.op(f"{_SHIFT[insn.mnemonic]}.{width}", d, d, slot, imm))


@lowers(*_DOUBLE)
def double_shift(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    fill = GPR_SLOT[insn.op1_register][0]
    slot, imm = e.source(insn, 2, 8)
    e.modify(insn, width, lambda d: e.op(f"{_DOUBLE[insn.mnemonic]}.{width}", d, fill, slot, imm))


@lowers(*_FLAGLESS)
def flagless_shift(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    value, _ = e.source(insn, 1, width, TMP[0])
    slot, imm = e.source(insn, 2, 8)
    e.op(f"{_FLAGLESS[insn.mnemonic]}.{width}", GPR_SLOT[insn.op0_register][0], value, slot, imm)
