"""RDRAND and RDSEED (jit/semantics/random.py)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT


@lowers(Mnemonic.RDRAND, Mnemonic.RDSEED)
def random(e: Emitter, insn: Instruction) -> None:
    slot, width = GPR_SLOT[insn.op0_register]
    e.op(f"random.{width}", slot)
