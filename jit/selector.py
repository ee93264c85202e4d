"""Which plane of a group runs next: one selector for every scheduling policy, configured by words of the group's block.

MODE_USER: the one that userspace named; leave when another has an event that userspace asked for. MODE_RUNNABLE: the
most privileged runnable one, which an event makes the marked plane. MODE_EVENT: the active one, until one that is more
privileged has an event. MODE_MPP: the active one, until there is an event for any other: then the marked plane, which
names the next itself. MODE_SCRIPT: what the user's function says. The direction of privilege (RANK) and the marker
(MPP) are independent of each other.
"""

from jit.flags import IF
from jit.group_layout import (
    ACTIVE,
    BLOCKED,
    COUNT,
    ENABLED,
    ENTERED,
    FALLBACK,
    FILES,
    FILTER,
    FILTER_ANY,
    FILTER_INJECTABLE,
    FORCED,
    MEDIATED,
    MODE,
    MODE_EVENT,
    MODE_MPP,
    MODE_RUNNABLE,
    MODE_SCRIPT,
    MODE_USER,
    MPP,
    NOTICED,
    PENDING,
    RANK,
    REQUESTED,
    RUNNABLE,
    STRICT_SHADOW,
    WAITING,
)
from jit.layout import INTERRUPT, NMI, NMI_BLOCKED, RFL, SHADOW, UNMASKABLE
from jit.native import State, inline, rd64, shr, state_at, wr64
from jit.script import choose

LEAVE = -1                      # no plane: userspace decides


@inline
def has_event(group: State, plane: int, which: int) -> bool:
    """Whether a plane has an NMI, or an interrupt that the filter `which` lets count."""
    st = state_at(rd64(group, FILES + (plane << 3)))
    if rd64(st, SHADOW) != 0 and rd64(group, STRICT_SHADOW) != 0:
        return False
    if rd64(st, NMI) != 0 and rd64(st, NMI_BLOCKED) == 0:
        return True
    if which == FILTER_ANY:
        return shr(rd64(group, WAITING), plane) & 1 != 0
    asserted = rd64(st, INTERRUPT)
    if asserted == 0 or asserted == UNMASKABLE:
        return asserted != 0
    return which != FILTER_INJECTABLE or (rd64(st, SHADOW) == 0 and rd64(st, RFL) & IF != 0)


@inline
def quiet(group: State) -> bool:
    """Whether no plane at all has an interrupt or NMI, which is what a switch finds nearly always."""
    seen = rd64(group, WAITING)
    for plane in range(rd64(group, COUNT)):
        st = state_at(rd64(group, FILES + (plane << 3)))
        seen |= rd64(st, INTERRUPT) | rd64(st, NMI)
    return seen == 0


@inline
def events(group: State) -> int:
    """The set of enabled planes with an event."""
    enabled, which = rd64(group, ENABLED), rd64(group, FILTER)
    found = 0
    for plane in range(rd64(group, COUNT)):
        if shr(enabled, plane) & 1 and has_event(group, plane, which):
            found |= 1 << plane
    return found


@inline
def present(group: State) -> int:
    """The set of planes that have something to run."""
    return rd64(group, ENABLED) & rd64(group, ENTERED)


@inline
def enterable(group: State) -> int:
    """The set of planes that may be entered by force."""
    return present(group) & ~rd64(group, BLOCKED)


@inline
def most_privileged(group: State, planes: int) -> int:
    """The plane of a set whose rank is the smallest, or -1."""
    best = -1
    for plane in range(rd64(group, COUNT)):
        if shr(planes, plane) & 1 and (best < 0 or rank(group, plane) < rank(group, best)):
            best = plane
    return best


@inline
def rank(group: State, plane: int) -> int:
    return rd64(group, RANK + (plane << 3))


@inline
def above(group: State, active: int) -> int:
    """The set of planes that are more privileged than the active one."""
    found = 0
    for plane in range(rd64(group, COUNT)):
        if rank(group, plane) < rank(group, active):
            found |= 1 << plane
    return found


@inline
def fresh_notices(group: State, active: int) -> int:
    """MODE_MPP: the planes with events that the marked plane has not been entered for."""
    waiting = events(group)
    wr64(group, NOTICED, rd64(group, NOTICED) & waiting)
    if rd64(group, MEDIATED) == 0:
        waiting &= ~(1 << active)
    return waiting & ~rd64(group, NOTICED)


def select(group: State) -> int:
    """The plane that runs next, or LEAVE. Deciding twice gives the same answer."""
    forced = rd64(group, FORCED) - 1
    if forced >= 0:
        return forced
    active, mode, marked = rd64(group, ACTIVE), rd64(group, MODE), rd64(group, MPP) - 1
    if mode == MODE_SCRIPT:
        there = present(group)
        return choose(group, active, there, rd64(group, RUNNABLE) & there, events(group) & there)
    if quiet(group) and mode != MODE_RUNNABLE:
        wr64(group, PENDING, 0)
        wr64(group, NOTICED, 0)
        return active
    if mode == MODE_USER:
        pending = events(group) & ~(1 << active)
        wr64(group, PENDING, pending)
        return LEAVE if pending & rd64(group, REQUESTED) else active
    if mode == MODE_EVENT:
        best = most_privileged(group, events(group) & enterable(group) & above(group, active))
        return best if best >= 0 else active
    if mode == MODE_MPP:
        there = active != marked and shr(enterable(group), marked) & 1
        return marked if there and fresh_notices(group, active) != 0 else active
    runnable = rd64(group, RUNNABLE) & rd64(group, ENABLED)
    if marked >= 0 and shr(enterable(group), marked) & 1 and has_event(group, marked, rd64(group, FILTER)):
        runnable |= 1 << marked
    best = most_privileged(group, runnable)
    if best < 0:
        best = rd64(group, FALLBACK)
        runnable |= 1 << best
    wr64(group, RUNNABLE, runnable)
    return best
