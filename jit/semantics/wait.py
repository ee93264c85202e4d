"""Waiting instructions: MONITOR, MWAIT, their user-mode and AMD variants, TPAUSE, PAUSE (SDM Vol. 2; APM Vol. 3).

An instruction that has to wait leaves with WAIT; ARG[0] then says how (WAITS_*), ARG[1] until which value of the TSC,
or for MWAITX for how many ticks.
"""

from jit import exits, guards, run_slots, traps
from jit.exits import OK
from jit.fault import general_protection, undefined_opcode
from jit.flags import set_status
from jit.layout import ARG, CPL, CR4, PAUSE_LEAVES, PAUSES, WAIT_BY_USERS, WAIT_DISABLED, WAIT_RULES, gpr
from jit.monitor import armed_by, disarm
from jit.native import Handler, State, inline, rd32, rd64, wr64
from jit.registry import END, op
from jit.semantics.operands import effective, hint
from jit.semantics.wiring import (
    BY_MWAIT,
    BY_MWAITX,
    BY_UMWAIT,
    WAITS_DEADLINE,
    WAITS_LIMITED,
    WAITS_MASKED,
    WAITS_UNMONITORED,
)
from jit.slots import call_with

RAX, RCX, RDX, RBX = gpr(0), gpr(1), gpr(2), gpr(3)
CR4_TSD = 1 << 2
BREAK, TIMER = 1, 2                 # ECX of MWAIT and MWAITX


@op("monitor_allowed")
def monitor_allowed(st: State, d: int, a: int, b: int, imm: int) -> int:
    """MONITOR and MWAIT are for CPL 0, and may be switched off (IA32_MISC_ENABLE, HWCR); ECX may have the bits imm."""
    rules = rd64(st, WAIT_RULES)
    if rules & WAIT_DISABLED or (rd64(st, CPL) != 0 and rules & WAIT_BY_USERS == 0):
        return undefined_opcode(st)
    return extensions(st, imm)


@op("monitor_extensions")
def monitor_extensions(st: State, d: int, a: int, b: int, imm: int) -> int:
    """ECX may have the bits imm."""
    return extensions(st, imm)


@inline
def extensions(st: State, known: int) -> int:
    return OK if rd32(st, RCX) & ~known == 0 else general_protection(st, 0)


@op("monitor", kind=END)
def monitor(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Arm the line of a byte for family d."""
    status = traps.trap(st, guards.MONITOR, 0, 0)
    if status != OK:
        return status
    return call_with(st, run_slots.ARM_MONITOR, effective(st, a, b, imm), hint(b), d)


@inline
def wait(st: State, how: int, deadline: int) -> int:
    wr64(st, ARG, how)
    wr64(st, ARG + 8, deadline)
    return exits.WAIT


@op("mwait", kind=END)
def mwait(st: State, d: int, a: int, b: int, imm: int) -> int:
    status = traps.trap(st, guards.MWAIT, 0, 0)
    if status != OK:
        return status
    if not armed_by(st, BY_MWAIT):
        disarm(st)
        return OK
    return wait(st, WAITS_MASKED if rd32(st, RCX) & BREAK else 0, 0)


@op("mwaitx", kind=END)
def mwaitx(st: State, d: int, a: int, b: int, imm: int) -> int:
    """EBX is a number of TSC ticks; 0 sets no timer."""
    if not armed_by(st, BY_MWAITX):
        disarm(st)
        return OK
    how = WAITS_MASKED if rd32(st, RCX) & BREAK else 0
    if rd32(st, RCX) & TIMER and rd32(st, RBX) != 0:
        how |= WAITS_DEADLINE
    return wait(st, how, rd32(st, RBX))


@op("umwait", 0, 1, kind=END)
def umwait(tpause: int) -> Handler:
    """UMWAIT and TPAUSE: slot a is the wanted state, which only IA32_UMWAIT_CONTROL makes matter, and then not here."""
    def umwait(st: State, d: int, a: int, b: int, imm: int) -> int:
        if (rd64(st, CR4) & CR4_TSD and rd64(st, CPL) != 0) or rd32(st, a) & ~1:
            return general_protection(st, 0)
        if tpause == 0 and not armed_by(st, BY_UMWAIT):
            disarm(st)
            set_status(st, 0)
            return OK
        deadline = rd32(st, RAX) | (rd32(st, RDX) << 32)
        return wait(st, WAITS_MASKED | WAITS_DEADLINE | WAITS_LIMITED | (WAITS_UNMONITORED if tpause else 0), deadline)
    return umwait


@op("pause", kind=END)
def pause(st: State, d: int, a: int, b: int, imm: int) -> int:
    if rd64(st, WAIT_RULES) & PAUSE_LEAVES:
        left = rd64(st, PAUSES)
        if left <= 1:
            return exits.PAUSE
        wr64(st, PAUSES, left - 1)
    return OK
