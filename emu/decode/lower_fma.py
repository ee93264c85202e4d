"""Fused multiply-add (jit/semantics/vector_fma.py)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lower_sse_float import SUFFIXES, one, width
from emu.decode.lower_sse_integer import operation
from emu.decode.lowering import lowers
from emu.decode.vector_operands import Form

# Operands that are multiplied and the one that is added, by the mnemonic's digits; of several NaNs the first in this
# order is the result.
ORDERS = {"132": (0, 2, 1), "213": (1, 0, 2), "231": (1, 2, 0)}
_PACKED = ("VFMADDSUB", "VFMSUBADD")
_ALL = ("VFMADD", "VFMSUB", "VFNMADD", "VFNMSUB")


@lowers(*(getattr(Mnemonic, n + digits + s) for digits in ORDERS for s in SUFFIXES
          for n in (_ALL if s[0] == "S" else _ALL + _PACKED)))
def fused(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    name = operation(insn)
    digits = next(d for d in ORDERS if d in name)
    name = name.replace(digits, "")
    slots = [f.slot(0), f.slot(1), f.source(2)]
    slots = [f.neutral(slot, 5 + i, one(name)) for i, slot in enumerate(slots)]
    a, b, addend = (slots[i] for i in ORDERS[digits])
    d = f.accumulator() if name.endswith(("ss", "sd")) else f.target
    e.op(f"{name}.{width(f, name)}", d, a, b, addend)
    f.finish(d, f.size(0))
