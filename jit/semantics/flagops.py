"""Instructions on the flags themselves (SDM Vol. 2: LAHF, SAHF, CLC/STC/CMC, CLD/STD, PUSHF, POPF)."""

from jit.eflags import get_flags, io_privilege
from jit.exits import OK
from jit.fault import general_protection
from jit.flags import (
    AC,
    AF,
    CF,
    DF,
    FIXED,
    ID,
    IF,
    IOPL,
    NT,
    OF,
    PF,
    RF,
    SF,
    STATUS,
    TF,
    VIF,
    VIP,
    VM,
    ZF,
    get_cf,
    get_status,
    set_cf,
    set_status,
)
from jit.layout import CPL, CR4, RFL, gpr
from jit.native import Handler, State, inline, rd8, rd64, wr8, wr64
from jit.registry import END, op
from jit.semantics.operands import WIDE
from jit.semantics.stacking import peek, push_value, set_stack_pointer, stack_pointer
from jit.tlb import select_set

AH = gpr(0) + 1
CR4_VME = 1
LOW_FLAGS = SF | ZF | AF | PF | CF
POPPED = STATUS | TF | DF | NT | AC | ID        # what POPF loads at any privilege


@op("lahf")
def lahf(st: State, d: int, a: int, b: int, imm: int) -> int:
    wr8(st, AH, (get_status(st) & LOW_FLAGS) | FIXED)
    return OK


@op("sahf")
def sahf(st: State, d: int, a: int, b: int, imm: int) -> int:
    set_status(st, (get_status(st) & OF) | (rd8(st, AH) & LOW_FLAGS))
    return OK


@op("put_cf")
def put_cf(st: State, d: int, a: int, b: int, imm: int) -> int:
    """CLC, STC: CF = imm."""
    set_cf(st, imm)
    return OK


@op("cmc")
def cmc(st: State, d: int, a: int, b: int, imm: int) -> int:
    set_cf(st, get_cf(st) ^ 1)
    return OK


@op("put_df")
def put_df(st: State, d: int, a: int, b: int, imm: int) -> int:
    """CLD, STD: DF = imm."""
    wr64(st, RFL, (rd64(st, RFL) & ~DF) | (DF if imm else 0))
    return OK


@inline
def restricted(st: State) -> bool:
    """Virtual-8086 mode with IOPL below 3, where PUSHF and POPF need the help of a monitor or of CR4.VME."""
    return rd64(st, RFL) & VM != 0 and io_privilege(st) != 3


@op("pushf", *((w, s) for w in WIDE for s in WIDE))
def pushf(width: int, stack: int) -> Handler:
    def pushf(st: State, d: int, a: int, b: int, imm: int) -> int:
        flags = get_flags(st) & ~(VM | RF)
        if restricted(st):
            if width != 16 or rd64(st, CR4) & CR4_VME == 0:
                return general_protection(st, 0)
            flags = (flags & ~IF) | IOPL | (IF if flags & VIF else 0)
        return push_value(st, flags, width, stack)
    return pushf


@inline
def loadable(st: State) -> int:
    """The flags that POPF may change (SDM Vol. 2B POPF, table 4-16)."""
    mask = POPPED
    if rd64(st, CPL) == 0:
        mask |= IOPL
    if rd64(st, CPL) <= io_privilege(st):
        mask |= IF
    return mask


@op("popf", *((w, s) for w in WIDE for s in WIDE), kind=END)
def popf(width: int, stack: int) -> Handler:
    def popf(st: State, d: int, a: int, b: int, imm: int) -> int:
        value, status = peek(st, 0, width, stack)
        if status != OK:
            return status
        old = rd64(st, RFL)
        mask = loadable(st)
        if restricted(st):
            if width != 16 or rd64(st, CR4) & CR4_VME == 0:
                return general_protection(st, 0)
            if value & TF != 0 or (value & IF != 0 and old & VIP != 0):
                return general_protection(st, 0)
            old = (old & ~VIF) | (VIF if value & IF else 0)
        if width == 16:
            mask &= 0xFFFF
        else:
            old &= ~RF
        set_stack_pointer(st, stack_pointer(st, stack) + width // 8, stack)
        set_status(st, value)
        wr64(st, RFL, ((old & ~mask) | (value & mask)) & ~STATUS)
        select_set(st)
        return OK
    return popf
