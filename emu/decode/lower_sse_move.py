"""Moves between vector registers, general registers and memory (SDM Vol. 2: MOVAPS to MOVUPD, MOVD, MOVQ, MOVSS, MOVSD,
MOVHPS, MOVLPS, MOVNT*, LDDQU)."""

from iced_x86 import Instruction, Mnemonic, RegisterExt

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers, lowers_code
from emu.decode.operands import GPR_SLOT, REGISTER
from emu.decode.vector_operands import Form, mnemonics
from jit import fpu_layout
from jit.semantics.wiring import MMX_UD


@lowers(*mnemonics("MOVAPS", "MOVAPD", "MOVDQA", "MOVNTPS", "MOVNTPD", "MOVNTDQ", "MOVNTDQA"), Mnemonic.VMOVDQA32,
        Mnemonic.VMOVDQA64)
def move_aligned(e: Emitter, insn: Instruction) -> None:
    move(Form(e, insn, aligned=True))


@lowers(*mnemonics("MOVUPS", "MOVUPD", "MOVDQU", "LDDQU"), Mnemonic.MOVNTQ, Mnemonic.VMOVDQU8, Mnemonic.VMOVDQU16,
        Mnemonic.VMOVDQU32, Mnemonic.VMOVDQU64)
def move_unaligned(e: Emitter, insn: Instruction) -> None:
    move(Form(e, insn, unaligned=True))


def move(f: Form) -> None:
    """A whole register."""
    if f.is_memory(0):
        f.store(f.slot(1), f.size(1))
        f.finish()
        return
    d, size = f.target, f.size(0)
    if f.is_memory(1):
        f.load(d, size)
    else:
        f.e.op(f"movv.{size}", d, f.slot(1))
    f.finish(d, size)


def _is_vector(insn: Instruction, index: int) -> bool:
    if insn.op_kind(index) != REGISTER:
        return False
    register = insn.op_register(index)
    return bool(RegisterExt.is_vector_register(register) or RegisterExt.is_mm(register))


@lowers(*mnemonics("MOVD", "MOVQ"))
def move_element(e: Emitter, insn: Instruction) -> None:
    """4 or 8 bytes; a vector register's rest is cleared, also by MOVQ between vector registers."""
    f = Form(e, insn)
    size = 4 if insn.mnemonic in (Mnemonic.MOVD, Mnemonic.VMOVD) else 8
    if f.is_memory(0):
        f.store(f.slot(1), size)
        f.finish()
    elif not _is_vector(insn, 0):
        e.op(f"vector_to_gpr.{size}", GPR_SLOT[insn.op0_register][0], f.slot(1))
        f.finish()
    else:
        d = f.slot(0)
        _element_to_register(f, d, size)
        f.finish(d, 16)


def _element_to_register(f: Form, d: int, size: int) -> None:
    e, insn = f.e, f.insn
    if f.mmx:
        if f.is_memory(1) and size == 8:
            f.load(d, 8)
        elif _is_vector(insn, 1):
            e.op("movv.8", d, f.slot(1))
        elif f.is_memory(1):
            e.op("mmx_from_gpr.4", d, f.general(1, 4))
        else:
            e.op(f"mmx_from_gpr.{size}", d, GPR_SLOT[insn.op1_register][0])
    elif f.is_memory(1):
        f.load(d, size, "loadz")
    elif _is_vector(insn, 1):
        e.op(f"movz.{size}", d, f.slot(1))
    else:
        e.op(f"gpr_to_vector.{size}", d, GPR_SLOT[insn.op1_register][0])


@lowers(*mnemonics("MOVSS"))
def move_single(e: Emitter, insn: Instruction) -> None:
    _move_scalar(Form(e, insn), 4)


def _move_scalar(f: Form, size: int) -> None:
    """To memory: the element. From memory: the element, the rest cleared. Between registers: merged."""
    e = f.e
    if f.is_memory(0):
        f.store(f.slot(1), size)
        return
    d = f.target
    if f.is_memory(1):
        if f.mask:
            e.op("movv.16", d, fpu_layout.VECTOR_ZERO)
        f.load(d, size, "loadz")
    elif f.vex:
        e.op(f"merge.{size}", d, f.slot(1), f.slot(2))
    else:
        e.op(f"movv.{size}", d, f.slot(1))
    f.finish(d, 16)


def _double_codes() -> list[int]:
    from iced_x86 import Code
    return [getattr(Code, n) for n in dir(Code) if n.startswith(("MOVSD_XMM", "VEX_VMOVSD_", "EVEX_VMOVSD_"))]


@lowers_code(*_double_codes())
def move_double(e: Emitter, insn: Instruction) -> None:
    """Its mnemonic is also that of the string move."""
    _move_scalar(Form(e, insn), 8)


@lowers(*mnemonics("MOVHPS", "MOVHPD"))
def move_high(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    if f.is_memory(0):
        f.store(f.slot(1) + 8, 8)
    elif f.vex:
        b = f.source(2)
        e.op("punpcklqdq.16", f.slot(0), f.slot(1), b)
        f.finish(f.slot(0), 16)
    else:
        f.load(f.slot(0) + 8, 8)


@lowers(*mnemonics("MOVLPS", "MOVLPD"))
def move_low(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    if f.is_memory(0):
        f.store(f.slot(1), 8)
    elif f.vex:
        b = f.source(2)
        e.op("merge.8", f.slot(0), f.slot(1), b)
        f.finish(f.slot(0), 16)
    else:
        f.load(f.slot(0), 8)


@lowers(*mnemonics("MOVHLPS", "MOVLHPS"))
def move_halves(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    d, a, b = f.binary()
    high = insn.mnemonic in (Mnemonic.MOVHLPS, Mnemonic.VMOVHLPS)
    e.op("movhlps.16" if high else "punpcklqdq.16", d, a, b)
    f.finish(d, 16)


@lowers(Mnemonic.MOVQ2DQ)
def mmx_to_xmm(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    e.op("movz.8", f.slot(0), f.slot(1))
    f.finish()


@lowers(Mnemonic.MOVDQ2Q)
def xmm_to_mmx(e: Emitter, insn: Instruction) -> None:
    f = Form(e, insn)
    e.op("movv.8", f.slot(0), f.slot(1))
    f.finish(f.slot(0))




@lowers(Mnemonic.EMMS)
def emms(e: Emitter, insn: Instruction) -> None:
    e.op("check_mmx", imm=MMX_UD)
    e.op("emms")
