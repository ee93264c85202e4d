"""Recording an exception for the run loop to deliver (SDM Vol. 3A 6.15). Every function returns FAULT."""

from jit.exits import FAULT, KIND_TRAP
from jit.layout import DR6, FAULT_ERROR, FAULT_EXT, FAULT_HAS_ERROR, FAULT_KIND, FAULT_PENDING, FAULT_VECTOR
from jit.native import State, inline, rd64, wr64

DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS, NP, SS, GP, PF, MF, AC, MC, XM, CP, HV, VC = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19, 21, 28, 29)

DR6_HITS, DR6_BS = 0xF, 1 << 14         # SDM Vol. 3B 17.2.3


@inline
def debug_status(st: State, conditions: int) -> None:
    """DR6 for a debug exception: B3 to B0 are those of this one, everything else only accumulates until software clears
    it (SDM Vol. 3B 17.2.3)."""
    wr64(st, DR6, (rd64(st, DR6) & ~DR6_HITS) | conditions)


@inline
def fault(st: State, vector: int) -> int:
    """An exception without an error code."""
    wr64(st, FAULT_VECTOR, vector)
    wr64(st, FAULT_ERROR, 0)
    wr64(st, FAULT_HAS_ERROR, 0)
    return FAULT


@inline
def fault_with_code(st: State, vector: int, error: int) -> int:
    """An exception that pushes an error code."""
    wr64(st, FAULT_VECTOR, vector)
    wr64(st, FAULT_ERROR, error)
    wr64(st, FAULT_HAS_ERROR, 1)
    return FAULT


@inline
def general_protection(st: State, error: int) -> int:
    return fault_with_code(st, GP, error)


@inline
def stack_fault(st: State, error: int) -> int:
    return fault_with_code(st, SS, error)


@inline
def undefined_opcode(st: State) -> int:
    return fault(st, UD)


@inline
def selector_fault(st: State, vector: int, selector: int) -> int:
    """An exception whose error code names a selector (SDM Vol. 3A 6.13)."""
    return fault_with_code(st, vector, (selector & 0xFFFC) | rd64(st, FAULT_EXT))


@inline
def pend_trap(st: State, vector: int) -> None:
    """A trap: delivered before the next instruction."""
    fault(st, vector)
    wr64(st, FAULT_KIND, KIND_TRAP)
    wr64(st, FAULT_PENDING, 1)
