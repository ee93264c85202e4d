"""Moves and address arithmetic."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter, address_bits
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, MEMORY, REGISTER, TMP, immediate, is_immediate, operand_width
from jit import layout

_CONDITIONS = "O NO B AE E NE BE A S NS P NP L GE LE G".split()
CMOV = {getattr(Mnemonic, "CMOV" + c): n for n, c in enumerate(_CONDITIONS)}
SETCC = {getattr(Mnemonic, "SET" + c): n for n, c in enumerate(_CONDITIONS)}


@lowers(Mnemonic.MOV, Mnemonic.MOVNTI, Mnemonic.MOVDIRI)
def mov(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    if insn.op0_kind == REGISTER:
        d = GPR_SLOT[insn.op0_register][0]
        if insn.op1_kind == MEMORY:
            e.load(insn, width, d)
        else:
            e.op(f"mov.{width}", d, *_moved(e, insn, width))
    elif is_immediate(insn, 1):
        e.op(f"mov.{width}", TMP[0], layout.ZERO, layout.ZERO, immediate(insn, 1, width))
        e.assign(insn, width, TMP[0])
    else:
        e.assign(insn, width, GPR_SLOT[insn.op1_register][0])


def _moved(e: Emitter, insn: Instruction, width: int) -> tuple[int, int, int]:
    slot, imm = e.source(insn, 1, width)
    return slot, layout.ZERO, imm


@lowers(Mnemonic.MOVZX, Mnemonic.MOVSX, Mnemonic.MOVSXD)
def extend(e: Emitter, insn: Instruction) -> None:
    width, narrow = operand_width(insn, 0), operand_width(insn, 1)
    slot, _ = e.source(insn, 1, narrow)
    d = GPR_SLOT[insn.op0_register][0]
    if width == narrow:                         # MOVSXD with a 16- or 32-bit destination, MOVZX r16, rm16
        e.op(f"mov.{width}", d, slot)
    else:
        e.op(f"{'movzx' if insn.mnemonic == Mnemonic.MOVZX else 'movsx'}.{narrow}.{width}", d, slot)


@lowers(Mnemonic.LEA)
def lea(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    base, index = insn.memory_base, insn.memory_index
    a = GPR_SLOT[base][0] if base in GPR_SLOT else layout.PAGE_RIP if base else layout.ZERO
    b = GPR_SLOT[index][0] if index else layout.ZERO
    b |= (insn.memory_index_scale.bit_length() - 1) << 12
    bits = address_bits(insn, e.bits)
    name = "lea" if bits == 64 else f"lea{bits}"
    e.op(f"{name}.{width}", GPR_SLOT[insn.op0_register][0], a, b, insn.memory_displacement)


@lowers(Mnemonic.XCHG)
def xchg(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    if insn.op0_kind == REGISTER and insn.op1_kind == REGISTER:
        e.op(f"xchg.{width}", GPR_SLOT[insn.op0_register][0], GPR_SLOT[insn.op1_register][0])
        return
    memory, other = (0, 1) if insn.op0_kind == MEMORY else (1, 0)
    register = GPR_SLOT[insn.op_register(other)][0]
    address = e.address(insn, width // 8, write=True)
    e.op(f"load_rw.{width}", TMP[0], *address)
    e.op(f"store.{width}", register, *address)
    e.op(f"mov.{width}", register, TMP[0])
    assert insn.op_kind(memory) == MEMORY


@lowers(*CMOV)
def cmov(e: Emitter, insn: Instruction) -> None:
    """The source is read whether or not it is moved (SDM Vol. 2A CMOVcc)."""
    width = operand_width(insn, 0)
    slot, _ = e.source(insn, 1, width)
    e.op(f"cmov.{CMOV[insn.mnemonic]}.{width}", GPR_SLOT[insn.op0_register][0], slot)


@lowers(*SETCC)
def setcc(e: Emitter, insn: Instruction) -> None:
    if insn.op0_kind == REGISTER:
        e.op(f"set.{SETCC[insn.mnemonic]}", GPR_SLOT[insn.op0_register][0])
    else:
        e.op(f"set.{SETCC[insn.mnemonic]}", TMP[0])
        e.assign(insn, 8, TMP[0])


@lowers(Mnemonic.BSWAP)
def bswap(e: Emitter, insn: Instruction) -> None:
    slot, width = GPR_SLOT[insn.op0_register]
    e.op("bswap16_zero" if width == 16 else f"bswap.{width}", slot, slot)


@lowers(Mnemonic.MOVBE)
def movbe(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    if insn.op0_kind == REGISTER:
        e.op(f"bswap.{width}", GPR_SLOT[insn.op0_register][0], e.load(insn, width))
    else:
        e.op(f"bswap.{width}", TMP[0], GPR_SLOT[insn.op1_register][0])
        e.assign(insn, width, TMP[0])


@lowers(Mnemonic.NOP, Mnemonic.LFENCE, Mnemonic.SFENCE,
        Mnemonic.MFENCE, Mnemonic.PREFETCHT0, Mnemonic.PREFETCHT1, Mnemonic.PREFETCHT2, Mnemonic.PREFETCHNTA,
        Mnemonic.PREFETCHW, Mnemonic.PREFETCHWT1, Mnemonic.PREFETCH, Mnemonic.PREFETCHIT0, Mnemonic.PREFETCHIT1,
        Mnemonic.CLDEMOTE, Mnemonic.SERIALIZE, Mnemonic.RESERVEDNOP)
def nop(e: Emitter, insn: Instruction) -> None:
    e.op("nop")


@lowers(Mnemonic.CLFLUSH, Mnemonic.CLFLUSHOPT, Mnemonic.CLWB)
def cache_line(e: Emitter, insn: Instruction) -> None:
    """There is no cache, but the address is checked as a byte read's is (SDM Vol. 2A CLFLUSH)."""
    e.op("touch", 0, *e.address(insn, 1))


@lowers(Mnemonic.RDPID)
def rdpid(e: Emitter, insn: Instruction) -> None:
    e.op("mov.32", GPR_SLOT[insn.op0_register][0], layout.TSC_AUX)


@lowers(Mnemonic.XLATB)
def xlat(e: Emitter, insn: Instruction) -> None:
    """AL indexes a table at (E/R)BX."""
    e.op(f"xlat_offset.{address_bits(insn, e.bits)}")
    e.op("load.8", layout.gpr(0), *e.address(insn, 1, computed=True))


@lowers(Mnemonic.UD0, Mnemonic.UD1, Mnemonic.UD2)
def undefined(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("undefined")
