"""Port input and output."""

from iced_x86 import Instruction, Mnemonic, OpKind, Register

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, SEGMENT_NUMBER, operand_width
from jit import layout

_INS = {Mnemonic.INSB: 8, Mnemonic.INSW: 16, Mnemonic.INSD: 32}
_OUTS = {Mnemonic.OUTSB: 8, Mnemonic.OUTSW: 16, Mnemonic.OUTSD: 32}
_ADDRESS_BITS = {OpKind.MEMORY_ESDI: 16, OpKind.MEMORY_ESEDI: 32, OpKind.MEMORY_ESRDI: 64, OpKind.MEMORY_SEG_SI: 16,
                 OpKind.MEMORY_SEG_ESI: 32, OpKind.MEMORY_SEG_RSI: 64}
_REPEAT = 8


def _port(insn: Instruction, index: int) -> tuple[int, int]:
    if insn.op_kind(index) == OpKind.REGISTER:
        return GPR_SLOT[Register.DX][0], 0
    return layout.ZERO, insn.immediate8


@lowers(Mnemonic.IN)
def port_in(e: Emitter, insn: Instruction) -> None:
    slot, imm = _port(insn, 1)
    e.op(f"in.{operand_width(insn, 0)}", a=slot, imm=imm)


@lowers(Mnemonic.OUT)
def port_out(e: Emitter, insn: Instruction) -> None:
    slot, imm = _port(insn, 0)
    e.op(f"out.{operand_width(insn, 1)}", a=slot, imm=imm)


def _string(e: Emitter, insn: Instruction, name: str, index: int, segment: int) -> None:
    e.end()
    bits = _ADDRESS_BITS[insn.op_kind(index)]
    b = segment | (_REPEAT if insn.has_rep_prefix or insn.has_repne_prefix else 0)
    e.op(f"{name}.{bits}", b=b, target=insn.ip, follows=insn.next_ip if insn.next_ip < 4096 and e.flat else None)


@lowers(*_INS)
def ins(e: Emitter, insn: Instruction) -> None:
    _string(e, insn, f"ins.{_INS[insn.mnemonic]}", 0, layout.ES)


@lowers(*_OUTS)
def outs(e: Emitter, insn: Instruction) -> None:
    _string(e, insn, f"outs.{_OUTS[insn.mnemonic]}", 1, SEGMENT_NUMBER[insn.memory_segment])
