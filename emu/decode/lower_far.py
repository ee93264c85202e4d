"""Far control transfer, interrupts, fast system calls."""

from iced_x86 import Code, Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lower_segment import load_far_operand
from emu.decode.lowering import lowers, lowers_code
from emu.decode.names import code_name
from emu.decode.operands import TMP

_TRANSFERS = {"JMP": "far.jump", "CALL": "far.call"}
_SIZES = {"1616": 2, "1632": 4, "1664": 8}
_LETTERS = {"W": 2, "D": 4, "Q": 8}
_VECTORS = {Mnemonic.INT3: ("int3", 3), Mnemonic.INTO: ("into", 4), Mnemonic.INT1: ("int1", 1)}


def _far_codes(*forms: str) -> list[int]:
    return [getattr(Code, f"{name}_{form}") for name in _TRANSFERS for form in forms]


@lowers_code(*_far_codes("PTR1616", "PTR1632"))
def direct(e: Emitter, insn: Instruction) -> None:
    e.end()
    name, form = code_name(insn.code).split("_")
    size = _SIZES[form[3:]]
    e.op("mov.64", TMP[0], imm=insn.far_branch16 if size == 2 else insn.far_branch32)
    e.op("mov.64", TMP[1], imm=insn.far_branch_selector)
    e.op(_TRANSFERS[name], 0, TMP[1], TMP[0], size)


@lowers_code(*_far_codes("M1616", "M1632", "M1664"))
def indirect(e: Emitter, insn: Instruction) -> None:
    e.end()
    name, form = code_name(insn.code).split("_")
    size = _SIZES[form[1:]]
    e.op("mov.64", TMP[0])
    load_far_operand(e, insn, size * 8)
    e.op(_TRANSFERS[name], 0, TMP[1], TMP[0], size)


@lowers(Mnemonic.RETF)
def far_return(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("far_return", insn.immediate(0) if insn.op_count else 0, imm=_LETTERS[code_name(insn.code)[4]])



@lowers(Mnemonic.IRET, Mnemonic.IRETD, Mnemonic.IRETQ)
def iret(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op(f"iret.{'long' if e.bits == 64 else 'legacy'}", imm=_LETTERS[code_name(insn.code)[4]])


@lowers(Mnemonic.INT)
def interrupt(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("int", imm=insn.immediate8)


@lowers(*_VECTORS)
def short_interrupt(e: Emitter, insn: Instruction) -> None:
    e.end()
    name, vector = _VECTORS[insn.mnemonic]
    e.op(name, imm=vector)


@lowers(Mnemonic.SYSCALL, Mnemonic.SYSENTER)
def fast_call(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op(f"fast_call.{code_name(insn.code).lower()}")


@lowers(Mnemonic.SYSRET, Mnemonic.SYSRETQ, Mnemonic.SYSEXIT, Mnemonic.SYSEXITQ)
def fast_return(e: Emitter, insn: Instruction) -> None:
    e.end()
    name = code_name(insn.code).lower()
    e.op(f"fast_return.{name[:-1]}", imm=8 if name[-1] == "q" else 4)


@lowers(Mnemonic.CLI, Mnemonic.STI)
def interrupt_flag(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op(code_name(insn.code).lower())
