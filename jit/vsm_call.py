"""VTL call and VTL return (TLFS, Virtual Secure Mode, "VTL call" and "VTL return") in compiled code.

Illegal use raises #UD and never gives a status. The VP assist page's VTL control part lies at byte 8 of the page.
"""

from jit import exits, pmap
from jit.exits import OK
from jit.group_layout import (
    CAUSE_CALL,
    CAUSE_FAST_RETURN,
    CAUSE_INTERCEPT,
    CAUSE_INTERRUPT,
    CAUSE_RETURN,
    CONTROL,
    COUNT,
    ENABLED,
    FORCED,
    FORCED_CAUSE,
    LOCKING,
    NOTIFY_RESET,
    RETURN_ACTIONS,
    RUNNABLE,
)
from jit.layout import CODE_MAP, CPL, CR0, MODE, MODE_64, RIP, SMC_GPA, gpr
from jit.monitor import note_hypervisor_write
from jit.native import State, inline, ld8, ld32, ld64, rd32, rd64, shr, st8, st32, wr64
from jit.paging import host_of, host_page
from jit.switch import DONE, REFUSED, retire, switch

HV_VTL_CALL, HV_VTL_RETURN = 0x11, 0x12
REASON_VTL_CALL, REASON_INTERRUPT, REASON_INTERCEPT = 1, 2, 3     # EntryReason
ENTRY_REASON, VINA_STATUS, RETURN_RAX, RETURN_RCX = 0x08, 0x0C, 0x10, 0x18
RETURN_EAX32, RETURN_ECX32, RETURN_EDX32 = 0x10, 0x14, 0x18
RAX, RCX, RDX = gpr(0), gpr(1), gpr(2)
CR0_PE = 1


@inline
def highest(planes: int) -> int:
    """The highest plane of a non-empty set."""
    plane = 0
    while shr(planes, plane + 1) != 0:
        plane += 1
    return plane


@inline
def next_higher(group: State, active: int) -> int:
    """The lowest enabled plane above the active one, or -1."""
    enabled = rd64(group, ENABLED)
    for plane in range(active + 1, rd64(group, COUNT)):
        if shr(enabled, plane) & 1:
            return plane
    return -1


@inline
def control_part(group: State, st: State, plane: int, wanted: int) -> int:
    """Host address of a VTL's VP assist page, or 0 when it is not enabled or not memory of that kind."""
    page = rd64(group, CONTROL + (plane << 3))
    if page & 1 == 0:
        return 0
    return host_of(st, page & -0x1000, wanted)


@inline
def holds_code(st: State, gpa: int) -> bool:
    """Whether instructions were decoded from the first 64 bytes of a page."""
    return host_page(st, gpa) & pmap.CODE != 0 and ld64(rd64(st, CODE_MAP) + (shr(gpa, 12) << 3)) & 1 != 0


@inline
def note_entry(group: State, st: State, target: int, reason: int) -> int:
    """Write EntryReason for the VTL about to be entered, if it has an assist page. OK, or CODE_WRITE when that would
    overwrite decoded instructions."""
    page = control_part(group, st, target, pmap.READ | pmap.WRITE)
    if page != 0:
        gpa = rd64(group, CONTROL + (target << 3)) & -0x1000
        if holds_code(st, gpa):
            wr64(st, SMC_GPA, gpa)
            return exits.CODE_WRITE
        note_hypervisor_write(st, gpa + ENTRY_REASON, 4)
        st32(page + ENTRY_REASON, reason)
    return OK


@inline
def enter(group: State, st: State, active: int, target: int, cause: int, rip: int) -> None:
    """Make a higher VTL runnable, and so active."""
    wr64(group, RUNNABLE, rd64(group, RUNNABLE) | (1 << target))
    switch(group, st, active, target, cause, rip)


@inline
def preempt(group: State, st: State, active: int, target: int) -> int:
    """Enter a higher VTL because an event waits for it: DONE or CODE_WRITE."""
    status = note_entry(group, st, target, REASON_INTERRUPT)
    if status != OK:
        return status
    enter(group, st, active, target, CAUSE_INTERRUPT, rd64(st, RIP))
    return DONE


