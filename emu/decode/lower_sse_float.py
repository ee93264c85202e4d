"""Floating-point arithmetic and comparisons (jit/semantics/vector_float.py)."""

from iced_x86 import Code, Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lower_sse_integer import operation
from emu.decode.lowering import lowers, lowers_code
from emu.decode.vector_operands import RESULT, Form, mnemonics
from jit import fpu_layout

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


def one(name: str) -> int:
    """1.0, which no operation minds in an element that is masked off."""
    return 0x3F800000 if name.endswith(("ss", "ps")) else 0x3FF0000000000000


@lowers(*mnemonics(*(n + s for n in ("ADD", "SUB", "MUL", "DIV", "MIN", "MAX") for s in SUFFIXES)),
        *mnemonics(*(n + s for n in ("ADDSUB", "HADD", "HSUB", "DP") for s in ("PS", "PD"))))
def arithmetic(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name = operation(insn)
    d, a, b = f.binary()
    a, b = f.neutral(a, 5, one(name)), f.neutral(b, 6, one(name))
    e.op(f"{name}.{width(f, name)}", d, a, b, f.immediate)
    f.finish(d, f.size(0))


@lowers(*mnemonics(*("SQRT" + s for s in SUFFIXES), "RCPPS", "RCPSS", "RSQRTPS", "RSQRTSS"))
def root(e: Emitter, insn: Instruction) -> None:
    """The VEX form of a scalar one has a register for the rest of the destination."""
    f = Form(e, insn)
    name = operation(insn)
    last = insn.op_count - 1
    b = f.neutral(f.source(last), 6, one(name))
    a = f.slot(last - 1) if name.endswith(("ss", "sd")) else b
    e.op(f"{name}.{width(f, name)}", f.target, a, b)
    f.finish(f.target, f.size(0))


def truth(predicate: int) -> int:
    """A predicate as the compare micro-op wants it."""
    signals = (predicate & 3 in (1, 2)) != (predicate >= 16)
    return PREDICATES[predicate & 15] | (SIGNALS if signals else 0)


def into_opmask(f: Form, name: str, operation: str, a: int, b: int, immediate: int) -> None:
    """An operation that gives all ones or zeros, taken to an opmask register under the mask."""
    scalar = name.endswith(("ss", "sd"))
    element = 4 if name.endswith(("ss", "ps")) else 8
    result = fpu_layout.tmpv(RESULT)
    f.e.op(operation, result, a, b, immediate)
    f.finish()
    f.e.op(f"sign_low{element}.16" if scalar else f"signs{element}.{f.whole(1)}", f.slot(0), result, f.mask_slot)


def _compare(e: Emitter, insn: Instruction, name: str) -> None:
    f = Form(e, insn)
    if f.evex:
        size = f.size(1)
        a, b = f.slot(1), f.source(2)
        a, b = (f.neutral(slot, t, one(name), size=size) for slot, t in ((a, 5), (b, 6)))
        bytes_compared = {"ss": 4, "sd": 8}.get(name[-2:], size)
        into_opmask(f, name, f"{name}.{bytes_compared}", a, b, truth(f.immediate & 31))
        return
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
    f.finish()
