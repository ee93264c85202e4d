"""System instructions."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers


@lowers(Mnemonic.HLT)
def hlt(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("hlt")