@inline
def enter_forced(group: State, st: State, active: int, target: int) -> int:
    """Enter the VTL that the hypervisor chose: DONE or CODE_WRITE. A start has no EntryReason."""
    cause = rd64(group, FORCED_CAUSE)
    status = OK
    if cause == CAUSE_INTERCEPT:
        status = note_entry(group, st, target, REASON_INTERCEPT)
    if status != OK:
        return status
    wr64(group, FORCED, 0)
    enter(group, st, active, target, cause, rd64(st, RIP))
    return DONE


@inline
def load_return_registers(group: State, st: State, active: int, wide: int) -> None:
    """A normal return takes RAX and RCX (EAX, ECX and EDX outside 64-bit mode) from the assist page, if there is
    one."""
    page = control_part(group, st, active, pmap.READ)
    if page == 0:
        return
    if wide:
        wr64(st, RAX, ld64(page + RETURN_RAX))
        wr64(st, RCX, ld64(page + RETURN_RCX))
    else:
        wr64(st, RAX, ld32(page + RETURN_EAX32))
        wr64(st, RCX, ld32(page + RETURN_ECX32))
        wr64(st, RDX, ld32(page + RETURN_EDX32))


@inline
def vtl_call(group: State, st: State, active: int, control: int) -> int:
    target = next_higher(group, active)
    if control != 0 or target < 0:
        return REFUSED
    status = note_entry(group, st, target, REASON_VTL_CALL)
    if status != OK:
        return status
    rip = rd64(st, RIP)
    retire(st)
    enter(group, st, active, target, CAUSE_CALL, rip)
    return DONE


@inline
def vtl_return(group: State, st: State, active: int, control: int, wide: int) -> int:
    if control & ~1 or active == 0:
        return REFUSED
    if shr(rd64(group, LOCKING), active) & 1:
        return exits.HYPERCALL
    page = control_part(group, st, active, pmap.READ | pmap.WRITE)
    if page != 0 and ld8(page + RETURN_ACTIONS) != 0:
        return exits.HYPERCALL
    if shr(rd64(group, NOTIFY_RESET), active) & 1:
        gpa = rd64(group, CONTROL + (active << 3)) & -0x1000
        if page != 0 and holds_code(st, gpa):
            wr64(st, SMC_GPA, gpa)
            return exits.CODE_WRITE
        if page != 0:
            note_hypervisor_write(st, gpa + VINA_STATUS, 1)
            st8(page + VINA_STATUS, ld8(page + VINA_STATUS) & ~1)
    rip = rd64(st, RIP)
    retire(st)
    if control == 0:
        load_return_registers(group, st, active, wide)
    runnable = rd64(group, RUNNABLE) & ~(1 << active)
    wr64(group, RUNNABLE, runnable)
    switch(group, st, active, highest(runnable), CAUSE_FAST_RETURN if control else CAUSE_RETURN, rip)
    return DONE


@inline
def hypercall(group: State, st: State, active: int) -> int:
    """The hypercall instruction where Hyper-V's interface is offered: DONE, REFUSED (#UD), HYPERCALL or CODE_WRITE."""
    if rd64(st, CPL) != 0 or rd64(st, CR0) & CR0_PE == 0:
        return REFUSED
    wide = rd64(st, MODE) & 3 == MODE_64
    if wide:
        value, control = rd64(st, RCX), rd64(st, RAX)
    else:
        value, control = rd32(st, RAX) | (rd32(st, RDX) << 32), rd32(st, RCX)
    code = value & 0xFFFF
    if code != HV_VTL_CALL and code != HV_VTL_RETURN:
        return exits.HYPERCALL
    if value != code:
        return REFUSED
    if code == HV_VTL_CALL:
        return vtl_call(group, st, active, control)
    return vtl_return(group, st, active, control, wide)
