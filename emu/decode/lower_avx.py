"""Moves that SSE does not have (jit/semantics/vector_wide.py, vector_permute.py)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, REGISTER
from emu.decode.vector_operands import IMMEDIATE, LETTERS, RESULT, Form
from jit import fpu_layout

BYTES = {letter: size for size, letter in LETTERS.items()}


def _parts(prefix: str) -> dict[int, str]:
    """Mnemonics that move parts of a vector -> bytes of a part, as text."""
    sizes = {"128": 16, "32X2": 8, "32X4": 16, "32X8": 32, "64X2": 16, "64X4": 32}
    return {getattr(Mnemonic, prefix + kind + suffix): str(size) for suffix, size in sizes.items() for kind in "FI"
            if hasattr(Mnemonic, prefix + kind + suffix)}


BROADCAST = {Mnemonic.VPBROADCASTB: "b", Mnemonic.VPBROADCASTW: "w", Mnemonic.VPBROADCASTD: "d",
             Mnemonic.VPBROADCASTQ: "q", Mnemonic.VBROADCASTSS: "d", Mnemonic.VBROADCASTSD: "q",
             **_parts("VBROADCAST")}
INSERT, EXTRACT = _parts("VINSERT"), _parts("VEXTRACT")


@lowers(*BROADCAST)
def broadcast(e: Emitter, insn: Instruction) -> None:
    """A general register goes through a temporary. Under a mask, what no selected element needs is not read."""
    f = Form(e, insn)
    part = BROADCAST[insn.mnemonic]
    size = f.size(0)
    if insn.op_kind(1) == REGISTER and insn.op1_register in GPR_SLOT:
        a = fpu_layout.tmpv(0)
        e.op(f"gpr_to_element.{BYTES[part]}", a, GPR_SLOT[insn.op1_register][0])
    else:
        a = f.source(1)
    e.op(f"broadcast{part}.{size}", f.target, a)
    f.finish(f.target, size)


@lowers(*INSERT)
def insert(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    d, a, b = f.binary()
    e.op(f"insert{INSERT[insn.mnemonic]}.{f.size(0)}", d, a, b, f.immediate)
    f.finish(d, f.size(0))


@lowers(*EXTRACT)
def extract(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    part = int(EXTRACT[insn.mnemonic])
    d = fpu_layout.tmpv(0) if f.is_memory(0) else f.target
    e.op(f"extract{part}.{f.size(1)}", d, f.slot(1), imm=f.immediate)
    if f.is_memory(0):
        f.store(d, part)
    else:
        f.finish(d, part)


@lowers(Mnemonic.VCVTPH2PS)
def from_half_precision(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    b = f.neutral(f.source(1), 5, 0, 2, f.size(0) // 2)
    e.op(f"cvtph2ps.{f.size(0)}", f.target, b, b)
    f.finish(f.target, f.size(0))


@lowers(Mnemonic.VCVTPS2PH)
def to_half_precision(e: Emitter, insn: Instruction) -> None:
    """The immediate is a rounding mode or, by bit 2, MXCSR's (SDM Vol. 2C VCVTPS2PH). MXCSR keeps its flags where
    the store faults, as on Intel's processors."""
    f = Form(e, insn)
    size = f.size(1)
    d = fpu_layout.tmpv(RESULT) if f.is_memory(0) else f.target
    b = f.neutral(f.slot(1), 5, 0, 4, size)
    e.op(f"cvtps2ph.{size}", d, b, b, f.immediate & 7)
    if f.is_memory(0):
        f.finish()
        f.store(d, size // 2)
    else:
        f.finish(d, size // 2 if f.mask else max(16, size // 2))


@lowers(Mnemonic.VPERM2F128, Mnemonic.VPERM2I128)
def permute_halves(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    d, a, b = f.binary()
    e.op("permute_halves.32", d, a, b, f.immediate)
    f.finish(d, 32)


@lowers(Mnemonic.VPERMILPS, Mnemonic.VPERMILPD)
def permute_in_lanes(e: Emitter, insn: Instruction) -> None:
    """By a vector, or by an immediate."""
    f = Form(e, insn)
    single = insn.mnemonic == Mnemonic.VPERMILPS
    size, d = f.size(0), f.target
    if insn.op_kind(2) == IMMEDIATE:
        a = f.source(1)
        e.op(f"{'pshufd' if single else 'permilpd_imm'}.{size}", d, a, imm=f.immediate)
    else:
        b = f.source(2)
        e.op(f"{'permilps' if single else 'permilpd'}.{size}", d, f.slot(1), b)
    f.finish(d, size)


@lowers(Mnemonic.VPERMD, Mnemonic.VPERMPS)
def permute_words(e: Emitter, insn: Instruction) -> None:
    """The indices come first."""
    f = Form(e, insn)
    source = f.source(2)
    e.op(f"permd.{f.size(0)}", f.target, f.slot(1), source)
    f.finish(f.target, f.size(0))


@lowers(Mnemonic.VPERMQ, Mnemonic.VPERMPD)
def permute_quads(e: Emitter, insn: Instruction) -> None:
    """By an immediate, or by a vector, which comes first."""
    f = Form(e, insn)
    size = f.size(0)
    if insn.op_kind(2) == IMMEDIATE:
        e.op(f"permute_quads.{size}", f.target, f.source(1), imm=f.immediate)
    else:
        source = f.source(2)
        e.op(f"permq.{size}", f.target, f.slot(1), source)
    f.finish(f.target, size)
