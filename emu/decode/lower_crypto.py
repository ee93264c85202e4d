"""AES, SHA, GFNI (jit/semantics/vector_aes.py, vector_sha.py, vector_galois.py), and dot products of integers into
accumulators (vector_dot.py)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lower_sse_integer import operation
from emu.decode.lowering import lowers
from emu.decode.names import mnemonic_name
from emu.decode.vector_operands import Form, mnemonics

BINARY = """
    AESENC AESENCLAST AESDEC AESDECLAST GF2P8MULB GF2P8AFFINEQB GF2P8AFFINEINVQB
    SHA1MSG1 SHA1MSG2 SHA1NEXTE SHA1RNDS4 SHA256MSG1 SHA256MSG2 SHA256RNDS2""".split()
ACCUMULATING = ("PDPBUSD", "PDPBUSDS", "PDPWSSD", "PDPWSSDS", "PMADD52LUQ", "PMADD52HUQ")


@lowers(*mnemonics(*BINARY))
def binary(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    d, a, b = f.binary()
    size = f.size(0)
    e.op(f"{operation(insn)}.{size}", d, a, b, f.immediate)
    f.finish(d, size)


@lowers(*mnemonics("AESIMC", "AESKEYGENASSIST"))
def unary(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    a = f.source(1)
    e.op(f"{operation(insn)}.16", f.slot(0), a, imm=f.immediate)
    f.finish(f.slot(0), 16)


@lowers(*(getattr(Mnemonic, "V" + name) for name in ACCUMULATING))
def accumulate(e: Emitter, insn: Instruction) -> None:
    """The destination is what is added to."""
    f = Form(e, insn)
    b, d = f.source(2), f.accumulator()
    size = f.size(0)
    e.op(f"{mnemonic_name(insn.mnemonic)[1:].lower()}.{size}", d, f.slot(1), b)
    f.finish(d, size)
