"""The run loop: find micro-ops, run them until something happens, deal with it, until Python is needed.

`run(state)` returns an EXIT status for Python. BUDGET bounds the instructions; it is exact because a stop is placed on
the micro-op at which the budget ends (the record's handler is replaced for the duration) and blocks are only entered
when they fit.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from jit import exits, run_slots, uops
from jit.access import PAGE_MASK, translate
from jit.branch_trace import (
    count_event,
    count_of_begun,
    record_exception,
    records_branches,
    steps_branches,
    trace_branch,
)
from jit.exits import FAULT, KIND_FAULT, KIND_NMI, OK
from jit.fault import DB, DR6_BS, fault, general_protection, pend_trap
from jit.fault import NMI as NMI_VECTOR
from jit.flags import IF, RF, TF
from jit.heat import note_heat, slice_length
from jit.jumps import remember_jump
from jit.layout import (
    ALONE,
    BUDGET,
    CODE,
    CODE_ENTRIES,
    CODE_SHIFT,
    CODE_TLB,
    CS,
    CS_BASE,
    DEBUG_HITS,
    EXIT,
    EXIT_UOP,
    FAULT_KIND,
    FAULT_PENDING,
    FAULT_VECTOR,
    GPR,
    HANDLERS,
    IDLE_FAULTS,
    INTERRUPT,
    IO_DONE,
    IO_NEXT,
    MODE,
    MODE_64,
    MODE_FLAT_CODE,
    NEXT_RIP,
    NMI,
    NMI_BLOCKED,
    NO_TRAP,
    PAGE_RIP,
    PMAP_PAGES,
    PROBE_HITS,
    REP_LEFT,
    RESUME,
    RFL,
    RIP,
    RUNTIME,
    SEG_LIMIT,
    SHADOW,
    SMC_PASS,
    SMI,
    SMM,
    TLB_SET,
    UNMASKABLE,
    VENDOR,
    VENDOR_INTEL,
    WALK_GPA,
    seg,
)
from jit.native import State, inline, ld8, ld16, ld32, ld64, rd64, shr, st64, ult, wr64
from jit.paging import EXECUTE
from jit.probe import note_vector
from jit.slots import call_slot
from jit.slow import is_canonical
from jit.timestamp import timestamp
from jit.tlb import set_address
from jit.watch import break_at, instruction_breakpoints, report_hits

CS_LIMIT = seg(CS, SEG_LIMIT)
SHADOW_STI, SHADOW_STACK = 1, 2
STORM = 1000                    # exceptions in a row, without an instruction, after which each costs one


@intrinsic
def call_thread(_: Any, code: Any, state: Any, uop: Any, left: Any) -> Any:
    """Run threaded code from a micro-op."""
    def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        i8p, i64 = ir.IntType(8).as_pointer(), ir.IntType(64)
        kind = ir.FunctionType(i64, [i8p, i8p, i64]).as_pointer()
        return b.call(b.inttoptr(args[0], kind), [args[1], b.inttoptr(args[2], i8p), args[3]])
    return types.int64(types.int64, types.voidptr, types.int64, types.int64), gen


@inline
def linear_rip(st: State, rip: int) -> int:
    """Linear address of RIP: 32 bits wide outside 64-bit mode."""
    linear = rip + rd64(st, CS_BASE)
    return linear if rd64(st, MODE) & 3 == MODE_64 else linear & 0xFFFFFFFF


@inline
def uop_rip(st: State, uop: int) -> int:
    """RIP of the instruction a micro-op belongs to."""
    rip = rd64(st, PAGE_RIP) + ld16(uop + uops.OFFSET)
    return rip if rd64(st, MODE) & 3 == MODE_64 else rip & 0xFFFFFFFF


def fall_through(st: State, uop: int) -> None:
    """RIP moves past the instruction of a micro-op."""
    rip = rd64(st, PAGE_RIP) + ld16(uop + uops.OFFSET) + ld8(uop + uops.LENGTH)
    wr64(st, RIP, rip if rd64(st, MODE) & 3 == MODE_64 else rip & 0xFFFFFFFF)


@inline
def exceeds_limit(st: State, uop: int) -> int:
    """Whether the last byte of a micro-op's instruction lies beyond CS.limit."""
    return ult(rd64(st, CS_LIMIT), rd64(st, PAGE_RIP) + ld16(uop + uops.OFFSET) + ld8(uop + uops.LENGTH) - 1)


