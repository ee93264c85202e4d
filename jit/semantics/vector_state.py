"""Instructions on the FPU file as a whole, and what MMX does to the x87 state (SDM Vol. 1 9.5, Vol. 2A EMMS)."""

from jit.exits import OK
from jit.fault import NM, fault, undefined_opcode
from jit.fpu_layout import FSW, FTW, ST_EXPONENT
from jit.layout import FPU, VECTOR_GATE
from jit.native import ld64, rd64, st16, st64
from jit.registry import op
from jit.semantics.wiring import SWITCHED
from jit.x87.report import report_error

TOP, ERROR_SUMMARY = 0x3800, 0x80       # of FSW


@op("check_mmx")
def check_mmx(st, d, a, b, imm):
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
def mmx_state(st, d, a, b, imm):
    """Every MMX instruction but EMMS makes R0 the top of the x87 stack and all registers valid."""
    fpu = rd64(st, FPU)
    st64(fpu + FSW, ld64(fpu + FSW) & ~TOP)
    st64(fpu + FTW, 0xFF)
    return OK


@op("mmx_written")
def mmx_written(st, d, a, b, imm):
    """A written MMX register has all ones for sign and exponent."""
    st16(rd64(st, FPU) + d + ST_EXPONENT, 0xFFFF)
    return OK


@op("emms")
def emms(st, d, a, b, imm):
    st64(rd64(st, FPU) + FTW, 0)
    return OK
