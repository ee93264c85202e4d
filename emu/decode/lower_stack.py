"""Pushes and pops."""

from iced_x86 import Instruction, Mnemonic
from jit import layout

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, REGISTER, TMP, is_immediate, operand_width


@lowers(Mnemonic.PUSH)
def push(e: Emitter, insn: Instruction) -> None:
    if is_immediate(insn, 0):
        width = -insn.stack_pointer_increment * 8
        e.op(f"push.{width}.{e.stack}", a=layout.ZERO, imm=insn.immediate(0) & ((1 << width) - 1))
        return
    width = operand_width(insn, 0)
    slot, _ = e.source(insn, 0, width)
    e.op(f"push.{width}.{e.stack}", a=slot)


@lowers(Mnemonic.POP)
def pop(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    if insn.op0_kind == REGISTER:
        e.op(f"pop.{width}.{e.stack}", GPR_SLOT[insn.op0_register][0])
        return
    # POP to memory computes its address with RSP already incremented (SDM Vol. 2B POP).
    e.op(f"peek.{width}.{e.stack}", TMP[0])
    e.op(f"store.{width}", TMP[0], *e.address(insn, width // 8, write=True, stack_bias=width // 8))
    e.op(f"release.{e.stack}", imm=width // 8)


