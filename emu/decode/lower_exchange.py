"""Compare-and-exchange and exchange-and-add."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, REGISTER, TMP, operand_width


@lowers(Mnemonic.CMPXCHG)
def cmpxchg(e: Emitter, insn: Instruction) -> None:
    """The memory form always writes: the old value where the comparison fails (SDM Vol. 2A CMPXCHG)."""
    width = operand_width(insn, 0)
    source = GPR_SLOT[insn.op1_register][0]
    if insn.op0_kind == REGISTER:
        e.op(f"cmpxchg.{width}", GPR_SLOT[insn.op0_register][0], source)
        return
    address = e.address(insn, width // 8, write=True)
    e.op(f"load_rw.{width}", TMP[0], *address)
    e.op(f"cmpxchg_select.{width}", TMP[1], source, TMP[0])
    e.op(f"store.{width}", TMP[1], *address)
    e.op(f"cmpxchg.{width}", TMP[0], source)


@lowers(Mnemonic.XADD)
def xadd(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    source = GPR_SLOT[insn.op1_register][0]
    if insn.op0_kind == REGISTER:
        e.op(f"xadd.{width}", GPR_SLOT[insn.op0_register][0], source)
        return
    address = e.address(insn, width // 8, write=True)
    e.op(f"load_rw.{width}", TMP[0], *address)
    e.op(f"xadd_sum.{width}", TMP[1], source, TMP[0])
    e.op(f"store.{width}", TMP[1], *address)
    e.op(f"xadd.{width}", TMP[0], source)


@lowers(Mnemonic.CMPXCHG8B, Mnemonic.CMPXCHG16B)
def cmpxchg_wide(e: Emitter, insn: Instruction) -> None:
    size = operand_width(insn, 0) // 8
    address = e.address(insn, size, write=True)
    e.op(f"cmpxchg{size}b", 0, *address)
