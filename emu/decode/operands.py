"""iced-x86 operands -> operand words of micro-ops: register slots, immediates, effective addresses."""

from iced_x86 import Instruction, OpKind, Register, RegisterExt

from jit import layout

_SEGMENTS = {Register.ES: 0, Register.CS: 1, Register.SS: 2, Register.DS: 3, Register.FS: 4, Register.GS: 5}


def _register_slots() -> dict[int, tuple[int, int]]:
    slots: dict[int, tuple[int, int]] = {}
    for name in dir(Register):
        register = getattr(Register, name)
        if not isinstance(register, int) or name.startswith("_"):
            continue
        if RegisterExt.is_gpr(register):
            high = register in (Register.AH, Register.CH, Register.DH, Register.BH)
            number = register - Register.AH if high else RegisterExt.number(register)
            if not high and RegisterExt.is_gpr8(register):
                number = RegisterExt.number(RegisterExt.full_register(register))
            slots[register] = (layout.gpr(number) + high, RegisterExt.size(register) * 8)
    return slots


GPR_SLOT = _register_slots()            # iced register -> (byte offset in the state, width in bits)
SEGMENT_NUMBER = _SEGMENTS              # iced segment register -> its number
TMP = [layout.TMP + 8 * n for n in range(8)]
ADDRESS = TMP[7]                        # the linear address of a memory operand that needs segment work
OFFSET = TMP[5]                         # an effective address that a micro-op computed (bit strings, XLAT)
MEMORY = OpKind.MEMORY
REGISTER = OpKind.REGISTER

_IMMEDIATE_WIDTH = {OpKind.IMMEDIATE8: 8, OpKind.IMMEDIATE8_2ND: 8, OpKind.IMMEDIATE16: 16, OpKind.IMMEDIATE32: 32,
                    OpKind.IMMEDIATE64: 64, OpKind.IMMEDIATE8TO16: 16, OpKind.IMMEDIATE8TO32: 32,
                    OpKind.IMMEDIATE8TO64: 64, OpKind.IMMEDIATE32TO64: 64}


def is_immediate(insn: Instruction, index: int) -> bool:
    return insn.op_kind(index) in _IMMEDIATE_WIDTH


def immediate(insn: Instruction, index: int, width: int) -> int:
    """Immediate operand as an unsigned number of `width` bits."""
    return insn.immediate(index) & ((1 << width) - 1)


def operand_width(insn: Instruction, index: int) -> int:
    """Width in bits of a general-register, memory or immediate operand."""
    kind = insn.op_kind(index)
    if kind == REGISTER:
        return RegisterExt.size(insn.op_register(index)) * 8
    if kind == MEMORY:
        return MEMORY_BITS[insn.memory_size]
    return _IMMEDIATE_WIDTH[kind]


def _memory_bits() -> dict[int, int]:
    from iced_x86 import MemorySize, MemorySizeExt
    return {getattr(MemorySize, n): MemorySizeExt.size(getattr(MemorySize, n)) * 8
            for n in dir(MemorySize) if isinstance(getattr(MemorySize, n), int) and not n.startswith("_")}


MEMORY_BITS = _memory_bits()            # iced memory size -> bits
