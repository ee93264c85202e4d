"""Floating-point instructions that only AVX-512 has (jit/semantics/vector_parts.py)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lower_sse_float import SUFFIXES, into_opmask, one, width
from emu.decode.lower_sse_integer import operation
from emu.decode.lowering import lowers
from emu.decode.vector_operands import Form

TWO = {"s": 0x40000000, "d": 0x4000000000000000}        # of no class that VFPFIXUPIMM reports
OLD_SHIFT = 8


def _all(*names: str) -> list[int]:
    return [getattr(Mnemonic, "V" + name + suffix) for name in names for suffix in SUFFIXES]


@lowers(*_all("SCALEF", "RANGE"))
def binary(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name = operation(insn)
    d, a, b = f.binary()
    a, b = f.neutral(a, 5, one(name)), f.neutral(b, 6, one(name))
    e.op(f"{name}.{width(f, name)}", d, a, b, f.immediate)
    f.finish(d, f.size(0))


@lowers(*_all("GETEXP", "GETMANT", "REDUCE", "RNDSCALE", "RCP14", "RSQRT14"))
def unary(e: Emitter, insn: Instruction) -> None:
    """The rest of a scalar's register comes from operand 1."""
    f = Form(e, insn)
    name = operation(insn)
    scalar = name.endswith(("ss", "sd"))
    b = f.neutral(f.source(2 if scalar else 1), 6, one(name))
    a = f.slot(1) if scalar else b
    e.op(f"{name.replace('rndscale', 'round')}.{width(f, name)}", f.target, a, b, f.immediate)
    f.finish(f.target, f.size(0))


@lowers(*_all("FIXUPIMM"))
def repair(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name = operation(insn)
    d, a, b = f.binary()
    a = f.neutral(a, 5, TWO[name[-1]])
    e.op(f"{name}.{width(f, name)}", d, a, b, f.immediate | f.slot(0) << OLD_SHIFT)
    f.finish(d, f.size(0))


@lowers(*_all("FPCLASS"))
def classify(e: Emitter, insn: Instruction) -> None:
    """A scalar is the lowest element of a vector of 16 bytes."""
    f = Form(e, insn)
    name = operation(insn)
    a = f.source(1)
    scalar = name.endswith(("ss", "sd"))
    packed = "fpclassp" + name[-1]
    into_opmask(f, name, f"{packed}.{16 if scalar else f.whole(1)}", a, a, f.immediate)


@lowers(Mnemonic.VCVTNEPS2BF16)
def shorten(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    a, size = f.source(1), f.whole(1)
    e.op(f"cvtneps2bf16.{size}", f.target, a)
    f.finish(f.target, size // 2 if f.mask else max(16, size // 2))


@lowers(Mnemonic.VCVTNE2PS2BF16)
def shorten_two(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    d, a, b = f.binary()
    e.op(f"cvtne2ps2bf16.{f.size(0)}", d, a, b)
    f.finish(d, f.size(0))


@lowers(Mnemonic.VDPBF16PS)
def dot(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    b, d = f.source(2), f.accumulator()
    e.op(f"dpbf16ps.{f.size(0)}", d, f.slot(1), b)
    f.finish(d, f.size(0))
