"""Pushes and pops, stack frames, and BOUND."""

from iced_x86 import Code, Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, REGISTER, TMP, is_immediate, operand_width
from jit import layout


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




_ENTER = {Code.ENTERW_IMM16_IMM8: 16, Code.ENTERD_IMM16_IMM8: 32, Code.ENTERQ_IMM16_IMM8: 64}
_LEAVE = {Code.LEAVEW: 16, Code.LEAVED: 32, Code.LEAVEQ: 64}
_ALL = {Mnemonic.PUSHA: "pusha.16", Mnemonic.PUSHAD: "pusha.32", Mnemonic.POPA: "popa.16", Mnemonic.POPAD: "popa.32"}


@lowers(Mnemonic.ENTER)
def enter(e: Emitter, insn: Instruction) -> None:
    e.op(f"enter.{_ENTER[insn.code]}.{e.stack}", imm=insn.immediate(0) | insn.immediate(1) << 16)


@lowers(Mnemonic.LEAVE)
def leave(e: Emitter, insn: Instruction) -> None:
    e.op(f"leave.{_LEAVE[insn.code]}.{e.stack}")


@lowers(*_ALL)
def all_registers(e: Emitter, insn: Instruction) -> None:
    e.op(f"{_ALL[insn.mnemonic]}.{e.stack}")


@lowers(Mnemonic.BOUND)
def bound(e: Emitter, insn: Instruction) -> None:
    """The operand is a pair: the lower bound, then the upper."""
    index, width = GPR_SLOT[insn.op0_register]
    a, b, imm = e.address(insn, width // 4)
    e.op(f"load.{width}", TMP[0], a, b, imm)
    e.op(f"bound_low.{width}", index, TMP[0])
    e.op(f"load.{width}", TMP[0], a, b, imm + width // 8)
    e.op(f"bound_high.{width}", index, TMP[0])
