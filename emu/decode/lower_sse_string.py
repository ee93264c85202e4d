"""String comparisons in vectors and masked stores (jit/semantics/vector_string.py)."""

from iced_x86 import Instruction, Mnemonic, OpKind

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.names import mnemonic_name
from emu.decode.operands import OFFSET, TMP
from emu.decode.vector_operands import Form, mnemonics, xmm0
from jit import layout

IMPLICIT = 0x100
ADDRESS_BITS = {OpKind.MEMORY_SEG_DI: 16, OpKind.MEMORY_SEG_EDI: 32, OpKind.MEMORY_SEG_RDI: 64}
_EXPLICIT = ("PCMPESTRI", "PCMPESTRM")
_WIDE = {getattr(Mnemonic, v + n + "64") for n in _EXPLICIT for v in ("", "V")}


@lowers(*mnemonics("PCMPISTRI", "PCMPISTRM", *_EXPLICIT), *_WIDE)
def compare_strings(e: Emitter, insn: Instruction) -> None:
    """Memory need not be aligned."""
    f = Form(e, insn, unaligned=True)
    name = mnemonic_name(insn.mnemonic).removeprefix("V")
    b = f.source(1)
    mask = name.startswith(("PCMPISTRM", "PCMPESTRM"))
    control = f.immediate | (IMPLICIT if name.startswith("PCMPI") else 0)
    e.op(f"pcmpstr.{'mask' if mask else 'index'}.{64 if insn.mnemonic in _WIDE else 32}", 0, f.slot(0), b, control)
    if mask:
        f.finish(xmm0(), 16)


@lowers(*mnemonics("MASKMOVDQU"), Mnemonic.MASKMOVQ)
def masked_store(e: Emitter, insn: Instruction) -> None:
    """To DS:(E/R)DI, without a need for alignment."""
    f = Form(e, insn)
    f.enter_mmx()
    bits = ADDRESS_BITS[insn.op0_kind]
    offset = "lea.64" if bits == 64 else f"lea{bits}.64"
    size = f.size(1)
    if size == 16:                                      # the halves are accessed one by one, each from its own offset
        e.op(offset, OFFSET, layout.gpr(7), imm=8)
        e.op("lea.64", TMP[0], *e.address(insn, 8, write=True, computed=True))
    e.op(offset, OFFSET, layout.gpr(7))
    a, b, _ = e.address(insn, 8, write=True, computed=True)
    e.op(f"maskmov.{size}", f.slot(1), a, b, f.slot(2))
    f.finish()
