"""Policies that a user wrote, called from compiled code: functions of plane numbers and sets of planes (bit maps)."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from jit.group_layout import (
    SCRIPT_ANSWER,
    SCRIPT_CHOOSE,
    SCRIPT_FAULT,
    SCRIPT_FAULT_CHOOSE,
    SCRIPT_FAULT_REQUEST,
    SCRIPT_FAULT_STALLED,
    SCRIPT_FUEL,
    SCRIPT_FUEL_LIMIT,
    SCRIPT_ICOUNT,
    SCRIPT_IDLE,
    SCRIPT_IDLE_LIMIT,
    SCRIPT_REQUEST,
    SCRIPT_SPENT,
    SLICE_END,
)
from jit.layout import BUDGET
from jit.native import State, address_of, inline, rd64, shr, wr64

REFUSED = -1                    # of SCRIPT_REQUEST


@intrinsic
def _call(_: Any, code: Any, fuel: Any, active: Any, target: Any, present: Any, runnable: Any, events: Any) -> Any:
    """Call a function of six integers by its address."""
    def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        word = ir.IntType(64)
        return b.call(b.inttoptr(args[0], ir.FunctionType(word, [word] * 6).as_pointer()), args[1:])
    return types.int64(*(types.int64,) * 7), gen


@inline
def ask(group: State, code: int, active: int, target: int, present: int, runnable: int, events: int) -> int:
    """What a function answers."""
    wr64(group, SCRIPT_FUEL, SCRIPT_FUEL_LIMIT)
    found = _call(code, address_of(group) + SCRIPT_FUEL, active, target, present, runnable, events)
    wr64(group, SCRIPT_SPENT, rd64(group, SCRIPT_SPENT) + SCRIPT_FUEL_LIMIT - rd64(group, SCRIPT_FUEL))
    return found


@inline
def choose(group: State, active: int, present: int, runnable: int, events: int) -> int:
    """The plane that the script wants to run now, or -1 after nonsense."""
    found = ask(group, rd64(group, SCRIPT_CHOOSE), active, active, present, runnable, events)
    return checked(group, found, present, SCRIPT_FAULT_CHOOSE)


@inline
def request(group: State, active: int, target: int, present: int, runnable: int, events: int) -> int:
    """The plane that runs when the active one asks for another, REFUSED, or -2 after nonsense."""
    found = ask(group, rd64(group, SCRIPT_REQUEST), active, target, present, runnable, events)
    if found == REFUSED and rd64(group, SCRIPT_FUEL) >= 0:
        return REFUSED
    return -2 if checked(group, found, present, SCRIPT_FAULT_REQUEST) < 0 else found


@inline
def checked(group: State, found: int, present: int, fault: int) -> int:
    """A plane that is present, or -1 with a note of what else the script answered, if it did."""
    if found >= 0 and found < 64 and shr(present, found) & 1 != 0 and rd64(group, SCRIPT_FUEL) >= 0:
        return found
    wr64(group, SCRIPT_FAULT, fault)
    wr64(group, SCRIPT_ANSWER, found)
    return -1


@inline
def stalls(group: State, st: State) -> bool:
    """Count a switch; whether there have been so many since an instruction last retired that none ever will."""
    icount = rd64(group, SLICE_END) - rd64(st, BUDGET)
    idle = rd64(group, SCRIPT_IDLE) + 1
    if icount != rd64(group, SCRIPT_ICOUNT):
        wr64(group, SCRIPT_ICOUNT, icount)
        idle = 0
    wr64(group, SCRIPT_IDLE, idle)
    if idle > SCRIPT_IDLE_LIMIT:
        wr64(group, SCRIPT_FAULT, SCRIPT_FAULT_STALLED)
        return True
    return False
