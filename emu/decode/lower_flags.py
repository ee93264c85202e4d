"""Instructions on the flags themselves."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers

_PLAIN = {Mnemonic.LAHF: ("lahf", 0), Mnemonic.SAHF: ("sahf", 0), Mnemonic.CMC: ("cmc", 0),
          Mnemonic.CLC: ("put_cf", 0), Mnemonic.STC: ("put_cf", 1), Mnemonic.CLD: ("put_df", 0),
          Mnemonic.STD: ("put_df", 1)}
_PUSH = {Mnemonic.PUSHF: 16, Mnemonic.PUSHFD: 32, Mnemonic.PUSHFQ: 64}
_POP = {Mnemonic.POPF: 16, Mnemonic.POPFD: 32, Mnemonic.POPFQ: 64}


@lowers(*_PLAIN)
def plain(e: Emitter, insn: Instruction) -> None:
    name, imm = _PLAIN[insn.mnemonic]
    e.op(name, imm=imm)


@lowers(*_PUSH)
def push_flags(e: Emitter, insn: Instruction) -> None:
    e.op(f"pushf.{_PUSH[insn.mnemonic]}.{e.stack}")


@lowers(*_POP)
def pop_flags(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op(f"popf.{_POP[insn.mnemonic]}.{e.stack}")
