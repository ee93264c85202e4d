"""Segment registers: MOV, PUSH, POP, LDS and the like."""

from iced_x86 import Code, Instruction, Mnemonic

from emu.decode.emitter import Address, Emitter
from emu.decode.lowering import lowers, lowers_code
from emu.decode.names import code_name
from emu.decode.operands import GPR_SLOT, REGISTER, SEGMENT_NUMBER, TMP, operand_width
from jit import layout

_CODES = {name: getattr(Code, name) for name in dir(Code) if name.isupper()}
_PUSHES = [c for n, c in _CODES.items() if n[:4] == "PUSH" and n[5:] in ("_CS", "_DS", "_ES", "_FS", "_GS", "_SS")]
_POPS = [c for n, c in _CODES.items() if n[:3] == "POP" and n[4:] in ("_DS", "_ES", "_FS", "_GS", "_SS")]
WIDTH_LETTER = {"W": 16, "D": 32, "Q": 64}


def selector_slot(number: int) -> int:
    return layout.seg(number, layout.SEG_SELECTOR)


@lowers_code(Code.MOV_RM16_SREG, Code.MOV_R32M16_SREG, Code.MOV_R64M16_SREG)
def mov_from(e: Emitter, insn: Instruction) -> None:
    store_word(e, insn, selector_slot(SEGMENT_NUMBER[insn.op1_register]))


def store_word(e: Emitter, insn: Instruction, slot: int) -> None:
    """A system word to a register, zero-extended to the operand size, or 16 bits of it to memory."""
    width = operand_width(insn, 0) if insn.op0_kind == REGISTER else 16
    e.assign(insn, width, slot)


@lowers_code(Code.MOV_SREG_RM16, Code.MOV_SREG_R32M16, Code.MOV_SREG_R64M16)
def mov_to(e: Emitter, insn: Instruction) -> None:
    number = SEGMENT_NUMBER.get(insn.op0_register)
    if number is None or number == layout.CS:
        e.op("undefined")
        e.end()
        return
    slot, _ = e.source(insn, 1, 16)
    if number == layout.SS:
        e.op("mov_ss", a=slot)
        e.end()
    else:
        e.op("load_sreg", number, slot)


@lowers_code(*_PUSHES)
def push(e: Emitter, insn: Instruction) -> None:
    width = WIDTH_LETTER[code_name(insn.code)[4]]
    name = f"push_selector.{e.stack}" if width == 32 else f"push.{width}.{e.stack}"
    e.op(name, a=selector_slot(SEGMENT_NUMBER[insn.op0_register]))


@lowers_code(*_POPS)
def pop(e: Emitter, insn: Instruction) -> None:
    width = WIDTH_LETTER[code_name(insn.code)[3]]
    number = SEGMENT_NUMBER[insn.op0_register]
    if number == layout.SS:
        e.op(f"pop_ss.{width}.{e.stack}")
        e.end()
        return
    e.op(f"peek.{width}.{e.stack}", TMP[0])
    e.op("load_sreg", number, TMP[0])
    e.op(f"release.{e.stack}", imm=width // 8)


def load_far_operand(e: Emitter, insn: Instruction, width: int) -> None:
    """TMP[0] = offset, TMP[1] = selector of a far pointer in memory."""
    a, b, imm = e.address(insn, width // 8 + 2)
    e.op(f"load.{width}", TMP[0], *Address(a, b, imm))
    e.op("load.16", TMP[1], *Address(a, b, imm + width // 8))


@lowers(Mnemonic.LDS, Mnemonic.LES, Mnemonic.LFS, Mnemonic.LGS, Mnemonic.LSS)
def load_far_pointer(e: Emitter, insn: Instruction) -> None:
    e.end()
    name = code_name(insn.code)
    number = ("ES", "CS", "SS", "DS", "FS", "GS").index(name[1:3])
    register, width = GPR_SLOT[insn.op0_register]
    load_far_operand(e, insn, width)
    e.op(f"load_far_pointer.{width}", register, TMP[1], TMP[0], number)
