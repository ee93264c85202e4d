"""Micro-ops of the x87 instructions (SDM Vol. 2A; Vol. 1 chapter 8). The work is in jit/x87, called as functions
of the FPU file's address and values alone, so that regions may hold the calls.

A register instruction is one micro-op. One with a memory operand starts with `x87_ready`, as #NM and #MF come before
the operand's faults (SDM Vol. 3A table 6-2). The immediate says where the instruction is and what it does
(jit/x87/sources.py).
"""

from numba import types

from jit.access import probe, store
from jit.exits import OK
from jit.fault import NM, fault, general_protection, stack_fault
from jit.flags import CF, PF, ZF, condition, set_status
from jit.fpu_layout import FCW, FDP, FIP, FOP, FSW
from jit.layout import FPU, PAGE_RIP, SEG, SEG_ATTR, SEG_BYTES, SS, VECTOR_GATE
from jit.native import Handler, State, inline, ld16, ld64, rd64, shr, st64, wr64
from jit.registry import op
from jit.semantics.operands import effective, hint
from jit.semantics.segmentation import WRITE, type_allows
from jit.semantics.wiring import EMULATE, SWITCHED
from jit.vector_gate import CR0_TS
from jit.x87 import control
from jit.x87.format import C0, C2, C3, ES
from jit.x87.pop import OUT_HIGH, OUT_LOW
from jit.x87.report import control_register_0, report_error
from jit.x87.sources import (
    CONTROL_SHIFT,
    FROM_SHIFT,
    OPCODE_SHIFT,
    STORE_SEGMENT_SHIFT,
    STORE_TRUNCATES,
    TO_DECIMAL,
    TO_F32,
    TO_F80,
    TO_I16,
    TO_I32,
    TRUNCATE,
    WHERE_NARROW,
    WHERE_OFFSET,
)

CR0_MP = 1 << 1
PURE = "strata_pure_x87_"               # regions may call these
_WORD3 = types.int64(types.int64, types.int64, types.int64)
_WORD2 = types.int64(types.int64, types.int64)
WORKERS = ("add", "multiply", "divide", "compare", "sqrt", "round", "sign", "examine", "scale", "extract", "remainder",
           "push", "push_extended", "push_decimal", "push_register", "push_constant", "store_register", "exchange",
           "exp2m1", "log2", "tangent", "arctangent", "sine")
PLAIN_WORKERS = tuple(w for w in WORKERS if w not in ("compare", "push_extended", "push_decimal"))


def external(name: str) -> types.ExternalFunction:
    return types.ExternalFunction(PURE + name, _WORD3)


narrow = types.ExternalFunction(PURE + "narrow", _WORD2)
stored = types.ExternalFunction(PURE + "stored", _WORD2)
compare_worker, move_worker = external("compare"), external("move")


@inline
def ready(st: State) -> int:
    """OK, or what keeps a waiting x87 instruction from executing."""
    if rd64(st, VECTOR_GATE) & (EMULATE | SWITCHED):
        return fault(st, NM)
    if ld16(rd64(st, FPU) + FSW) & ES:
        return report_error(st)
    return OK


@inline
def ready_unwaiting(st: State) -> int:
    """The same for instructions that do not look at pending exceptions."""
    if rd64(st, VECTOR_GATE) & (EMULATE | SWITCHED):
        return fault(st, NM)
    return OK


@inline
def how(imm: int) -> int:
    """The control word."""
    return shr(imm, CONTROL_SHIFT)


@inline
def note(st: State, f: int, where: int) -> None:
    """FIP."""
    ip = rd64(st, PAGE_RIP) + (where & WHERE_OFFSET)
    st64(f + FIP, ip & 0xFFFFFFFF if where & WHERE_NARROW else ip)


