"""The plane switch itself, and what it does to the instruction that caused it."""

from jit import watch
from jit.branch_trace import steps_branches
from jit.exits import KIND_FAULT
from jit.fault import DB, DR6_BS, debug_status, pend_trap, undefined_opcode
from jit.flags import TF
from jit.group_layout import (
    ACTIVE,
    FILES,
    INTERFACE,
    INTERFACE_POLICY,
    REC_CAUSE,
    REC_FROM,
    REC_ICOUNT,
    REC_RIP_FROM,
    REC_RIP_TO,
    REC_TO,
    RECORD_SHIFT,
    RING,
    RING_RECORDS,
    SHARED,
    SHARED_COUNT,
    SLICE_END,
    SWITCHES,
)
from jit.layout import (
    BUDGET,
    FAULT_KIND,
    FAULT_PENDING,
    IDLE_FAULTS,
    NEXT_RIP,
    RFL,
    RIP,
    SAMPLE,
    TSC_BASE,
    XCR0,
)
from jit.monitor import disarm
from jit.native import State, inline, rd64, st64, state_at, wr64
from jit.protection_keys import exchange_pkru, follow_pkru
from jit.tlb import flush_all
from jit.vector_gate import update_gate

DONE, REFUSED = -1, -2          # of a hypercall: carried out in compiled code; #UD


@inline
def carry_over(group: State, old: State, new: State) -> None:
    """Take the time slice and the shared registers along."""
    disarm(old)
    wr64(new, BUDGET, rd64(old, BUDGET))
    wr64(new, TSC_BASE, rd64(old, TSC_BASE))
    wr64(new, SAMPLE, rd64(old, SAMPLE))
    xcr0 = rd64(new, XCR0)
    for i in range(rd64(group, SHARED_COUNT)):
        at = rd64(group, SHARED + (i << 4))
        for word in range(rd64(group, SHARED + (i << 4) + 8)):
            wr64(new, at + (word << 3), rd64(old, at + (word << 3)))
    if rd64(new, XCR0) != xcr0:
        update_gate(new)
    if rd64(group, INTERFACE) == INTERFACE_POLICY:  # in Linux's series PKRU is a plane's own whatever they share
        exchange_pkru(old, new)
    follow_pkru(new)                                # the FPU file may be a shared one
    if watch.enabled(new):                          # its TLBs were filled for the breakpoints of before
        flush_all(new)


@inline
def record(group: State, old: State, new: State, source: int, target: int, cause: int, rip: int) -> None:
    """Write a switch record over the oldest."""
    count = rd64(group, SWITCHES)
    wr64(group, SWITCHES, count + 1)
    ring = rd64(group, RING)
    if ring != 0:
        at = ring + ((count & (rd64(group, RING_RECORDS) - 1)) << RECORD_SHIFT)
        st64(at + REC_ICOUNT, rd64(group, SLICE_END) - rd64(old, BUDGET))
        st64(at + REC_FROM, source)
        st64(at + REC_TO, target)
        st64(at + REC_CAUSE, cause)
        st64(at + REC_RIP_FROM, rip)
        st64(at + REC_RIP_TO, rd64(new, RIP))


@inline
def switch(group: State, old: State, source: int, target: int, cause: int, rip: int) -> None:
    """Make plane `target` the active one. `rip` is where plane `source`, whose file is `old`, stopped."""
    new = state_at(rd64(group, FILES + (target << 3)))
    carry_over(group, old, new)
    record(group, old, new, source, target, cause, rip)
    wr64(group, ACTIVE, target)


@inline
def retire(st: State) -> None:
    """The instruction at which the run loop stopped is done: RIP and the budget move on, RFLAGS.TF traps."""
    wr64(st, RIP, rd64(st, NEXT_RIP))
    wr64(st, BUDGET, rd64(st, BUDGET) - 1)
    wr64(st, IDLE_FAULTS, 0)
    if rd64(st, RFL) & TF and not steps_branches(st):
        debug_status(st, DR6_BS)
        pend_trap(st, DB)


@inline
def refuse(st: State) -> None:
    """#UD at the instruction at which the run loop stopped."""
    undefined_opcode(st)
    wr64(st, FAULT_KIND, KIND_FAULT)
    wr64(st, FAULT_PENDING, 1)
