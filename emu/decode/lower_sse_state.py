"""MXCSR, FXSAVE and FXRSTOR, and the clearing of vector registers (jit/semantics/vector_state.py)."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import TMP
from jit.semantics.wiring import AVX_UD, SSE_UD


@lowers(Mnemonic.LDMXCSR, Mnemonic.VLDMXCSR)
def ldmxcsr(e: Emitter, insn: Instruction) -> None:
    e.op("check_vector", imm=SSE_UD if insn.mnemonic == Mnemonic.LDMXCSR else AVX_UD)
    e.op("ldmxcsr", 0, e.load(insn, 32))


@lowers(Mnemonic.STMXCSR, Mnemonic.VSTMXCSR)
def stmxcsr(e: Emitter, insn: Instruction) -> None:
    e.op("check_vector", imm=SSE_UD if insn.mnemonic == Mnemonic.STMXCSR else AVX_UD)
    e.op("stmxcsr", TMP[0])
    e.op("store.32", TMP[0], *e.address(insn, 4, write=True))


def _fxsave(e: Emitter, insn: Instruction, name: str) -> None:
    long = insn.mnemonic in (Mnemonic.FXSAVE64, Mnemonic.FXRSTOR64)
    e.op("check_fxsave")
    e.op(f"{name}.{int(e.bits == 64)}.{int(long)}", 0, *e.area(insn))


@lowers(Mnemonic.FXSAVE, Mnemonic.FXSAVE64)
def fxsave(e: Emitter, insn: Instruction) -> None:
    _fxsave(e, insn, "fxsave")


@lowers(Mnemonic.FXRSTOR, Mnemonic.FXRSTOR64)
def fxrstor(e: Emitter, insn: Instruction) -> None:
    _fxsave(e, insn, "fxrstor")


def _registers(e: Emitter) -> range:
    return range(16 if e.bits == 64 else 8)


@lowers(Mnemonic.VZEROUPPER)
def clear_upper(e: Emitter, insn: Instruction) -> None:
    e.op("check_vector", imm=AVX_UD)
    e.op(f"vzeroupper.{len(_registers(e))}")


@lowers(Mnemonic.VZEROALL)
def clear_all(e: Emitter, insn: Instruction) -> None:
    e.op("check_vector", imm=AVX_UD)
    e.op(f"vzeroall.{len(_registers(e))}")


