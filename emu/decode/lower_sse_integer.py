"""Packed integer arithmetic: MMX, SSE2 to SSE4.2, AVX and AVX2 forms of jit/semantics/vector_integer.py's operations,
and all other operations of one or two vectors and an immediate."""

from iced_x86 import Instruction

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.names import mnemonic_name
from emu.decode.vector_operands import IMMEDIATE, Form, mnemonics

BINARY = """
    PADDB PADDW PADDD PADDQ PSUBB PSUBW PSUBD PSUBQ PADDSB PADDSW PADDUSB PADDUSW PSUBSB PSUBSW PSUBUSB PSUBUSW
    PCMPEQB PCMPEQW PCMPEQD PCMPEQQ PCMPGTB PCMPGTW PCMPGTD PCMPGTQ PAVGB PAVGW
    PMINSB PMINSW PMINSD PMAXSB PMAXSW PMAXSD PMINUB PMINUW PMINUD PMAXUB PMAXUW PMAXUD
    PSIGNB PSIGNW PSIGND PHADDW PHADDD PHADDSW PHSUBW PHSUBD PHSUBSW
    PAND POR PXOR PANDN PMULLW PMULLD PMULHW PMULHUW PMULHRSW PMULUDQ PMULDQ PMADDWD PMADDUBSW PSADBW MPSADBW
    PACKSSWB PACKSSDW PACKUSWB PACKUSDW PUNPCKLBW PUNPCKLWD PUNPCKLDQ PUNPCKLQDQ PUNPCKHBW PUNPCKHWD PUNPCKHDQ
    PUNPCKHQDQ SHUFPS SHUFPD PSHUFB PALIGNR PBLENDW BLENDPS BLENDPD PCLMULQDQ""".split()
UNARY = "PABSB PABSW PABSD PSHUFW PSHUFD PSHUFLW PSHUFHW PHMINPOSUW".split()
SHIFTS = "PSLLW PSLLD PSLLQ PSRLW PSRLD PSRLQ PSRAW PSRAD PSRAQ PSLLDQ PSRLDQ".split()
SAME = {"ANDPS": "pand", "ANDPD": "pand", "ORPS": "por", "ORPD": "por", "XORPS": "pxor", "XORPD": "pxor",
        "ANDNPS": "pandn", "ANDNPD": "pandn", "UNPCKLPS": "punpckldq", "UNPCKHPS": "punpckhdq",
        "UNPCKLPD": "punpcklqdq", "UNPCKHPD": "punpckhqdq"}
AVX2_ONLY = {"VPSLLVD": "psllvd", "VPSLLVQ": "psllvq", "VPSRLVD": "psrlvd", "VPSRLVQ": "psrlvq", "VPSRAVD": "psravd",
             "VPBLENDD": "blendps"}


def operation(insn: Instruction) -> str:
    """Name of the micro-op, without its width."""
    name = mnemonic_name(insn.mnemonic)
    if name in AVX2_ONLY:
        return AVX2_ONLY[name]
    plain = name.removeprefix("V")
    return SAME.get(plain, plain.lower())


@lowers(*mnemonics(*BINARY, *SAME, *AVX2_ONLY))
def binary(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    d, a, b = f.binary()
    size = f.size(0)
    e.op(f"{operation(insn)}.{size}", d, a, b, f.immediate)
    f.finish(d, size)


@lowers(*mnemonics(*UNARY))
def unary(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    size = f.size(0)
    a = f.source(1)
    e.op(f"{operation(insn)}.{size}", f.target, a, imm=f.immediate)
    f.finish(f.target, size)


@lowers(*mnemonics(*SHIFTS))
def shift(e: Emitter, insn: Instruction) -> None:
    """By an immediate, or by the low 64 bits of a vector."""
    f = Form(e, insn)
    size = f.size(0)
    name = operation(insn)
    d = f.target
    a = f.source(1) if f.vex else d
    if insn.op_kind(insn.op_count - 1) == IMMEDIATE:
        suffix = "" if name.endswith("ldq") else "_imm"
        e.op(f"{name}{suffix}.{size}", d, a, imm=f.immediate)
    else:
        e.op(f"{name}.{size}", d, a, f.source(insn.op_count - 1))
    f.finish(d, size)