@inline
def find(st: State) -> int:
    """Micro-op at RIP in EXIT_UOP: OK, SHORT when its block exceeds CS.limit, DECODE when there is none, or FAULT."""
    rip = rd64(st, RIP)
    linear = linear_rip(st, rip)
    mode = rd64(st, MODE)
    if mode & 3 == MODE_64:
        if not is_canonical(st, linear):
            return general_protection(st, 0)
    elif ult(rd64(st, CS_LIMIT), rip):
        return general_protection(st, 0)
    base = set_address(st, rd64(st, TLB_SET))
    entry = base + CODE_TLB + ((shr(linear, 12) & (CODE_ENTRIES - 1)) << CODE_SHIFT)
    if ld64(entry) != linear & PAGE_MASK:
        status = translate(st, linear, EXECUTE, rd64(st, TLB_SET))
        if status != OK:
            return status
    gpa = ld64(entry + 8)
    wr64(st, WALK_GPA, gpa | (linear & 0xFFF))
    pfn = shr(gpa, 12)
    if not ult(pfn, rd64(st, PMAP_PAGES)):
        return exits.DECODE
    page = ld64(rd64(st, CODE) + (pfn << 3))
    while page != 0 and ld64(page + uops.PAGE_MODE) != mode:
        page = ld64(page + uops.PAGE_NEXT)
    if page == 0:
        return exits.DECODE
    uop = ld64(page + uops.PAGE_TABLE + ((linear & 0xFFF) << 3))
    if uop == 0:
        return exits.DECODE
    wr64(st, PAGE_RIP, rip - (linear & 0xFFF))
    wr64(st, EXIT_UOP, uop)
    if mode & 3 != MODE_64 and mode & MODE_FLAT_CODE == 0:
        if exceeds_limit(st, uop):
            return general_protection(st, 0)
        last = uop
        while ld32(last + uops.REM) > 1:
            last += uops.SIZE
        if exceeds_limit(st, last):
            return exits.SHORT
    remember_jump(st, rip + rd64(st, CS_BASE), uop)
    return OK


@inline
def interpreter_handler(st: State, uop: int) -> int:
    return ld64(rd64(st, HANDLERS) + (ld32(uop + uops.OP) << 3))


@inline
def place_stop(st: State, uop: int, count: int) -> int:
    """Make threaded code from `uop` stop before the instruction `count` after it in its block; regions on the way
    are switched off. Returns the micro-op that stops."""
    stop_rem = ld32(uop + uops.REM) - count
    at = uop
    while ld32(at + uops.REM) > stop_rem:
        if ld64(at + uops.REGION) != 0 and ld64(at) == ld64(at + uops.REGION):
            st64(at, interpreter_handler(st, at))
        at += uops.SIZE
    st64(at, ld64(rd64(st, RUNTIME) + (run_slots.STOP << 3)))
    return at


@inline
def remove_stop(st: State, uop: int, stop: int) -> None:
    """Undo place_stop, unless the records were made stale meanwhile."""
    stale = ld64(rd64(st, RUNTIME) + (run_slots.STALE << 3))
    at = uop
    while at <= stop:
        if ld64(at) != stale:
            region = ld64(at + uops.REGION)
            st64(at, region if region != 0 else interpreter_handler(st, at))
        at += uops.SIZE


@inline
def deliver_pending(st: State) -> int:
    """Deliver the pending event: OK, RUNTIME when the function is not compiled yet, or what it returned."""
    wr64(st, FAULT_PENDING, 1)
    wr64(st, IO_NEXT, 0)
    wr64(st, ALONE, 1)
    vector, rip = rd64(st, FAULT_VECTOR), rd64(st, RIP)
    traced = records_branches(st)
    status = call_slot(st, run_slots.DELIVER)
    if status == OK:
        if traced:
            record_exception(st, rip, rd64(st, RIP))
        note_vector(st, vector)
        count_event(st)
        if rd64(st, DEBUG_HITS) != 0 and rd64(st, FAULT_PENDING) == 0:
            report_hits(st, 0)
            pend_trap(st, DB)
        wr64(st, IO_DONE, 0)
        storm = rd64(st, IDLE_FAULTS) + 1
        wr64(st, IDLE_FAULTS, storm)
        if storm > STORM:
            wr64(st, BUDGET, rd64(st, BUDGET) - 1)
    return status


@inline
def instruction_breakpoint(st: State, shadow: int) -> bool:
    """Whether an instruction breakpoint faults at RIP: not while RF is set (SDM Vol. 3B 17.3.1.1), nor, as Intel does
    it, after MOV SS (SDM Vol. 3A 6.8.3); AMD's processors hold back traps only."""
    if rd64(st, RFL) & RF or (shadow == SHADOW_STACK and rd64(st, VENDOR) == VENDOR_INTEL):
        return False
    return break_at(st, linear_rip(st, rd64(st, RIP)))


@inline
def trap_after(st: State, stepped: int) -> None:
    """#DB after a complete instruction, if it hit a breakpoint or is `stepped` by TF. MOV SS puts the hits off until
    the next instruction is complete (SDM Vol. 3A 6.8.3)."""
    stepped = stepped and rd64(st, NO_TRAP) == 0
    if (stepped or rd64(st, DEBUG_HITS) != 0) and rd64(st, SHADOW) != SHADOW_STACK and rd64(st, FAULT_PENDING) == 0:
        report_hits(st, DR6_BS if stepped else 0)
        pend_trap(st, DB)


@inline
def interrupt_waits(st: State) -> bool:
    """An external interrupt that can be taken now (SDM Vol. 3A 6.8)."""
    asserted = rd64(st, INTERRUPT)
    return asserted == UNMASKABLE or (asserted != 0 and rd64(st, RFL) & IF != 0)


