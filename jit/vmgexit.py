"""VMGEXIT that asks for another VMPL of the same vCPU, carried out without leaving compiled code (GHCB specification,
RUN_VMPL and the MSR protocol's 0x016).

What is served here needs no decision: the target's VMSA may be run (APM Vol. 2 15.36.12), has the features that its
register file was set up for, no event to inject, and asks for no flush. Everything else is the hypervisor's, in Python.
"""

from jit import exits, pmap
from jit import vmsa_layout as v
from jit.group_layout import (
    ACTIVE,
    CAUSE,
    CAUSE_INTERRUPT,
    CAUSE_RUN,
    COUNT,
    ENABLED,
    FILES,
    GHCBS,
    RUNNABLE,
    SNP_DIRECT,
    VMSA_FEATURES,
    VMSAS,
)
from jit.guards import DENY_SHARED_WRITE, HOW_SHARED
from jit.layout import ACTIVITY, ARG, GHCB, GROUP, NEXT_RIP, RIP
from jit.native import State, inline, ld8, ld32, ld64, rd64, shr, st8, st64, state_at, wr64
from jit.paging import host_of
from jit.plane_call import go
from jit.second_stage import denials, physical
from jit.switch import DONE, retire
from jit.vmsa import load_page, save_page
from jit.vmsa_checks import broken_rule
from jit.vmsa_rules import GOOD

INFO, RUN_REQUEST, RUN_RESPONSE, RUN_VMPL = 0xFFF, 0x016, 0x017, 0x80000018
EXIT_CODE, EXIT_INFO1, EXIT_INFO2, VALID, USAGE = 0x390, 0x398, 0x3A0, 0x3F0, 0xFFC      # of the GHCB (its table 3)
STANDARD = 0                                    # USAGE
VALID_EXITS, VALID_OTHERS = 0x1C, VALID + 14    # the three fields' bits, in byte 14 of the bitmap
NOBODY = -1


@inline
def ghcb_page(st: State, group: State, active: int) -> int:
    """Host address of the registered GHCB that the MSR names, or 0."""
    gpa = rd64(st, GHCB)
    if gpa == 0 or gpa != rd64(group, GHCBS + (active << 3)) or denials(st, gpa) & DENY_SHARED_WRITE:
        return 0
    return host_of(st, physical(st, gpa, HOW_SHARED), pmap.READ | pmap.WRITE)


@inline
def requested(st: State, page: int) -> int:
    """The VMPL that the MSR or the GHCB at `page` asks for, or NOBODY."""
    message = rd64(st, GHCB)
    if message & INFO == RUN_REQUEST:
        return shr(message, 32) & 0xFF
    if page == 0 or ld32(page + USAGE) != STANDARD:
        return NOBODY
    if ld8(page + VALID_OTHERS) & VALID_EXITS == VALID_EXITS and ld64(page + EXIT_CODE) == RUN_VMPL:
        return ld64(page + EXIT_INFO1) & 0xFFFFFFFF
    return NOBODY


@inline
def runs(group: State, target: int) -> bool:
    """Whether VMRUN of a VMPL's VMSA succeeds and has nothing else to do than to load registers."""
    page, plane = rd64(group, VMSAS + (target << 3)), state_at(rd64(group, FILES + (target << 3)))
    if page == 0 or ld8(page + v.VMPL) != target or rd64(plane, ACTIVITY) != 0:
        return False
    if broken_rule(plane, page) != GOOD:
        return False
    if ld64(page + v.SEV_FEATURES) != rd64(group, VMSA_FEATURES + (target << 3)):
        return False
    if ld64(page + v.PCPU_ID) == 0:
        return False
    return ld64(page + v.VINTR_CTRL) & v.BUSY == 0 and ld64(page + v.EVENTINJ) & v.EVENT_VALID == 0


@inline
def answer(st: State, page: int) -> None:
    """Success, which the caller reads when it runs again."""
    if rd64(st, GHCB) & INFO == RUN_REQUEST:
        wr64(st, GHCB, RUN_RESPONSE)
        return
    st64(page + VALID, 0)
    st64(page + VALID + 8, 0)
    st64(page + EXIT_INFO1, 0)
    st64(page + EXIT_INFO2, 0)
    st8(page + VALID_OTHERS, VALID_EXITS & ~4)


@inline
def note_exit(st: State, page: int) -> None:
    """What the VMSA says of a VMGEXIT (APM Vol. 2 15.36.9)."""
    st64(page + v.EXITCODE, v.EXIT_VMGEXIT)
    st64(page + v.EXITINFO1, 0)
    st64(page + v.EXITINFO2, 0)
    st64(page + v.EXITINTINFO, 0)
    st64(page + v.NRIP, rd64(st, NEXT_RIP))


def enter_plane(st: State) -> int:
    """Make plane ARG[0], whose VMSA is loaded, the active one; ARG[1] is where this one stopped. Always OK."""
    group = state_at(rd64(st, GROUP))
    cause = rd64(group, CAUSE)
    go(group, st, rd64(group, ACTIVE), rd64(st, ARG), cause if cause != 0 else CAUSE_INTERRUPT, rd64(st, ARG + 8))
    return exits.OK


def vmgexit(st: State) -> int:
    """DONE: another VMPL is active now; VMGEXIT: the hypervisor decides."""
    group = state_at(rd64(st, GROUP))
    active = rd64(group, ACTIVE)
    source = rd64(group, VMSAS + (active << 3))
    if rd64(group, SNP_DIRECT) == 0 or source == 0:
        return exits.VMGEXIT
    page = 0
    if rd64(st, GHCB) & INFO == 0:
        page = ghcb_page(st, group, active)
    target = requested(st, page)
    if target < 0 or target == active or target >= rd64(group, COUNT) or shr(rd64(group, ENABLED), target) & 1 == 0:
        return exits.VMGEXIT
    if not runs(group, target):
        return exits.VMGEXIT
    answer(st, page)
    rip = rd64(st, RIP)
    note_exit(st, source)
    retire(st)
    save_page(st, source)
    load_page(state_at(rd64(group, FILES + (target << 3))), rd64(group, VMSAS + (target << 3)))
    wr64(group, RUNNABLE, (rd64(group, RUNNABLE) | (1 << target)) & ~(1 << active))
    go(group, st, active, target, CAUSE_RUN, rip)
    return DONE
