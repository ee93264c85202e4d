"""Entering the plane that a policy chose, and what a guest can ask of the policy by VMCALL or VMMCALL.

RAX: PLANE_CALL, PLANE_RETURN, RUN_PLANE with the plane in RBX, whose number is that of GHCB's RUN_VMPL, or
PLANE_NOTICES. RAX becomes 0, or one of Linux's error numbers, negative; of PLANE_NOTICES the set. Everything else is
Python's.
"""

from numba import types

from jit import exits, script
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
    FORCED,
    FORCED_CAUSE,
    FORCED_RIP,
    MODE,
    MODE_EVENT,
    MODE_MPP,
    MODE_RUNNABLE,
    MODE_SCRIPT,
    MPP,
    NOTICED,
    NOTICES,
    NOTIFIED,
    NOTIFY_RESET,
    PLANE_CALL,
    PLANE_NOTICES,
    PLANE_RETURN,
    RETURN_LAST,
    RETURN_RULE,
    RUN_PLANE,
    RUNNABLE,
)
from jit.layout import CPL, CR0, RIP, gpr
from jit.native import State, inline, rd64, shr, wr64
from jit.selector import above, events, has_event, most_privileged, present, rank
from jit.switch import DONE, REFUSED, retire, switch

EPERM, EAGAIN, EINVAL = -1, -11, -22            # not for this plane to ask; an event comes first; no such plane
_select = types.ExternalFunction("strata_select", types.int64(types.voidptr))
RAX, RBX = gpr(0), gpr(3)
CR0_PE = 1


@inline
def suspend(group: State, active: int, target: int) -> None:
    """Put the active plane aside for a more privileged one; it goes on when those above it return. A set is enough to
    remember the order: only ever more privileged planes interrupt."""
    wr64(group, RUNNABLE, rd64(group, RUNNABLE) | (1 << active) | (1 << target))


@inline
def enter(group: State, st: State, active: int, target: int) -> int:
    """Enter the plane that the selector chose: DONE, or PLANE_EVENT if a script gets nowhere."""
    cause, mode, rip = rd64(group, CAUSE), rd64(group, MODE), rd64(st, RIP)
    if cause == 0:
        cause = CAUSE_INTERRUPT
    if rd64(group, FORCED) != 0:
        cause = rd64(group, FORCED_CAUSE)
        if rd64(group, FORCED_RIP) != 0:
            rip = rd64(group, FORCED_RIP)
        wr64(group, FORCED, 0)
    elif mode == MODE_EVENT:
        suspend(group, active, target)
    elif mode == MODE_SCRIPT:
        wr64(group, RUNNABLE, rd64(group, RUNNABLE) | (1 << target))
        if script.stalls(group, st):
            return exits.PLANE_EVENT
    elif mode == MODE_MPP:
        waiting = events(group)
        wr64(group, NOTICES, rd64(group, NOTICES) | (waiting & ~rd64(group, NOTICED)))
        wr64(group, NOTICED, waiting)
    go(group, st, active, target, cause, rip)
    return DONE


@inline
def go(group: State, st: State, active: int, target: int, cause: int, rip: int) -> None:
    wr64(group, CAUSE, 0)
    wr64(group, ENTERED, rd64(group, ENTERED) | (1 << target))
    wr64(group, NOTIFIED, rd64(group, NOTIFIED) & ~(rd64(group, NOTIFY_RESET) & (1 << target)))
    switch(group, st, active, target, cause, rip)


@inline
def next_above(group: State, active: int) -> int:
    """The least privileged plane above the active one, or -1: a call cannot skip levels."""
    planes, best = above(group, active) & present(group), -1
    for plane in range(rd64(group, COUNT)):
        if shr(planes, plane) & 1 and (best < 0 or rank(group, plane) > rank(group, best)):
            best = plane
    return best


@inline
def next_below(group: State, active: int) -> int:
    """The most privileged plane below the active one, or -1."""
    planes, best = present(group), -1
    for plane in range(rd64(group, COUNT)):
        if shr(planes, plane) & 1 and rank(group, plane) > rank(group, active) and (
                best < 0 or rank(group, plane) < rank(group, best)):
            best = plane
    return best


@inline
def return_target(group: State, active: int) -> int:
    """The plane to which the active one returns."""
    left = rd64(group, RUNNABLE) & rd64(group, ENABLED) & ~(1 << active) & ~above(group, active)
    target = most_privileged(group, left)
    if rd64(group, RETURN_RULE) != RETURN_LAST or target < 0:
        target = next_below(group, active)
        left = left & ~above(group, target) | (1 << target)
    wr64(group, RUNNABLE, left)
    return target


@inline
def call_or_return(group: State, st: State, active: int, code: int) -> int:
    """PLANE_CALL and PLANE_RETURN under MODE_EVENT."""
    rip = rd64(st, RIP)
    if code == PLANE_CALL:
        target = next_above(group, active)
        if target < 0:
            return REFUSED
        suspend(group, active, target)
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
    if target < 0 or target >= rd64(group, COUNT) or shr(present(group), target & 63) & 1 == 0:
        status = EINVAL
    elif mode == MODE_MPP and active != marked and target != marked:
        status = EPERM
    elif mode == MODE_MPP and active == marked and has_event(group, marked, rd64(group, FILTER)):
        status = EAGAIN
    rip = rd64(st, RIP)
    wr64(st, RAX, status)
    retire(st)
    if status != 0 or target == active:
        return DONE
    if mode == MODE_RUNNABLE:                       # another may be runnable, and more privileged
        wr64(group, RUNNABLE, (rd64(group, RUNNABLE) | (1 << target)) & ~(1 << active))
        target = _select(group)
    if target != active:
        go(group, st, active, target, CAUSE_RUN, rip)
    return DONE


@inline
def request(group: State, st: State, active: int, target: int) -> int:
    """RUN_PLANE under MODE_SCRIPT."""
    planes, status, chosen = present(group), 0, active
    if target < 0 or target >= rd64(group, COUNT) or shr(planes, target & 63) & 1 == 0:
        status = EINVAL
    else:
        chosen = script.request(group, active, target, planes, rd64(group, RUNNABLE) & planes, events(group) & planes)
        if chosen == script.REFUSED:
            status = EPERM
        elif chosen < 0:
            return exits.PLANE_EVENT
    rip = rd64(st, RIP)
    wr64(st, RAX, status)
    retire(st)
    if status == 0 and chosen != active:
        wr64(group, RUNNABLE, (rd64(group, RUNNABLE) | (1 << chosen)) & ~(1 << active))
        go(group, st, active, chosen, CAUSE_RUN, rip)
    return DONE


@inline
def notices(group: State, st: State, active: int) -> int:
    """PLANE_NOTICES: the planes of whose events the marked plane was not told before; none but under MODE_MPP."""
    found = EPERM
    if active == rd64(group, MPP) - 1:
        found = rd64(group, NOTICES)
        wr64(group, NOTICES, 0)
    wr64(st, RAX, found)
    retire(st)
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
    if mode == MODE_SCRIPT and code == RUN_PLANE:
        return request(group, st, active, rd64(st, RBX))
    if (mode == MODE_RUNNABLE or mode == MODE_MPP or mode == MODE_SCRIPT) and code == PLANE_NOTICES:
        return notices(group, st, active)
    return exits.HYPERCALL