@inline
def note_error(st: State, f: int, where: int, pointer: int) -> None:
    """FOP, and FDP where there is a memory operand, are noted when an exception is unmasked (SDM Vol. 1 8.1.8, 8.1.9;
    CPUID leaf 7 EBX bit 6)."""
    st64(f + FOP, shr(where, OPCODE_SHIFT) & 0x7FF)
    if pointer != 0:
        st64(f + FDP, rd64(st, pointer))


@op("x87_ready")
def x87_ready(st: State, d: int, a: int, b: int, imm: int) -> int:
    return ready(st)


@op("x87_ready_unwaiting")
def x87_ready_unwaiting(st: State, d: int, a: int, b: int, imm: int) -> int:
    return ready_unwaiting(st)


@op("x87", *PLAIN_WORKERS)
def x87_operation(name: str) -> Handler:
    """a: slot of the memory operand's bits; b: slot of its address, 0 without one."""
    worker = external(name)

    def x87_operation(st: State, d: int, a: int, b: int, imm: int) -> int:
        status = ready(st)
        if status != OK:
            return status
        f = rd64(st, FPU)
        note(st, f, imm)
        if worker(f, how(imm), rd64(st, a)) != 0:
            note_error(st, f, imm, b)
        return OK
    return x87_operation


@op("x87_compare")
def x87_compare(st: State, d: int, a: int, b: int, imm: int) -> int:
    status = ready(st)
    if status != OK:
        return status
    f = rd64(st, FPU)
    note(st, f, imm)
    if compare_worker(f, how(imm), rd64(st, a)) & 1:
        note_error(st, f, imm, b)
    return OK


@op("x87_compare_flags")
def x87_compare_flags(st: State, d: int, a: int, b: int, imm: int) -> int:
    """FCOMI, FUCOMI: ZF, PF, CF as C3, C2, C0; OF, SF, AF cleared (SDM Vol. 2A FCOMI)."""
    status = ready(st)
    if status != OK:
        return status
    f = rd64(st, FPU)
    note(st, f, imm)
    result = compare_worker(f, how(imm), 0)
    if result & 1:
        note_error(st, f, imm, 0)
    set_status(st, (CF if result & C0 else 0) | (PF if result & C2 else 0) | (ZF if result & C3 else 0))
    return OK


@op("x87_push_wide", "push_extended", "push_decimal")
def x87_push_wide(name: str) -> Handler:
    """FLD m80fp, FBLD: the low 64 bits in slot a, the rest in slot d."""
    worker = external(name)

    def x87_push_wide(st: State, d: int, a: int, b: int, imm: int) -> int:
        status = ready(st)
        if status != OK:
            return status
        f = rd64(st, FPU)
        note(st, f, imm)
        if worker(f, rd64(st, d), rd64(st, a)) != 0:
            note_error(st, f, imm, b)
        return OK
    return x87_push_wide


@op("x87_move", *range(16))
def x87_move(code: int) -> Handler:
    """FCMOVcc by condition code; a branch over it would need two blocks."""
    def x87_move(st: State, d: int, a: int, b: int, imm: int) -> int:
        status = ready(st)
        if status != OK:
            return status
        f = rd64(st, FPU)
        note(st, f, imm)
        if move_worker(f, how(imm), condition(st, code)) != 0:
            note_error(st, f, imm, 0)
        return OK
    return x87_move


@inline
def store_out(st: State, linear: int, size: int, flags: int, f: int) -> int:
    """Write the operand that a conversion left."""
    if size != 10:
        return store(st, linear, size, flags, ld64(f + OUT_LOW))
    status = probe(st, linear, 8, flags)
    if status == OK:
        status = probe(st, linear + 8, 2, flags)
    if status == OK:
        status = store(st, linear, 8, flags, ld64(f + OUT_LOW))
    if status == OK:
        status = store(st, linear + 8, 2, flags, ld64(f + OUT_HIGH))
    return status


def size_of(to: int) -> int:
    return {TO_F32: 4, TO_F80: 10, TO_I16: 2, TO_I32: 4, TO_DECIMAL: 10}.get(to, 8)


