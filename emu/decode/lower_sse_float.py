"""Floating-point arithmetic and comparisons (jit/semantics/vector_float.py)."""

from iced_x86 import Code, Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lower_sse_integer import operation
from emu.decode.lowering import lowers, lowers_code
from emu.decode.vector_operands import Form, mnemonics

SUFFIXES = ("PS", "PD", "SS", "SD")
LESS, EQUAL, GREATER, UNORDERED, SIGNALS = 1, 2, 4, 8, 16
# Relations for which predicates 0 to 15 hold (SDM Vol. 2A table 3-1); 16 to 31 differ in whether quiet NaNs signal.
PREDICATES = (EQUAL, LESS, LESS | EQUAL, UNORDERED, LESS | GREATER | UNORDERED, EQUAL | GREATER | UNORDERED,
              GREATER | UNORDERED, LESS | EQUAL | GREATER, EQUAL | UNORDERED, LESS | UNORDERED,
              LESS | EQUAL | UNORDERED, 0, LESS | GREATER, EQUAL | GREATER, GREATER, LESS | EQUAL | GREATER | UNORDERED)


def width(f: Form, name: str) -> int:
    """Bytes that the operation works on."""
    if name.endswith("ss"):
        return 4
    return 8 if name.endswith("sd") else f.size(0)


@lowers(*mnemonics(*(n + s for n in ("ADD", "SUB", "MUL", "DIV", "MIN", "MAX") for s in SUFFIXES)),
        *mnemonics(*(n + s for n in ("ADDSUB", "HADD", "HSUB", "DP") for s in ("PS", "PD"))))
def arithmetic(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name = operation(insn)
    d, a, b = f.binary()
    e.op(f"{name}.{width(f, name)}", d, a, b, f.immediate)
    f.finish(d, f.size(0))


@lowers(*mnemonics(*("SQRT" + s for s in SUFFIXES), "RCPPS", "RCPSS", "RSQRTPS", "RSQRTSS"))
def root(e: Emitter, insn: Instruction) -> None:
    """The VEX form of a scalar one has a register for the rest of the destination."""
    f = Form(e, insn)
    name = operation(insn)
    last = insn.op_count - 1
    b = f.source(last)
    e.op(f"{name}.{width(f, name)}", f.slot(0), f.slot(last - 1), b)
    f.finish(f.slot(0), f.size(0))


def truth(predicate: int) -> int:
    """A predicate as the compare micro-op wants it."""
    signals = (predicate & 3 in (1, 2)) != (predicate >= 16)
    return PREDICATES[predicate & 15] | (SIGNALS if signals else 0)


def _compare(e: Emitter, insn: Instruction, name: str) -> None:
    f = Form(e, insn)
    d, a, b = f.binary()
    e.op(f"{name}.{width(f, name)}", d, a, b, truth(f.immediate & (31 if f.vex else 7)))
    f.finish(d, f.size(0))


@lowers(*mnemonics("CMPPS", "CMPPD", "CMPSS"), Mnemonic.VCMPSD)
def compare(e: Emitter, insn: Instruction) -> None:
    _compare(e, insn, operation(insn))


@lowers_code(Code.CMPSD_XMM_XMMM64_IMM8)
def compare_double(e: Emitter, insn: Instruction) -> None:
    """Its mnemonic is also that of the string comparison."""
    _compare(e, insn, "cmpsd")


@lowers(*mnemonics("COMISS", "COMISD", "UCOMISS", "UCOMISD"))
def compare_flags(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name = operation(insn)
    b = f.source(1)
    e.op(f"{name.removeprefix('u')}.{4 if name.endswith('ss') else 8}", 0, f.slot(0), b, int(not name.startswith("u")))
