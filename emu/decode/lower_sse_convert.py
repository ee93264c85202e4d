"""Conversions and rounding (jit/semantics/vector_convert.py)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lower_sse_float import width
from emu.decode.lower_sse_integer import operation
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, operand_width
from emu.decode.vector_operands import Form, mnemonics
from jit.semantics.wiring import BY_MXCSR

TRUNCATE = 3


def control(name: str) -> int:
    """Rounding: towards zero, or what MXCSR says."""
    return TRUNCATE if name.startswith("cvtt") else BY_MXCSR


INTEGER_TO = ("DQ2PS", "DQ2PD", "UDQ2PS", "UDQ2PD", "QQ2PS", "QQ2PD", "UQQ2PS", "UQQ2PD")
TO_INTEGER = [t + s + "2" + i for t in ("", "T") for s in ("PS", "PD") for i in ("DQ", "UDQ", "QQ", "UQQ")]


@lowers(*mnemonics(*("CVT" + name for name in (*INTEGER_TO, *TO_INTEGER, "PS2PD", "PD2PS"))))
def convert_packed(e: Emitter, insn: Instruction) -> None:
    """The micro-op's width is the wider operand's."""
    f = Form(e, insn)
    name = operation(insn)
    b = f.source(1)
    wide, narrow = f.whole(1), f.size(0)
    count = _elements(name, wide, narrow)
    source = _bytes(name.rpartition("2")[0])
    b = f.neutral(b, 5, 0, source, count * source)
    e.op(f"{name}.{count * max(source, _bytes(name))}", f.target, b, b, control(name))
    f.finish(f.target, count * _bytes(name) if f.mask else f.size(0))


def _bytes(name: str) -> int:
    """Bytes of the element that a name, or part of one, ends in."""
    return 8 if name.endswith(("pd", "qq")) else 4


def _elements(name: str, source: int, destination: int) -> int:
    """How many elements are converted; registers may be wider than what is used of them."""
    return min(source // _bytes(name.rpartition("2")[0]), destination // _bytes(name))


@lowers(*mnemonics("CVTSS2SD", "CVTSD2SS"))
def convert_scalar(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    d, a, b = f.binary()
    name = operation(insn)
    b = f.neutral(b, 5, 0, 4 if name.endswith("sd") else 8)
    e.op(f"{name}.8", d, a, b, BY_MXCSR)
    f.finish(d, 16)


@lowers(*mnemonics("CVTSI2SS", "CVTSI2SD"), Mnemonic.VCVTUSI2SS, Mnemonic.VCVTUSI2SD)
def from_general(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    last = insn.op_count - 1
    size = operand_width(insn, last) // 8
    b = f.general(last, size)
    e.op(f"{operation(insn)}.{size}", f.slot(0), f.slot(last - 1), b, BY_MXCSR)
    f.finish(f.slot(0), 16)


@lowers(*mnemonics(*(f"CVT{t}{s}2{u}SI" for t in ("", "T") for s in ("SS", "SD") for u in ("", "U"))))
def to_general(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name = operation(insn)
    d, bits = GPR_SLOT[insn.op0_register]
    b = f.source(1)
    e.op(f"{name}.{bits // 8}", d, b, b, control(name))
    f.finish()


@lowers(*mnemonics("ROUNDPS", "ROUNDPD", "ROUNDSS", "ROUNDSD"))
def round_integral(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name = operation(insn)
    source = insn.op_count - 2
    b = f.source(source)
    scalar = name.endswith(("ss", "sd"))
    a = f.slot(source - 1) if scalar else b
    e.op(f"{name}.{width(f, name)}", f.slot(0), a, b, f.immediate & 15)
    f.finish(f.slot(0), f.size(0))


@lowers(Mnemonic.CVTPI2PS)
def mmx_to_single(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    b = f.source(1)
    f.enter_mmx()
    e.op("cvtpi2ps.8", f.slot(0), f.slot(0), b, BY_MXCSR)
    f.finish()


@lowers(Mnemonic.CVTPI2PD)
def mmx_to_double(e: Emitter, insn: Instruction) -> None:
    """Exact; with a memory source it leaves the x87 state alone (SDM Vol. 2A CVTPI2PD)."""
    f = Form(e, insn)
    b = f.source(1)
    e.op("cvtdq2pd.16", f.slot(0), b, b)
    f.finish()


@lowers(Mnemonic.CVTPS2PI, Mnemonic.CVTTPS2PI, Mnemonic.CVTPD2PI, Mnemonic.CVTTPD2PI)
def to_mmx(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name = operation(insn)
    b = f.source(1)
    f.enter_mmx()
    e.op(f"{name.replace('cvtt', 'cvt')}.8", f.slot(0), b, b, control(name))
    f.finish(f.slot(0))


