"""A vCPU group at run time: the loop around `run` that changes planes without leaving compiled code.

A switch points the engine at another plane's register file. What the vCPU has once for all its planes goes along: the
time slice, and the registers that the policy shares, both tables of (offset, words). TLBs belong to planes, so nothing
is flushed. Switches happen between instructions only.
"""

from numba import types

from jit import exits, plane_call, run_slots, vsm_call
from jit.flags import IF
from jit.group_layout import (
    ACTIVE,
    COUNT,
    ENABLED,
    FILES,
    FORCED,
    INTERFACE,
    INTERFACE_OTHER,
    INTERFACE_POLICY,
    INTERFACE_VSM,
    NOTIFIED,
    NOTIFY,
    SCRIPT_SPENT,
    SCRIPT_SPENT_LIMIT,
    SNP,
)
from jit.layout import ACTIVITY, BUDGET, INTERRUPT, PROBES, RESUME, RFL, SHADOW
from jit.native import State, inline, ld64, rd64, shr, state_at, wr64
from jit.probe import SWITCH_BIT, SWITCHES, hit
from jit.selector import rank
from jit.slots import call_slot
from jit.switch import DONE, REFUSED, refuse

_select = types.ExternalFunction("strata_select", types.int64(types.voidptr))
_run = types.ExternalFunction("strata_run", types.int64(types.voidptr))


@inline
def lower_waits(group: State, active: int) -> bool:
    """Whether a plane below the active one would take an interrupt at once if it ran (TLFS, Virtual Secure Mode,
    "Virtual interrupt notification assist")."""
    for plane in range(rd64(group, COUNT)):
        if shr(rd64(group, ENABLED), plane) & 1 and rank(group, plane) > rank(group, active):
            st = state_at(rd64(group, FILES + (plane << 3)))
            if rd64(st, INTERRUPT) != 0 and rd64(st, RFL) & IF != 0 and rd64(st, SHADOW) == 0:
                return True
    return False


def notice_due(group: State) -> int:
    """1 if the active plane is to be told now of interrupts for less privileged ones."""
    active = rd64(group, ACTIVE)
    if shr(rd64(group, NOTIFY) & ~rd64(group, NOTIFIED), active) & 1 == 0:
        return 0
    return int(lower_waits(group, active))


_notice_due = inline(notice_due)


@inline
def finish_instruction(st: State) -> int:
    """Run the rest of an instruction whose device access was answered: EVENT when it is done, or why it is not."""
    budget = rd64(st, BUDGET)
    wr64(st, BUDGET, 1)
    status = _run(st)
    wr64(st, BUDGET, budget - 1 + rd64(st, BUDGET))
    return status


@inline
def note_switch(group: State) -> None:
    """A debugger that looks for plane switches learns of one, before the entered plane's first instruction."""
    st = state_at(rd64(group, FILES + (rd64(group, ACTIVE) << 3)))
    table = rd64(st, PROBES)
    if table != 0 and ld64(table + SWITCHES) != 0:
        hit(st, SWITCH_BIT)


@inline
def hypercall(group: State, st: State, active: int) -> int:
    """VMCALL or VMMCALL: DONE, or a status for Python."""
    interface = rd64(group, INTERFACE)
    status = REFUSED
    if interface == INTERFACE_OTHER or rd64(group, SNP) != 0:
        return exits.HYPERCALL
    if interface == INTERFACE_POLICY:
        status = plane_call.hypercall(group, st, active)
    if interface == INTERFACE_VSM:
        status = vsm_call.hypercall(group, st, active)
    if status == REFUSED:
        refuse(st)
        return DONE
    return status


@inline
def follow_policy(group: State, st: State, active: int, chosen: int) -> int:
    """Enter the plane that the policy chose, or leave where it chose none: DONE, or a status for Python."""
    if rd64(st, RESUME) != 0:
        status = finish_instruction(st)
        return DONE if status == exits.EVENT else status
    if chosen < 0 or rd64(group, SNP) != 0:
        return exits.PLANE_EVENT
    if rd64(group, INTERFACE) == INTERFACE_POLICY:
        status = plane_call.enter(group, st, active, chosen)
    elif rd64(group, FORCED) != 0:
        status = vsm_call.enter_forced(group, st, active, chosen)
    else:
        status = vsm_call.preempt(group, st, active, chosen)
    if status == DONE:
        note_switch(group)
        if _notice_due(group) != 0:
            return exits.NOTIFY
    return status


def run_group(group: State) -> int:
    """Run the active plane of a group, whichever that becomes, until Python must act. Returns an EXIT status.

    EVENT also stands for a plane that is not running (ACTIVITY), as after a return to a halted one.
    """
    while True:
        active = rd64(group, ACTIVE)
        st = state_at(rd64(group, FILES + (active << 3)))
        interface = rd64(group, INTERFACE)
        if interface == INTERFACE_POLICY or interface == INTERFACE_VSM:
            chosen = _select(group)
            if rd64(group, SCRIPT_SPENT) > SCRIPT_SPENT_LIMIT and rd64(st, RESUME) == 0:
                wr64(group, SCRIPT_SPENT, 0)
                return exits.EVENT
            if chosen != active or rd64(group, FORCED) != 0:
                status = follow_policy(group, st, active, chosen)
                if status != DONE:
                    return status
                continue
        if rd64(st, ACTIVITY) != 0:
            return exits.EVENT
        status = _run(st)
        if status == exits.VMGEXIT:
            status = call_slot(st, run_slots.VMGEXIT)
        elif status == exits.HYPERCALL:
            status = hypercall(group, st, active)
        else:
            return status
        if status != DONE:
            return status
        if rd64(group, ACTIVE) != active:
            note_switch(group)
            if _notice_due(group) != 0:
                return exits.NOTIFY
