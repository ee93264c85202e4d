"""Running one instruction at a time and writing down each: a row of words by instruction count.

The slice keeps its length: for each instruction the budget is one, and what follows from the slice's end (the clock of
switch records, the TSC) moves along.
"""

from numba import types

from jit.exits import EVENT
from jit.group_layout import ACTIVE, FILES, SLICE_END
from jit.layout import AUX, BUDGET, CARRY, GPR, PLANE, RES, RESUME, RFL, RIP, TSC_BASE, TSC_SCALE, VCPU
from jit.native import State, inline, rd64, st64, state_at, ult, wr64
from jit.stepping_layout import FLAGS_AT, GPRS_AT, PLANE_AT, RIP_AT, ROW_BYTES, VCPU_AT

_run_group = types.ExternalFunction("strata_run_group", types.int64(types.voidptr))


@inline
def active_file(group: State) -> State:
    return state_at(rd64(group, FILES + (rd64(group, ACTIVE) << 3)))


@inline
def limit(group: State, st: State, more: int) -> None:
    """Let the slice end `more` instructions later (or earlier)."""
    wr64(st, BUDGET, rd64(st, BUDGET) + more)
    wr64(st, TSC_BASE, rd64(st, TSC_BASE) + more * rd64(st, TSC_SCALE))
    wr64(group, SLICE_END, rd64(group, SLICE_END) + more)


@inline
def write_row(row: int, st: State) -> None:
    st64(row + VCPU_AT, rd64(st, VCPU))
    st64(row + PLANE_AT, rd64(st, PLANE))
    st64(row + RIP_AT, rd64(st, RIP))
    for n in range(16):
        st64(row + GPRS_AT + (n << 3), rd64(st, GPR + (n << 3)))
    st64(row + FLAGS_AT, rd64(st, RES))
    st64(row + FLAGS_AT + 8, rd64(st, AUX))
    st64(row + FLAGS_AT + 16, rd64(st, CARRY))
    st64(row + FLAGS_AT + 24, rd64(st, RFL))


def step_group(group: State, rows: int, first: int, capacity: int) -> int:
    """As run_group, a row for each instruction from number `first` on, as it is before the instruction."""
    st = active_file(group)
    if rd64(st, RESUME) == 0:
        left = rd64(st, BUDGET)
        limit(group, st, -left)
        status = _run_group(group)              # what is to happen before the next instruction
        st = active_file(group)
        limit(group, st, left)
        if status != EVENT:
            return status
    while True:
        st = active_file(group)
        left = rd64(st, BUDGET)
        number = rd64(group, SLICE_END) - left - first
        if rd64(st, RESUME) == 0 and left > 0 and ult(number, capacity):
            write_row(rows + number * ROW_BYTES, st)
        if left <= 1:
            return _run_group(group)
        limit(group, st, 1 - left)
        status = _run_group(group)
        st = active_file(group)
        limit(group, st, left - 1)
        if status != EVENT or rd64(st, BUDGET) == left:
            return status
