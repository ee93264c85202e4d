"""Instructions of SEV-ES and SEV-SNP (APM Vol. 3)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from jit.semantics import wiring

_NUMBERS = {Mnemonic.PVALIDATE: wiring.SNP_PVALIDATE, Mnemonic.RMPADJUST: wiring.SNP_RMPADJUST,
            Mnemonic.RMPQUERY: wiring.SNP_RMPQUERY, Mnemonic.RMPUPDATE: wiring.SNP_RMPUPDATE,
            Mnemonic.PSMASH: wiring.SNP_PSMASH, Mnemonic.INVLPGB: wiring.SNP_INVLPGB,
            Mnemonic.TLBSYNC: wiring.SNP_TLBSYNC}


@lowers(*_NUMBERS)
def snp(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("snp", imm=_NUMBERS[insn.mnemonic])


@lowers(Mnemonic.VMGEXIT)
def vmgexit(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("vmgexit")
