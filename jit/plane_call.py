"""Entering the plane that a policy chose, and what a guest can ask of the policy by VMCALL or VMMCALL.

RAX: PLANE_CALL, PLANE_RETURN, or RUN_PLANE with the plane in RBX, whose number is that of GHCB's RUN_VMPL. RAX becomes
0, or a PLANE_* status. Everything else is the VMM's.
"""

from jit import exits
from jit.group_layout import (
    CAUSE,
    CAUSE_CALL,
    CAUSE_INTERRUPT,
    CAUSE_RETURN,
    CAUSE_RUN,
    COUNT,
    ENABLED,
    ENTERED,
    FILTER,
    MODE,
    MODE_EVENT,
    MODE_MPP,
    MODE_RUNNABLE,
    MPP,
    NOTICED,
    NOTICES,
    RETURN_LAST,
    RETURN_RULE,
    RUNNABLE,
    STACK,
    SUSPENDED,
)
from jit.layout import CPL, CR0, RIP, gpr
from jit.native import State, inline, rd64, shr, wr64
from jit.selector import above, events, has_event, rank
from jit.switch import DONE, REFUSED, retire, switch

PLANE_CALL, PLANE_RETURN, RUN_PLANE = 0x11, 0x12, 0x80000018
PLANE_INVALID, PLANE_ABORTED = 1, 2             # no such plane, or not for this one to name; an event comes first
RAX, RBX = gpr(0), gpr(3)
CR0_PE = 1


@inline
def suspend(group: State, plane: int) -> None:
    """Put a plane aside; it goes on when those above it return."""
    depth = rd64(group, SUSPENDED)
    wr64(group, STACK + (depth << 3), plane)
    wr64(group, SUSPENDED, depth + 1)


@inline
def enter(group: State, st: State, active: int, target: int) -> None:
    """Enter the plane that the selector chose."""
    cause, mode = rd64(group, CAUSE), rd64(group, MODE)
    if cause == 0:
        cause = CAUSE_INTERRUPT
    if mode == MODE_EVENT:
        suspend(group, active)
    elif mode == MODE_MPP:
        waiting = events(group)
        wr64(group, NOTICES, rd64(group, NOTICES) | (waiting & ~rd64(group, NOTICED)))
        wr64(group, NOTICED, waiting)
    go(group, st, active, target, cause, rd64(st, RIP))


@inline
def go(group: State, st: State, active: int, target: int, cause: int, rip: int) -> None:
    wr64(group, CAUSE, 0)
    wr64(group, ENTERED, rd64(group, ENTERED) | (1 << target))
    switch(group, st, active, target, cause, rip)


@inline
def next_above(group: State, active: int) -> int:
    """The least privileged enabled plane above the active one, or -1: a call cannot skip levels."""
    planes, best = above(group, active) & rd64(group, ENABLED), -1
    for plane in range(rd64(group, COUNT)):
        if shr(planes, plane) & 1 and (best < 0 or rank(group, plane) > rank(group, best)):
            best = plane
    return best


@inline
def next_below(group: State, active: int) -> int:
    """The most privileged enabled plane below the active one, or -1."""
    enabled, best = rd64(group, ENABLED), -1
    for plane in range(rd64(group, COUNT)):
        if shr(enabled, plane) & 1 and rank(group, plane) > rank(group, active) and (
                best < 0 or rank(group, plane) < rank(group, best)):
            best = plane
    return best


@inline
def return_target(group: State, active: int) -> int:
    """The plane to which the active one returns, which is taken off the stack, or -1."""
    depth = rd64(group, SUSPENDED)
    if rd64(group, RETURN_RULE) == RETURN_LAST and depth != 0:
        wr64(group, SUSPENDED, depth - 1)
        return rd64(group, STACK + ((depth - 1) << 3))
    target = next_below(group, active)
    while depth != 0 and rank(group, rd64(group, STACK + ((depth - 1) << 3))) <= rank(group, target):
        depth -= 1
    wr64(group, SUSPENDED, depth)
    return target


@inline
def call_or_return(group: State, st: State, active: int, code: int) -> int:
    """PLANE_CALL and PLANE_RETURN under MODE_EVENT."""
    rip = rd64(st, RIP)
    if code == PLANE_CALL:
        target = next_above(group, active)
        if target < 0:
            return REFUSED
        suspend(group, active)
        wr64(st, RAX, 0)
        retire(st)
        go(group, st, active, target, CAUSE_CALL, rip)
        return DONE
    if next_below(group, active) < 0:
        return REFUSED
    wr64(st, RAX, 0)
    retire(st)
    go(group, st, active, return_target(group, active), CAUSE_RETURN, rip)
    return DONE


@inline
def run_plane(group: State, st: State, active: int, target: int) -> int:
    """RUN_PLANE under MODE_RUNNABLE and MODE_MPP."""
    status, mode, marked = 0, rd64(group, MODE), rd64(group, MPP) - 1
    if target < 0 or target >= rd64(group, COUNT) or shr(rd64(group, ENABLED), target & 63) & 1 == 0:
        status = PLANE_INVALID
    elif mode == MODE_MPP and active != marked and target != marked:
        status = PLANE_INVALID
    elif mode == MODE_MPP and active == marked and has_event(group, marked, rd64(group, FILTER)):
        status = PLANE_ABORTED
    rip = rd64(st, RIP)
    wr64(st, RAX, status)
    retire(st)
    if status != 0 or target == active:
        return DONE
    if mode == MODE_RUNNABLE:
        wr64(group, RUNNABLE, (rd64(group, RUNNABLE) | (1 << target)) & ~(1 << active))
    go(group, st, active, target, CAUSE_RUN, rip)
    return DONE


@inline
def hypercall(group: State, st: State, active: int) -> int:
    """VMCALL or VMMCALL: DONE, REFUSED (#UD), or HYPERCALL."""
    code, mode = rd64(st, RAX), rd64(group, MODE)
    if rd64(st, CPL) != 0 or rd64(st, CR0) & CR0_PE == 0:
        return REFUSED
    if mode == MODE_EVENT and (code == PLANE_CALL or code == PLANE_RETURN):
        return call_or_return(group, st, active, code)
    if (mode == MODE_RUNNABLE or mode == MODE_MPP) and code == RUN_PLANE:
        return run_plane(group, st, active, rd64(st, RBX))
    return exits.HYPERCALL
