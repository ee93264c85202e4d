"""Delivering exceptions and interrupts (SDM Vol. 3A chapter 6): the event of FAULT_*, faults on the way, double faults.

The entry into the handler is in jit/enter.py; it changes nothing unless it succeeds, so a fault there finds the state
that the first event found.
"""

from jit import exits
from jit.branch_trace import end_tracing
from jit.enter import ENTER_ERROR, ENTER_RESUME, enter
from jit.exits import FAULT, KIND_FAULT, KIND_INTERRUPT, KIND_NMI, OK
from jit.fault import CP, DB, DE, DF, PF, TS, VC, fault_with_code
from jit.fault import GP as GENERAL
from jit.layout import (
    ACTIVITY,
    CR2,
    DR7,
    FAULT_ADDRESS,
    FAULT_ERROR,
    FAULT_EXT,
    FAULT_HAS_ERROR,
    FAULT_KIND,
    FAULT_PENDING,
    FAULT_VECTOR,
    INJECTED,
    IO_DONE,
    IO_NEXT,
    NMI_BLOCKED,
)
from jit.monitor import disarm
from jit.native import State, inline, rd64, wr64
from jit.traps import trap_exception

DR7_GD = 1 << 13
SHUTDOWN = 3                            # ACTIVITY
BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE = 0, 1, 2, 3


@inline
def fault_class(vector: int) -> int:
    """SDM Vol. 3A table 6-4; APM Vol. 2 15.35.5 for #VC."""
    if vector == DE or TS <= vector <= GENERAL or vector == CP or vector == VC:
        return CONTRIBUTORY
    if vector == PF:
        return PAGE_FAULT
    return DOUBLE if vector == DF else BENIGN


@inline
def remember_address(st: State) -> None:
    if rd64(st, FAULT_VECTOR) == PF:
        wr64(st, CR2, rd64(st, FAULT_ADDRESS))


def deliver(st: State) -> int:
    """Deliver the event of FAULT_*: OK, SHUTDOWN after a triple fault, or what Python must do first."""
    trapped = trap_exception(st)
    if trapped != OK:
        return trapped
    disarm(st)
    if rd64(st, FAULT_KIND) == KIND_FAULT:
        remember_address(st)
    while True:
        vector, kind = rd64(st, FAULT_VECTOR), rd64(st, FAULT_KIND)
        how = ENTER_ERROR if rd64(st, FAULT_HAS_ERROR) else 0
        if kind == KIND_FAULT:
            how |= ENTER_RESUME
        wr64(st, FAULT_EXT, 1)
        wr64(st, FAULT_PENDING, 0)      # a task switch may leave a fault of the new task pending
        status = enter(st, vector, how, rd64(st, FAULT_ERROR))
        wr64(st, FAULT_EXT, 0)
        if status == OK:
            wr64(st, INJECTED, 0)
            if kind == KIND_NMI:
                wr64(st, NMI_BLOCKED, 1)
            if vector == DB and kind != KIND_INTERRUPT:
                wr64(st, DR7, rd64(st, DR7) & ~DR7_GD)
                end_tracing(st)
            return OK
        wr64(st, FAULT_PENDING, 1)
        if status != FAULT:
            return status
        remember_address(st)
        first = fault_class(vector) if kind == KIND_FAULT else BENIGN
        second = fault_class(rd64(st, FAULT_VECTOR))
        wr64(st, FAULT_KIND, KIND_FAULT)
        wr64(st, IO_DONE, 0)
        wr64(st, IO_NEXT, 0)
        if first == DOUBLE:
            wr64(st, FAULT_PENDING, 0)
            wr64(st, ACTIVITY, SHUTDOWN)
            return exits.SHUTDOWN
        if second == CONTRIBUTORY and first != BENIGN or second == PAGE_FAULT and first == PAGE_FAULT:
            fault_with_code(st, DF, 0)
    return OK
