"""MONITOR, MWAIT, MONITORX, MWAITX, UMONITOR, UMWAIT, TPAUSE, PAUSE (jit/semantics/wait.py)."""

from iced_x86 import Code, Instruction, Mnemonic, Register

from emu.decode.emitter import Address, Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import ADDRESS, GPR_SLOT, SEGMENT_NUMBER
from jit import layout
from jit.semantics.wiring import BY_MWAIT, BY_MWAITX, BY_UMWAIT, SEGMENT_SHIFT, SIZE_SHIFT, STACK_SEGMENT

_EXTENSIONS = {Mnemonic.MWAIT: 0b01, Mnemonic.MWAITX: 0b11}
_IN_RAX = {Code.MONITORW: 16, Code.MONITORD: 32, Code.MONITORQ: 64, Code.MONITORXW: 16, Code.MONITORXD: 32,
           Code.MONITORXQ: 64}


def byte_at(e: Emitter, insn: Instruction, slot: int, bits: int, access: int = 0) -> Address:
    """Operand words of a byte whose address is in a register; DS unless a prefix says otherwise. `access`: 0, or
    WRITE_ACCESS."""
    segment = insn.segment_prefix or Register.DS
    if e.bits == 64:
        base = layout.ZERO
        if segment in (Register.FS, Register.GS):
            base = layout.seg(SEGMENT_NUMBER[segment], layout.SEG_BASE)
        if base == layout.ZERO and bits == 64:
            return Address(slot, layout.ZERO, 0)
        e.op("linear_base32" if bits == 32 else "linear_base", ADDRESS, slot, layout.ZERO | base << SEGMENT_SHIFT)
        return Address(ADDRESS, layout.ZERO, 0)
    stack = STACK_SEGMENT if segment == Register.SS else 0
    e.op(f"linear_seg.{bits}", ADDRESS, slot,
         layout.ZERO | stack | access | SEGMENT_NUMBER[segment] << SEGMENT_SHIFT | 1 << SIZE_SHIFT)
    return Address(ADDRESS, layout.ZERO | stack, 0)


@lowers(Mnemonic.MONITOR, Mnemonic.MONITORX)
def monitor(e: Emitter, insn: Instruction) -> None:
    extended = insn.mnemonic == Mnemonic.MONITORX
    e.op("monitor_extensions" if extended else "monitor_allowed")
    e.op("monitor", BY_MWAITX if extended else BY_MWAIT, *byte_at(e, insn, layout.gpr(0), _IN_RAX[insn.code]))
    e.end()


@lowers(Mnemonic.MWAIT, Mnemonic.MWAITX)
def mwait(e: Emitter, insn: Instruction) -> None:
    extended = insn.mnemonic == Mnemonic.MWAITX
    e.op("monitor_extensions" if extended else "monitor_allowed", imm=_EXTENSIONS[insn.mnemonic])
    e.op("mwaitx" if extended else "mwait")
    e.end()


@lowers(Mnemonic.UMONITOR)
def umonitor(e: Emitter, insn: Instruction) -> None:
    slot, width = GPR_SLOT[insn.op0_register]
    e.op("monitor", BY_UMWAIT, *byte_at(e, insn, slot, width))
    e.end()


@lowers(Mnemonic.UMWAIT, Mnemonic.TPAUSE)
def umwait(e: Emitter, insn: Instruction) -> None:
    e.op(f"umwait.{int(insn.mnemonic == Mnemonic.TPAUSE)}", a=GPR_SLOT[insn.op0_register][0])
    e.end()


@lowers(Mnemonic.PAUSE)
def pause(e: Emitter, insn: Instruction) -> None:
    e.op("pause")
    e.end()
