"""Moves that only AVX and AVX2 have (jit/semantics/vector_wide.py)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.vector_operands import IMMEDIATE, RESULT, Form
from jit import fpu_layout

BROADCAST = {Mnemonic.VPBROADCASTB: "b", Mnemonic.VPBROADCASTW: "w", Mnemonic.VPBROADCASTD: "d",
             Mnemonic.VPBROADCASTQ: "q", Mnemonic.VBROADCASTSS: "d", Mnemonic.VBROADCASTSD: "q",
             Mnemonic.VBROADCASTF128: "x", Mnemonic.VBROADCASTI128: "x"}


@lowers(*BROADCAST)
def broadcast(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    a = f.source(1)
    e.op(f"broadcast{BROADCAST[insn.mnemonic]}.{f.size(0)}", f.slot(0), a)
    f.finish(f.slot(0), f.size(0))


@lowers(Mnemonic.VINSERTF128, Mnemonic.VINSERTI128)
def insert_half(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    d, a, b = f.binary()
    e.op("insert_half.32", d, a, b, f.immediate)
    f.finish(d, 32)


@lowers(Mnemonic.VEXTRACTF128, Mnemonic.VEXTRACTI128)
def extract_half(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    if f.is_memory(0):
        e.op("extract_half.32", fpu_layout.tmpv(0), f.slot(1), imm=f.immediate)
        f.store(fpu_layout.tmpv(0), 16)
        return
    e.op("extract_half.32", f.slot(0), f.slot(1), imm=f.immediate)
    f.finish(f.slot(0), 16)


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
    size, d = f.size(0), f.slot(0)
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
    e.op("permd.32", f.slot(0), source, f.slot(1))
    f.finish(f.slot(0), 32)


@lowers(Mnemonic.VPERMQ, Mnemonic.VPERMPD)
def permute_quads(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    a = f.source(1)
    e.op("permute_quads.32", f.slot(0), a, imm=f.immediate)
    f.finish(f.slot(0), 32)
