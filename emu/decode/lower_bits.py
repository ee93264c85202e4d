"""Bit instructions."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, MEMORY, TMP, is_immediate, operand_width

_TEST = {Mnemonic.BT: "bt", Mnemonic.BTS: "bts", Mnemonic.BTR: "btr", Mnemonic.BTC: "btc"}
_COUNT = {Mnemonic.BSF: "bsf", Mnemonic.BSR: "bsr", Mnemonic.TZCNT: "tzcnt", Mnemonic.LZCNT: "lzcnt",
          Mnemonic.POPCNT: "popcnt", Mnemonic.BLSI: "blsi", Mnemonic.BLSMSK: "blsmsk", Mnemonic.BLSR: "blsr"}
_THREE = {Mnemonic.ANDN: "andn", Mnemonic.BEXTR: "bextr", Mnemonic.BZHI: "bzhi", Mnemonic.PDEP: "pdep",
          Mnemonic.PEXT: "pext"}


@lowers(*_TEST)
def bit_test(e: Emitter, insn: Instruction) -> None:
    """A register bit number addresses a bit string that extends beyond a memory operand (SDM Vol. 2A BT)."""
    width = operand_width(insn, 0)
    slot, imm = e.source(insn, 1, width)
    name = f"{_TEST[insn.mnemonic]}.{width}"
    string = insn.op0_kind == MEMORY and not is_immediate(insn, 1)
    if string:
        e.op(f"bit_offset.{width}", slot, *e.effective(insn))
    if insn.mnemonic != Mnemonic.BT:
        e.modify(insn, width, lambda d: e.op(name, d, d, slot, imm), computed=string)
        return
    value = TMP[0]
    if insn.op0_kind == MEMORY:
        e.op(f"load.{width}", value, *e.address(insn, width // 8, computed=string))
    else:
        value = GPR_SLOT[insn.op0_register][0]
    e.op(name, 0, value, slot, imm)


@lowers(*_COUNT)
def count(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    slot, _ = e.source(insn, 1, width)
    e.op(f"{_COUNT[insn.mnemonic]}.{width}", GPR_SLOT[insn.op0_register][0], slot)


@lowers(*_THREE)
def three_operands(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    first, _ = e.source(insn, 1, width)
    second, _ = e.source(insn, 2, width)
    e.op(f"{_THREE[insn.mnemonic]}.{width}", GPR_SLOT[insn.op0_register][0], first, second)


@lowers(Mnemonic.CRC32)
def crc32(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 1)
    slot, _ = e.source(insn, 1, width)
    e.op(f"crc32.{width}", GPR_SLOT[insn.op0_register][0], slot)
