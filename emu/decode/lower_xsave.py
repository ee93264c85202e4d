"""XSAVE and its family, and XGETBV (jit/semantics/xsave.py)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.names import mnemonic_name
from jit.semantics.wiring import (
    COMPACT,
    OPTIMISED,
    PLAIN_FORM,
    SUPERVISOR,
    XSAVE_COMPACTS,
    XSAVE_LONG,
    XSAVE_WIDE,
)

_SAVE = {Mnemonic.XSAVE: PLAIN_FORM, Mnemonic.XSAVEOPT: OPTIMISED, Mnemonic.XSAVEC: COMPACT,
         Mnemonic.XSAVES: SUPERVISOR, Mnemonic.XSAVE64: PLAIN_FORM, Mnemonic.XSAVEOPT64: OPTIMISED,
         Mnemonic.XSAVEC64: COMPACT, Mnemonic.XSAVES64: SUPERVISOR}
_RESTORE = {Mnemonic.XRSTOR: PLAIN_FORM, Mnemonic.XRSTORS: SUPERVISOR, Mnemonic.XRSTOR64: PLAIN_FORM,
            Mnemonic.XRSTORS64: SUPERVISOR}


@lowers(*_SAVE, *_RESTORE)
def xsave(e: Emitter, insn: Instruction) -> None:
    restores = insn.mnemonic in _RESTORE
    form = _RESTORE[insn.mnemonic] if restores else _SAVE[insn.mnemonic]
    code = form | (XSAVE_WIDE if e.bits == 64 else 0)
    if mnemonic_name(insn.mnemonic).endswith("64"):
        code |= XSAVE_LONG
    if e.offers("xsavec"):
        code |= XSAVE_COMPACTS
    e.op("check_xsave", imm=int(form == SUPERVISOR))
    e.op("xrstor" if restores else "xsave", code, *e.area(insn))


@lowers(Mnemonic.XGETBV)
def xgetbv(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("xgetbv", int(e.bits == 64), imm=int(e.offers("xgetbv1")))
