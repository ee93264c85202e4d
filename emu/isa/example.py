"""An instruction of every iced-x86 Code, made without encoding it: what the decoder's lowerings are tried with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from iced_x86 import Code, Instruction, OpCodeInfo, OpCodeOperandKind, OpKind, Register

R = Register
# The register of an operand kind's name, by the part before the first underscore; the second, third and fourth operand
# of an instruction take the registers after it.
_REGISTERS = {"R8": R.CL, "R16": R.CX, "R32": R.ECX, "R64": R.RCX, "XMM": R.XMM1, "YMM": R.YMM1, "ZMM": R.ZMM1,
              "MM": R.MM1, "K": R.K1, "KP1": R.K2, "BND": R.BND0, "TMM": R.TMM1, "XMMP3": R.XMM4, "ZMMP3": R.ZMM4,
              "CR": R.CR0, "DR": R.DR0, "TR": R.TR3, "STI": R.ST1}
_FIXED = {"AL": R.AL, "CL": R.CL, "AX": R.AX, "DX": R.DX, "EAX": R.EAX, "RAX": R.RAX, "ES": R.ES, "CS": R.CS,
          "SS": R.SS, "DS": R.DS, "FS": R.FS, "GS": R.GS, "ST0": R.ST0, "SEG_REG": R.DS}
_IMMEDIATES = {"IMM8": OpKind.IMMEDIATE8, "IMM16": OpKind.IMMEDIATE16, "IMM32": OpKind.IMMEDIATE32,
               "IMM64": OpKind.IMMEDIATE64, "IMM8SEX16": OpKind.IMMEDIATE8TO16, "IMM8SEX32": OpKind.IMMEDIATE8TO32,
               "IMM8SEX64": OpKind.IMMEDIATE8TO64, "IMM32SEX64": OpKind.IMMEDIATE32TO64,
               "IMM8_CONST_1": OpKind.IMMEDIATE8, "IMM4_M2Z": OpKind.IMMEDIATE8}
_BRANCHES = {"BR16_1": OpKind.NEAR_BRANCH16, "BR16_2": OpKind.NEAR_BRANCH16, "BR32_1": OpKind.NEAR_BRANCH32,
             "BR32_4": OpKind.NEAR_BRANCH32, "BR64_1": OpKind.NEAR_BRANCH64, "BR64_4": OpKind.NEAR_BRANCH64,
             "FARBR2_2": OpKind.FAR_BRANCH16, "FARBR4_2": OpKind.FAR_BRANCH32, "XBEGIN_2": OpKind.NEAR_BRANCH32,
             "XBEGIN_4": OpKind.NEAR_BRANCH64, "BRDISP_2": OpKind.NEAR_BRANCH16, "BRDISP_4": OpKind.NEAR_BRANCH32}
_STRINGS = {"SEG_RSI": OpKind.MEMORY_SEG_RSI, "ES_RDI": OpKind.MEMORY_ESRDI, "SEG_RDI": OpKind.MEMORY_SEG_RDI}
_STRINGS32 = {"SEG_RSI": OpKind.MEMORY_SEG_ESI, "ES_RDI": OpKind.MEMORY_ESEDI, "SEG_RDI": OpKind.MEMORY_SEG_EDI}


@cache
def _kinds() -> dict[int, str]:
    return {getattr(OpCodeOperandKind, n): n for n in dir(OpCodeOperandKind)
            if not n.startswith("_") and isinstance(getattr(OpCodeOperandKind, n), int)}


def _memory(insn: Instruction, index: int, kind: str, wide: bool) -> None:
    insn.set_op_kind(index, OpKind.MEMORY)
    insn.memory_base = R.RBX if wide else R.EBX
    insn.memory_displ_size = 0
    insn.memory_index_scale = 1
    if kind == "MEM_OFFS":
        insn.memory_base = R.NONE
        insn.memory_displ_size = 8 if wide else 4
    elif kind == "SEG_RBX_AL":
        insn.memory_index = R.AL
    elif kind.startswith("MEM_VSIB"):
        insn.memory_index = {"X": R.XMM7, "Y": R.YMM7, "Z": R.ZMM7}[kind[-1]]


def _operand(insn: Instruction, index: int, kind: str, memory: bool, wide: bool) -> None:
    strings = _STRINGS if wide else _STRINGS32
    if kind in _IMMEDIATES:
        second = any(insn.op_kind(n) == OpKind.IMMEDIATE8 for n in range(index))
        insn.set_op_kind(index, OpKind.IMMEDIATE8_2ND if second else _IMMEDIATES[kind])
    elif kind in _BRANCHES:
        insn.set_op_kind(index, _BRANCHES[kind])
    elif kind in strings:
        insn.set_op_kind(index, strings[kind])
    elif kind.startswith(("MEM", "SIBMEM")) or kind == "SEG_RBX_AL" or (memory and "_OR_MEM" in kind):
        _memory(insn, index, kind, wide)
    else:
        register = _FIXED.get(kind)
        if register is None:
            register = _REGISTERS[kind.split("_")[0]] + (index if kind[0] in "RXYZMTK" and kind[:2] != "TR" else 0)
        insn.set_op_kind(index, OpKind.REGISTER)
        insn.set_op_register(index, register)


def examples(code: int) -> Iterator[Instruction]:
    """The instruction with register operands, and with memory where it can have either."""
    info = OpCodeInfo(code)
    kinds = [_kinds()[info.op_kind(n)] for n in range(info.op_count)]
    for memory in (False, True) if any("_OR_MEM" in kind for kind in kinds) else (False,):
        insn = Instruction()
        insn.code = code
        for index, kind in enumerate(kinds):
            _operand(insn, index, kind, memory, info.mode64)
        if info.require_op_mask_register:
            insn.op_mask = R.K1
        insn.len = 4
        insn.next_ip = 4
        yield insn


@cache
def codes() -> dict[int, str]:
    """Every Code of the library and its name."""
    return {getattr(Code, n): n for n in dir(Code) if not n.startswith("_") and isinstance(getattr(Code, n), int)}
