"""XSAVE and its family as micro-ops (jit/xsave.py does the work), XGETBV and XSETBV (SDM Vol. 1 13.2, 13.3)."""

from jit import guards, run_slots, traps
from jit.area import area_form
from jit.exits import OK
from jit.fault import NM, fault, general_protection, undefined_opcode
from jit.layout import ARG, CPL, CR4, VECTOR_GATE, XCR0, XCR0_VALID, gpr
from jit.mode import refresh
from jit.native import State, rd32, rd64, shr, wr64
from jit.registry import END, op
from jit.semantics.operands import effective, hint
from jit.semantics.wiring import SWITCHED
from jit.slots import call_with
from jit.vector_gate import CR4_OSXSAVE, XCR0_AVX512
from jit.xsave import in_use
from jit.xsave_layout import AVX, SSE, X87

ZMM_STATES = 0xE0                   # opmask, ZMM_Hi256 and Hi16_ZMM: all or none of them


@op("check_xsave")
def check_xsave(st: State, d: int, a: int, b: int, imm: int) -> int:
    """#UD without CR4.OSXSAVE, then #NM with CR0.TS; imm = 1 asks for CPL 0."""
    if rd64(st, CR4) & CR4_OSXSAVE == 0:
        return undefined_opcode(st)
    if rd64(st, VECTOR_GATE) & SWITCHED:
        return fault(st, NM)
    if imm and rd64(st, CPL) != 0:
        return general_protection(st, 0)
    return OK


@op("xsave")
def xsave(st: State, d: int, a: int, b: int, imm: int) -> int:
    """d: XSAVE_* bits of jit/semantics/wiring.py."""
    wr64(st, ARG + 24, area_form(b))
    return call_with(st, run_slots.XSAVE, effective(st, a, b, imm), d, hint(b))


@op("xrstor")
def xrstor(st: State, d: int, a: int, b: int, imm: int) -> int:
    wr64(st, ARG + 24, area_form(b))
    return call_with(st, run_slots.XRSTOR, effective(st, a, b, imm), d, hint(b))


@op("xgetbv", kind=END)
def xgetbv(st: State, d: int, a: int, b: int, imm: int) -> int:
    """ECX = 0: XCR0; 1, where imm says that the processor has it: the components of it that are in use. d: 64-bit
    mode."""
    if rd64(st, CR4) & CR4_OSXSAVE == 0:
        return undefined_opcode(st)
    which, value = rd32(st, gpr(1)), rd64(st, XCR0)
    if which > imm:
        return general_protection(st, 0)
    if which == 1:
        value &= in_use(st, d)
    wr64(st, gpr(0), value & 0xFFFFFFFF)
    wr64(st, gpr(2), shr(value, 32))
    return OK


@op("xsetbv", kind=END)
def xsetbv(st: State, d: int, a: int, b: int, imm: int) -> int:
    """x87 state is always enabled; AVX's needs SSE's, AVX-512's all of its own and AVX's (SDM Vol. 1 13.3)."""
    if rd64(st, CR4) & CR4_OSXSAVE == 0:
        return undefined_opcode(st)
    value = rd32(st, gpr(0)) | (rd32(st, gpr(2)) << 32)
    if rd64(st, CPL) != 0 or rd32(st, gpr(1)) != 0 or value & ~rd64(st, XCR0_VALID) or value & X87 == 0:
        return general_protection(st, 0)
    if value & (SSE | AVX) == AVX or (value & ZMM_STATES and value & XCR0_AVX512 != XCR0_AVX512):
        return general_protection(st, 0)
    status = traps.trap(st, guards.XCR0_WRITE, value, 0)
    if status != OK:
        return status
    wr64(st, XCR0, value)
    refresh(st)
    return OK