@op("x87_store", *range(7))
def x87_store(to: int) -> Handler:
    """A store of kind TO_*; it commits in `x87_stored`, which must follow. The segment is checked to be writable here,
    as an unmasked exception that keeps the store from happening comes first."""
    size = size_of(to)

    def x87_store(st: State, d: int, a: int, b: int, imm: int) -> int:
        status = ready(st)
        if status != OK:
            return status
        f = rd64(st, FPU)
        if narrow(f, (TRUNCATE if d & STORE_TRUNCATES else 0) | (to << FROM_SHIFT)) == 0:
            return OK
        segment = shr(d, STORE_SEGMENT_SHIFT)
        if segment != 0 and not type_allows(rd64(st, SEG + SEG_BYTES * (segment - 1) + SEG_ATTR), WRITE):
            return stack_fault(st, 0) if segment - 1 == SS else general_protection(st, 0)
        return store_out(st, effective(st, a, b, imm), size, hint(b), f)
    return x87_store


@op("x87_stored")
def x87_stored(st: State, d: int, a: int, b: int, imm: int) -> int:
    f = rd64(st, FPU)
    note(st, f, imm)
    if stored(f, how(imm)) != 0:
        note_error(st, f, imm, b)
    return OK


@op("x87_adjust")
def x87_adjust(st: State, d: int, a: int, b: int, imm: int) -> int:
    """FFREE, FFREEP, FINCSTP, FDECSTP, and FNOP with nothing to do."""
    status = ready(st)
    if status != OK:
        return status
    f = rd64(st, FPU)
    note(st, f, imm)
    if how(imm) != 0:
        control.adjust(f, how(imm))
    return OK


@op("x87_wait")
def x87_wait(st: State, d: int, a: int, b: int, imm: int) -> int:
    """FWAIT: CR0.MP and TS decide about #NM, not EM (SDM Vol. 3A 2.5)."""
    if control_register_0(st) & (CR0_MP | CR0_TS) == CR0_MP | CR0_TS:
        return fault(st, NM)
    if ld16(rd64(st, FPU) + FSW) & ES:
        return report_error(st)
    return OK


@op("x87_clear")
def x87_clear(st: State, d: int, a: int, b: int, imm: int) -> int:
    status = ready_unwaiting(st)
    if status != OK:
        return status
    control.clear_exceptions(rd64(st, FPU))
    return OK


@op("x87_init")
def x87_init(st: State, d: int, a: int, b: int, imm: int) -> int:
    status = ready_unwaiting(st)
    if status != OK:
        return status
    control.initialise(rd64(st, FPU))
    return OK


@op("x87_load_control")
def x87_load_control(st: State, d: int, a: int, b: int, imm: int) -> int:
    """FLDCW from slot a."""
    control.load_control(rd64(st, FPU), rd64(st, a))
    return OK


@op("x87_read_word", "control", "status")
def x87_read_word(which: int) -> Handler:
    """FCW or FSW into slot d, whose other bits stay."""
    offset = FCW if which == "control" else FSW

    def x87_read_word(st: State, d: int, a: int, b: int, imm: int) -> int:
        status = ready_unwaiting(st)
        if status != OK:
            return status
        wr64(st, d, (rd64(st, d) & ~0xFFFF) | ld16(rd64(st, FPU) + offset))
        return OK
    return x87_read_word


_environment = types.int64(types.voidptr, types.int64, types.int64)
store_environment = types.ExternalFunction("strata_fpu_store_environment", _environment)
load_environment = types.ExternalFunction("strata_fpu_load_environment", _environment)


@op("x87_store_environment")
def x87_store_environment(st: State, d: int, a: int, b: int, imm: int) -> int:
    return store_environment(st, effective(st, a, b, imm), d | hint(b))


@op("x87_load_environment")
def x87_load_environment(st: State, d: int, a: int, b: int, imm: int) -> int:
    return load_environment(st, effective(st, a, b, imm), d | hint(b))