def run(st: State) -> int:
    """Run the plane whose register file `st` is, until Python must act. Returns an EXIT status."""
    while True:
        resume = rd64(st, RESUME)
        if resume == 0 and rd64(st, PROBE_HITS) != 0:
            return exits.PROBED
        wr64(st, RESUME, 0)
        if rd64(st, FAULT_PENDING) != 0:
            status = deliver_pending(st)
            if status != OK:
                return status
            if rd64(st, SMC_PASS) != 0:
                return exits.SMC_DONE
            continue
        if resume != 0:
            count_of_begun(st, rd64(st, EXIT_UOP), 1)
        single = resume != 0
        stepping = instruction_breakpoints(st)
        if resume == 0:
            shadow = rd64(st, SHADOW)
            if shadow != 0:
                wr64(st, SHADOW, 0)
                single = True
            elif rd64(st, SMI) != 0 and rd64(st, SMM) == 0:
                return exits.SMI
            elif rd64(st, NMI) != 0 and rd64(st, NMI_BLOCKED) == 0:
                wr64(st, NMI, 0)
                fault(st, NMI_VECTOR)
                wr64(st, FAULT_KIND, KIND_NMI)
                wr64(st, FAULT_PENDING, 1)
                continue
            elif interrupt_waits(st):
                return exits.INTERRUPT
            if rd64(st, BUDGET) <= 0:
                wr64(st, SHADOW, shadow)
                return exits.EVENT
            if stepping:
                if instruction_breakpoint(st, shadow):
                    continue
                single = True
            status = find(st)
            if status == FAULT:
                wr64(st, FAULT_KIND, KIND_FAULT)
                wr64(st, FAULT_PENDING, 1)
                continue
            if status == exits.SHORT:
                single = True
            elif status != OK:
                wr64(st, SHADOW, shadow)
                return status
        uop = rd64(st, EXIT_UOP)
        flags = rd64(st, RFL)
        trap = flags & TF != 0
        wr64(st, RFL, flags & ~RF)          # RF holds for one instruction (SDM Vol. 3B 17.3.1.1)
        wr64(st, NO_TRAP, 0)
        budget = rd64(st, BUDGET)
        rem = ld32(uop + uops.REM)
        traced = records_branches(st)
        alone = single or trap or traced
        length = ld8(uop + uops.LENGTH)
        count = 1 if alone else slice_length(st, budget, rem)
        wr64(st, ALONE, 1 if count == 1 else 0)
        rip = rd64(st, RIP)
        wr64(st, REP_LEFT, -1)
        stop = 0
        if count < rem:
            stop = place_stop(st, uop, count)
        left = call_thread(ld64(uop), st, uop, count - rem) + (budget - count)
        if stop != 0:
            remove_stop(st, uop, stop)
        status = rd64(st, EXIT)
        uop = rd64(st, EXIT_UOP)
        hot = False
        if status == exits.LOOKUP:
            pass
        elif status == exits.BUDGET:
            wr64(st, RIP, uop_rip(st, uop))
            hot = not alone and note_heat(st, uop)
        elif status == exits.RDTSC:
            tsc = timestamp(st, left + 1)
            wr64(st, GPR, tsc & 0xFFFFFFFF)
            wr64(st, GPR + 16, shr(tsc, 32))
        else:
            left += ld32(uop + uops.REM)
            wr64(st, NEXT_RIP, rd64(st, RIP))
            wr64(st, RIP, uop_rip(st, uop))
            count_of_begun(st, uop, -1)
        if left != budget:
            wr64(st, IDLE_FAULTS, 0)
        else:
            wr64(st, RFL, rd64(st, RFL) | (flags & RF))
        wr64(st, BUDGET, left)
        if status < exits.FAULT or status == exits.STOPPED or status == exits.BUDGET or status == exits.RDTSC:
            wr64(st, IO_DONE, 0)
            if left != budget:
                if (trap or stepping) and rd64(st, REP_LEFT) != -1 and rd64(st, RIP) == rip:
                    wr64(st, RFL, rd64(st, RFL) | RF)       # between two iterations (SDM Vol. 3B 17.3.1.1)
                if trap or traced:
                    jumped = trace_branch(st, traced, rip, length)
                    trap = trap and (jumped or not steps_branches(st))
                trap_after(st, trap)
            if hot:
                return exits.HOT
        elif status == FAULT:
            wr64(st, IO_DONE, 0)
            wr64(st, DEBUG_HITS, 0)
            wr64(st, PROBE_HITS, 0)
            wr64(st, FAULT_KIND, KIND_FAULT)
            wr64(st, FAULT_PENDING, 1)
        elif status == exits.AGAIN:
            wr64(st, RESUME, 1)
            continue
        elif status != exits.STALE:
            wr64(st, IO_NEXT, 0)
            return status
        if rd64(st, SMC_PASS) != 0:
            return exits.SMC_DONE
