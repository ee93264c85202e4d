"""Decimal arithmetic and SALC."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers

_PLAIN = {Mnemonic.DAA: "daa", Mnemonic.DAS: "das", Mnemonic.AAA: "aaa", Mnemonic.AAS: "aas", Mnemonic.SALC: "salc"}
_BASED = {Mnemonic.AAM: "aam", Mnemonic.AAD: "aad"}


@lowers(*_PLAIN)
def plain(e: Emitter, insn: Instruction) -> None:
    e.op(_PLAIN[insn.mnemonic])


@lowers(*_BASED)
def based(e: Emitter, insn: Instruction) -> None:
    e.op(_BASED[insn.mnemonic], imm=insn.immediate(0))
