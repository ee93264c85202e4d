"""Moves under a mask of elements, gathers and scatters (jit/semantics/vector_masked.py, vector_gather.py)."""

from iced_x86 import Instruction, Mnemonic, Register

from emu.decode.emitter import Emitter, address_bits
from emu.decode.lowering import lowers
from emu.decode.names import mnemonic_name
from emu.decode.operands import ADDRESS, GPR_SLOT, OFFSET, SEGMENT_NUMBER
from emu.decode.vector_operands import VECTOR_SLOT, Form
from jit import layout
from jit.semantics.wiring import (
    GATHER_COUNT,
    GATHER_MASK,
    GATHER_SCALE,
    GATHER_SEGMENT,
    MASK_SEGMENT,
    MASK_SHIFT,
    NO_SEGMENT,
    SEGMENT_SHIFT,
    STACK_SEGMENT,
)

ELEMENT = {Mnemonic.VMASKMOVPS: 4, Mnemonic.VPMASKMOVD: 4, Mnemonic.VMASKMOVPD: 8, Mnemonic.VPMASKMOVQ: 8}
# Bytes of an element and of an index
GATHERS = {Mnemonic.VGATHERDPS: (4, 4), Mnemonic.VGATHERDPD: (8, 4), Mnemonic.VGATHERQPS: (4, 8),
           Mnemonic.VGATHERQPD: (8, 8), Mnemonic.VPGATHERDD: (4, 4), Mnemonic.VPGATHERDQ: (8, 4),
           Mnemonic.VPGATHERQD: (4, 8), Mnemonic.VPGATHERQQ: (8, 8)}

SCATTERS = {getattr(Mnemonic, mnemonic_name(m).replace("GATHER", "SCATTER")): sizes for m, sizes in GATHERS.items()}


@lowers(*ELEMENT)
def masked_move(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    load = not f.is_memory(0)
    vector = f.slot(0 if load else 2)
    size = f.size(0 if load else 2)
    form = "flat" if e.bits == 64 else "segmented"
    if e.bits == 64:
        a, b, imm = e.address(insn, size, write=not load)
    else:
        bits = address_bits(insn, e.bits)
        e.op(f"lea{bits}.64", OFFSET, *e.effective(insn))
        a, b, imm = OFFSET, layout.ZERO | SEGMENT_NUMBER[insn.memory_segment] << MASK_SEGMENT, 0
        b |= STACK_SEGMENT if e.in_stack_segment(insn) else 0
    e.op(f"mask_{'load' if load else 'store'}.{ELEMENT[insn.mnemonic]}.{size}.{form}", vector, a,
         b | f.slot(1) << MASK_SHIFT, imm)
    if load:
        f.finish(vector, size)


@lowers(*GATHERS, *SCATTERS)
def gather(e: Emitter, insn: Instruction) -> None:
    """The destination, the indices and the mask must be three registers; EVEX-encoded, the mask is an opmask register,
    and the operand of a scatter may be the indices (SDM Vol. 2C VGATHERDPS, VPGATHERDD, VPSCATTERDD)."""
    f = Form(e, insn)
    name = "scatter" if f.is_memory(0) else "gather"
    element, index = (SCATTERS if f.is_memory(0) else GATHERS)[insn.mnemonic]
    indices, width = VECTOR_SLOT[insn.memory_index]
    d = f.slot(1 if f.is_memory(0) else 0)
    size = f.size(1 if f.is_memory(0) else 0)
    mask = f.mask_slot if f.evex else f.slot(2)
    if (name == "gather" and d == indices) or mask in (d, indices):
        e.op("undefined")
        e.end()
        return
    count = min(size // element, width // index)
    if f.evex:
        name = f"{name}k"
    b = (indices | mask << GATHER_MASK | (insn.memory_index_scale.bit_length() - 1) << GATHER_SCALE
         | count << GATHER_COUNT)
    a, segment, form = _base(e, insn)
    stack = STACK_SEGMENT if e.in_stack_segment(insn) else 0
    e.op(f"{name}.{element}.{index}.{form}", d | stack | segment << GATHER_SEGMENT, a, b, insn.memory_displacement)


def _base(e: Emitter, insn: Instruction) -> tuple[int, int, str]:
    """(slot of the base, segment register's number, how addresses are made)."""
    segment = insn.memory_segment
    base = GPR_SLOT[insn.memory_base][0] if insn.memory_base else layout.ZERO
    if e.bits != 64:
        return base, SEGMENT_NUMBER[segment], "segmented"
    number = SEGMENT_NUMBER[segment] if segment in (Register.FS, Register.GS) else NO_SEGMENT
    if address_bits(insn, e.bits) == 32:
        return base, number, "narrow"
    if number != NO_SEGMENT:
        e.op("linear_base", ADDRESS, base, layout.ZERO | layout.seg(number, layout.SEG_BASE) << SEGMENT_SHIFT)
        base = ADDRESS
    return base, number, "flat"
