"""Instructions about cached translations and their rights."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Address, Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, TMP


@lowers(Mnemonic.INVLPG)
def invlpg(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("privileged")
    e.op("invlpg", 0, *e.address(insn, 1))


@lowers(Mnemonic.INVPCID)
def invpcid(e: Emitter, insn: Instruction) -> None:
    e.end()
    slot, width = GPR_SLOT[insn.op0_register]
    e.op(f"check_invpcid.{width}", a=slot)
    a, b, imm = e.address(insn, 16)
    e.op("load.64", TMP[0], *Address(a, b, imm))
    e.op("load.64", TMP[1], *Address(a, b, imm + 8))
    e.op("invpcid", TMP[0], slot, TMP[1])


@lowers(Mnemonic.RDPKRU)
def rdpkru(e: Emitter, insn: Instruction) -> None:
    e.op("rdpkru")


@lowers(Mnemonic.WRPKRU)
def wrpkru(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("wrpkru")
