"""Near control transfer (SDM Vol. 2: JMP, Jcc, CALL, RET, LOOPcc, JCXZ; Vol. 1 chapter 6).

`imm` of a direct branch is the target relative to byte 0 of the code page (PAGE_RIP); the operand size truncates RIP.
The new RIP must be canonical, or outside 64-bit mode within CS.limit, before anything changes; `d` = NEAR says that
there is no need to look, as for a target in the page being executed from a segment without a limit.
"""

from jit.exits import OK, TAKEN
from jit.fault import general_protection
from jit.flags import condition, get_zf
from jit.layout import CS, LINEAR_SHIFT, PAGE_RIP, RIP, SEG_LIMIT, gpr, seg
from jit.native import Handler, State, inline, rd64, ult, wr64
from jit.registry import COND, JUMP, op
from jit.semantics.operands import WIDE, read, truncate, write
from jit.semantics.stacking import peek, push_value, set_stack_pointer, stack_pointer

CS_LIMIT = seg(CS, SEG_LIMIT)
RCX = gpr(1)


@inline
def jump_to(st: State, rip: int, width: int, near: int = 0) -> int:
    """Set RIP if the target may be reached: OK or FAULT."""
    rip = truncate(rip, width)
    if near:
        pass
    elif width == 64:
        unused = rd64(st, LINEAR_SHIFT)
        if (rip << unused) >> unused != rip:
            return general_protection(st, 0)
    elif ult(rd64(st, CS_LIMIT), rip):
        return general_protection(st, 0)
    wr64(st, RIP, rip)
    return OK


@inline
def branch(st: State, imm: int, width: int, near: int) -> int:
    status = jump_to(st, rd64(st, PAGE_RIP) + imm, width, near)
    return TAKEN if status == OK else status


@op("jmp", *WIDE, kind=JUMP)
def jmp(width: int) -> Handler:
    def jmp(st: State, d: int, a: int, b: int, imm: int) -> int:
        return jump_to(st, rd64(st, PAGE_RIP) + imm, width, d)
    return jmp


@op("goto", kind=JUMP)
def goto(st: State, d: int, a: int, b: int, imm: int) -> int:
    """The end of a block that is no branch: RIP moves to page-relative `imm`. `a` is 1 in 64-bit mode."""
    rip = rd64(st, PAGE_RIP) + imm
    wr64(st, RIP, rip if a else rip & 0xFFFFFFFF)
    return OK


@op("jmp_reg", *WIDE, kind=JUMP)
def jmp_register(width: int) -> Handler:
    def jmp_register(st: State, d: int, a: int, b: int, imm: int) -> int:
        return jump_to(st, read(st, a, width), width)
    return jmp_register


@op("jcc", *((c, w) for c in range(16) for w in WIDE), kind=COND)
def jcc(code: int, width: int) -> Handler:
    def jcc(st: State, d: int, a: int, b: int, imm: int) -> int:
        if condition(st, code):
            return branch(st, imm, width, d)
        return OK
    return jcc


@op("jcxz", *((a, w) for a in WIDE for w in WIDE), kind=COND)
def jcxz(address: int, width: int) -> Handler:
    def jcxz(st: State, d: int, a: int, b: int, imm: int) -> int:
        if read(st, RCX, address) == 0:
            return branch(st, imm, width, d)
        return OK
    return jcxz


@op("loop", *((a, w, c) for a in WIDE for w in WIDE for c in ("always", "e", "ne")), kind=COND)
def loop(address: int, width: int, condition_name: str) -> Handler:
    wants_zf = {"always": -1, "e": 1, "ne": 0}[condition_name]

    def loop(st: State, d: int, a: int, b: int, imm: int) -> int:
        count = truncate(read(st, RCX, address) - 1, address)
        status = OK
        if count != 0 and (wants_zf < 0 or get_zf(st) == wants_zf):
            status = branch(st, imm, width, d)
            if status != TAKEN:
                return status
        write(st, RCX, address, count)
        return status
    return loop


@op("call", *((w, s) for w in WIDE for s in WIDE), kind=JUMP)
def call(width: int, stack: int) -> Handler:
    """`a` + PAGE_RIP is the return address; `imm` as for jmp."""
    def call(st: State, d: int, a: int, b: int, imm: int) -> int:
        rip = rd64(st, RIP)
        status = jump_to(st, rd64(st, PAGE_RIP) + imm, width, d)
        if status != OK:
            return status
        status = push_value(st, rd64(st, PAGE_RIP) + a, width, stack)
        if status != OK:
            wr64(st, RIP, rip)
        return status
    return call


@op("call_reg", *((w, s) for w in WIDE for s in WIDE), kind=JUMP)
def call_register(width: int, stack: int) -> Handler:
    """`a`: slot of the target; `imm` + PAGE_RIP is the return address, which is pushed before the target is checked."""
    def call_register(st: State, d: int, a: int, b: int, imm: int) -> int:
        target, pointer = read(st, a, width), stack_pointer(st, stack)
        status = push_value(st, rd64(st, PAGE_RIP) + imm, width, stack)
        if status != OK:
            return status
        status = jump_to(st, target, width)
        if status != OK:
            set_stack_pointer(st, pointer, stack)
        return status
    return call_register


@op("ret", *((w, s) for w in WIDE for s in WIDE), kind=JUMP)
def ret(width: int, stack: int) -> Handler:
    """`imm`: bytes to release beyond the return address."""
    size = width // 8

    def ret(st: State, d: int, a: int, b: int, imm: int) -> int:
        rip, status = peek(st, 0, width, stack)
        if status != OK:
            return status
        status = jump_to(st, rip, width)
        if status == OK:
            set_stack_pointer(st, stack_pointer(st, stack) + size + imm, stack)
        return status
    return ret


