"""Elements in and out of vectors, extension, masks and tests (jit/semantics/vector_shuffle.py)."""

from iced_x86 import Instruction, Mnemonic, Register

from emu.decode.emitter import Emitter
from emu.decode.lower_sse_integer import operation
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, TMP
from emu.decode.vector_operands import VECTOR_SLOT, Form, mnemonics

ELEMENT = {"B": 1, "W": 2, "D": 4, "Q": 8}


@lowers(*mnemonics(*(f"PMOV{s}X{w}" for s in "SZ" for w in ("BW", "BD", "BQ", "WD", "WQ", "DQ"))),
        *mnemonics("MOVSLDUP", "MOVSHDUP"))
def extend(e: Emitter, insn: Instruction) -> None:
    """The source is narrower than the destination, so it has no alignment to keep but for MOVSLDUP and MOVSHDUP."""
    f = Form(e, insn)
    size = f.size(0)
    a = f.source(1)
    e.op(f"{operation(insn)}.{size}", f.target, a)
    f.finish(f.target, size)


@lowers(*mnemonics("MOVDDUP"))
def move_duplicate(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    size = f.size(0)
    a = f.source(1)
    e.op(f"movddup.{size}", f.target, a)
    f.finish(f.target, size)


@lowers(*mnemonics("PBLENDVB", "BLENDVPS", "BLENDVPD"))
def blend_by_sign(e: Emitter, insn: Instruction) -> None:
    """The mask is XMM0, or a fourth operand."""
    f = Form(e, insn)
    d, a, b = f.binary()
    mask = f.slot(3) if f.vex else VECTOR_SLOT[Register.XMM0][0]
    e.op(f"{operation(insn)}.{f.size(0)}", d, a, b, mask)
    f.finish(d, f.size(0))


@lowers(*mnemonics("INSERTPS"))
def insert_single(e: Emitter, insn: Instruction) -> None:
    """A memory source is the one element, whatever element the immediate names (SDM Vol. 2A INSERTPS)."""
    f = Form(e, insn)
    d, a, b = f.binary()
    last = insn.op_count - 2
    e.op("insertps.16", d, a, b, f.immediate & 0x3F if f.is_memory(last) else f.immediate)
    f.finish(d, 16)


@lowers(*mnemonics("PINSRB", "PINSRW", "PINSRD", "PINSRQ"))
def insert(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name = operation(insn)
    d = f.slot(0)
    source = f.general(insn.op_count - 2, ELEMENT[name[-1].upper()])
    e.op(f"{name}.{f.size(0)}", d, f.slot(1) if f.vex else d, source, f.immediate)
    f.finish(d, 16)


@lowers(*mnemonics("PEXTRB", "PEXTRW", "PEXTRD", "PEXTRQ", "EXTRACTPS"))
def extract(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name = operation(insn)
    if name == "extractps":
        name = "pextrd"
    size = f.size(1)
    if f.is_memory(0):
        width = ELEMENT[name[-1].upper()] * 8
        e.op(f"{name}.{size}", TMP[0], f.slot(1), imm=f.immediate)
        e.op(f"store.{width}", TMP[0], *e.address(insn, width // 8, write=True))
    else:
        e.op(f"{name}.{size}", GPR_SLOT[insn.op0_register][0], f.slot(1), imm=f.immediate)
    f.finish()


@lowers(*mnemonics("PMOVMSKB", "MOVMSKPS", "MOVMSKPD"))
def sign_mask(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    e.op(f"{operation(insn)}.{f.size(1)}", GPR_SLOT[insn.op0_register][0], f.slot(1))
    f.finish()


@lowers(*mnemonics("PTEST"), Mnemonic.VTESTPS, Mnemonic.VTESTPD)
def test(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    b = f.source(1)
    e.op(f"{operation(insn)}.{f.size(0)}", 0, f.slot(0), b)
