"""Instructions on the FPU file as a whole, and what MMX does to the x87 state (SDM Vol. 1 9.5, Vol. 2A EMMS)."""

from jit.area import area_form, area_load, area_probe, area_start, area_store
from jit.exits import OK
from jit.fault import NM, fault, general_protection, undefined_opcode
from jit.fpu_layout import FSW, FTW, FX_IMAGE, MXCSR, ST_EXPONENT, ZMM
from jit.fxsave import FX_BYTES, FX_MXCSR, FX_XMM, MXCSR_MASK, image_word, restore_x87
from jit.layout import FPU, VECTOR_GATE
from jit.native import Handler, State, ld32, ld64, memmove, rd32, rd64, st16, st64, wr64
from jit.registry import op
from jit.semantics.operands import effective, hint
from jit.semantics.wiring import EMULATE, SWITCHED
from jit.x87.report import report_error

TOP, ERROR_SUMMARY = 0x3800, 0x80       # of FSW


@op("check_mmx")
def check_mmx(st: State, d: int, a: int, b: int, imm: int) -> int:
    """As `check_vector`; a pending x87 exception comes out too (SDM Vol. 2B table 22-1: #MF last)."""
    gate = rd64(st, VECTOR_GATE)
    if gate & imm:
        return undefined_opcode(st)
    if gate & SWITCHED:
        return fault(st, NM)
    if ld64(rd64(st, FPU) + FSW) & ERROR_SUMMARY:
        return report_error(st)
    return OK


@op("mmx_state")
def mmx_state(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Every MMX instruction but EMMS makes R0 the top of the x87 stack and all registers valid."""
    fpu = rd64(st, FPU)
    st64(fpu + FSW, ld64(fpu + FSW) & ~TOP)
    st64(fpu + FTW, 0xFF)
    return OK


@op("mmx_written")
def mmx_written(st: State, d: int, a: int, b: int, imm: int) -> int:
    """A written MMX register has all ones for sign and exponent."""
    st16(rd64(st, FPU) + d + ST_EXPONENT, 0xFFFF)
    return OK


@op("emms")
def emms(st: State, d: int, a: int, b: int, imm: int) -> int:
    """As every MMX instruction, it sets TOP to 0 (SDM Vol. 3A table 12-1)."""
    fpu = rd64(st, FPU)
    st64(fpu + FTW, 0)
    st64(fpu + FSW, ld64(fpu + FSW) & ~TOP)
    return OK


@op("ldmxcsr")
def ldmxcsr(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Reserved bits are those outside MXCSR_MASK (SDM Vol. 1 10.2.3, 11.6.6)."""
    value = rd32(st, a)
    if value & ~MXCSR_MASK:
        return general_protection(st, 0)
    st64(rd64(st, FPU) + MXCSR, value)
    return OK


@op("stmxcsr")
def stmxcsr(st: State, d: int, a: int, b: int, imm: int) -> int:
    wr64(st, d, ld64(rd64(st, FPU) + MXCSR))
    return OK


@op("check_fxsave")
def check_fxsave(st: State, d: int, a: int, b: int, imm: int) -> int:
    """FXSAVE and FXRSTOR give #NM for CR0.EM as for TS (SDM Vol. 2A FXSAVE)."""
    return fault(st, NM) if rd64(st, VECTOR_GATE) & (EMULATE | SWITCHED) else OK


@op("fxsave", *((wide, long) for wide in (0, 1) for long in (0, 1)))
def fxsave(wide: int, long: int) -> Handler:
    """`wide`: XMM8-15 too, in 64-bit mode; `long`: 64-bit instruction and data pointers, by REX.W (SDM Vol. 1
    10.5.1)."""
    end = FX_XMM + (256 if wide else 128)

    def fxsave(st: State, d: int, a: int, b: int, imm: int) -> int:
        area, how = effective(st, a, b, imm), area_form(b)
        status = area_start(st, area, how, 16, hint(b))
        if status == OK:                                            # as processors do, the far end first
            status = area_probe(st, area, how, FX_BYTES - 1, 1, hint(b))
        if status != OK:
            return status
        for at in range(0, FX_BYTES, 16):
            status = area_probe(st, area, how, at, 16, hint(b))
            if status != OK:
                return status
        fpu = rd64(st, FPU)
        for at in range(0, end, 8):
            status = area_store(st, area, how, at, hint(b), image_word(fpu, at, long))
            if status != OK:
                return status
        return OK
    return fxsave


@op("fxrstor", *((wide, long) for wide in (0, 1) for long in (0, 1)))
def fxrstor(wide: int, long: int) -> Handler:
    end = FX_XMM + (256 if wide else 128)

    def fxrstor(st: State, d: int, a: int, b: int, imm: int) -> int:
        area, how = effective(st, a, b, imm), area_form(b)
        status = area_start(st, area, how, 16, hint(b))
        if status == OK:
            _, status = area_load(st, area, how, FX_BYTES - 1, 1, hint(b))
        if status != OK:
            return status
        fpu = rd64(st, FPU)
        image = fpu + FX_IMAGE
        for at in range(0, FX_BYTES, 8):
            value, status = area_load(st, area, how, at, 8, hint(b))
            if status != OK:
                return status
            st64(image + at, value)
        if ld32(image + FX_MXCSR) & ~MXCSR_MASK:
            return general_protection(st, 0)
        restore_x87(fpu, image, long)
        st64(fpu + MXCSR, ld32(image + FX_MXCSR))
        for at in range(0, end - FX_XMM, 16):
            memmove(fpu + ZMM + 4 * at, image + FX_XMM + at, 16)
        return OK
    return fxrstor
