"""Monitored lines: what MONITOR, UMONITOR and MONITORX arm, and what a write does to them (SDM Vol. 3A 8.10.4).

MONITORS points to a table for the whole machine: the number of vCPUs, then a word for each. The word is the physical
address of the vCPU's line or-ed with the family of instructions that armed it, and 0 when nothing is armed: a write to
the line makes it 0, and so ends the wait of that vCPU. A page with a monitored line is WATCHED in the physical map, so
that no TLB lets writes to it through.
"""

from jit import exits, pmap
from jit.access import PAGE_MASK, note_write, translate
from jit.exits import OK
from jit.layout import ARG, IO_VALUE, MONITORS, PMAP, TLB_SET, VCPU, WALK_GPA
from jit.native import State, inline, ld64, rd64, shr, st64, wr64
from jit.paging import READ, host_page
from jit.slow import check_address, wrap
from jit.watch import ON_ACCESS, note_hits

LINE = 64                           # bytes; CPUID leaf 5 says so


@inline
def own_word(st: State) -> int:
    """Host address of the vCPU's word."""
    return rd64(st, MONITORS) + 8 + (rd64(st, VCPU) << 3)


@inline
def disarm(st: State) -> None:
    """Forget the monitored line: the next wait ends at once, which it always may."""
    st64(own_word(st), 0)


@inline
def armed_by(st: State, family: int) -> bool:
    """Whether the family's own arming is in force."""
    return ld64(own_word(st)) & (LINE - 1) == family


def write_watched(st: State, gpa: int, size: int) -> int:
    """Bytes that lie in one WATCHED page are written: ends the waits for their lines. A page without monitored lines is
    not watched any more."""
    table = rd64(st, MONITORS)
    used = False
    for n in range(ld64(table)):
        at = table + 8 + (n << 3)
        line = ld64(at) & -LINE
        if ld64(at) != 0 and (line ^ gpa) & PAGE_MASK == 0:
            used = True
            if line < gpa + size and gpa < line + LINE:
                st64(at, 0)
    if not used:
        word = rd64(st, PMAP) + (shr(gpa, 12) << 3)
        st64(word, ld64(word) & ~pmap.WATCHED)
    return OK


@inline
def note_hypervisor_write(st: State, gpa: int, size: int) -> None:
    """The same for a write that goes straight to the host's memory."""
    if host_page(st, gpa) & pmap.WATCHED:
        note_write(st, gpa, size)


def arm_monitor(st: State) -> int:
    """Arm the line of the byte at linear address ARG[0], for family ARG[2]; ARG[1]: flags of jit/slow.py. Faults are
    those of a load of the byte. What is not memory is not monitored."""
    linear, flags, family = wrap(st, rd64(st, ARG), rd64(st, ARG + 8)), rd64(st, ARG + 8), rd64(st, ARG + 16)
    status = check_address(st, linear, 1, flags)
    if status == OK:
        status = note_hits(st, linear, 1, ON_ACCESS)
    if status == OK:
        status = translate(st, linear, READ, rd64(st, TLB_SET))
    if status != OK:
        return status
    gpa = rd64(st, WALK_GPA)
    backing = host_page(st, gpa)
    if backing & pmap.READ == 0:
        disarm(st)
        return OK
    if backing & pmap.WATCHED == 0:
        wr64(st, IO_VALUE, gpa)
        return exits.WATCH
    st64(own_word(st), (gpa & -LINE) | family)
    return OK
