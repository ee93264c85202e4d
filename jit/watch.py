"""Breakpoints in the debug registers (SDM Vol. 3B 17.2, 17.3.1).

Data and I/O breakpoints trap after the instruction. Pages with a data breakpoint never get TLB entries, so accesses to
them take the slow path, which asks here: it notes hits in DEBUG_HITS, and the run loop makes a #DB of them once the
instruction is complete. That works only when nothing follows the instruction in the same slice; where something would
(ALONE = 0), the access gives AGAIN, and the run loop executes the instruction again on its own.
"""

from numba import types

from jit.exits import AGAIN, KIND_BREAKPOINT, OK
from jit.fault import DB, debug_status, fault
from jit.layout import ALONE, CR4, DEBUG_HITS, DR, DR7, DR7_ENABLED, FAULT_KIND, FAULT_PENDING
from jit.native import State, inline, rd64, shr, ult, wr64

ON_EXECUTE, ON_WRITE, ON_PORT, ON_ACCESS = 1, 2, 4, 8   # sets of R/W fields: 1 << the field's value
CR4_DE = 1 << 3
PAGE = 4096

_matching = types.ExternalFunction(
    "strata_matching_breakpoints", types.int64(types.voidptr, types.int64, types.int64, types.int64))


def matching_breakpoints(st: State, address: int, size: int, kinds: int) -> int:
    """Bits 3:0 of DR6 for the enabled breakpoints of `kinds` that overlap `size` bytes (up to a page) at a linear
    address or port. A breakpoint covers as many bytes as LEN says, aligned to that (SDM Vol. 3B 17.2.5); LEN = 2 is 8
    bytes in every mode."""
    dr7 = rd64(st, DR7)
    hits = 0
    for n in range(4):
        if shr(dr7, 2 * n) & 3 and kinds & (1 << (shr(dr7, 16 + 4 * n) & 3)):
            code = shr(dr7, 18 + 4 * n) & 3
            length = 1 << (code ^ (code >> 1))
            start = rd64(st, DR + 8 * n) & -length
            if ult(address - start, length) or ult(start - address, size):
                hits |= 1 << n
    return hits


@inline
def enabled(st: State) -> bool:
    """Whether any breakpoint is."""
    return rd64(st, DR7) & DR7_ENABLED != 0


@inline
def page_is_watched(st: State, page: int) -> bool:
    """Whether an enabled data breakpoint lies in a linear page."""
    return enabled(st) and _matching(st, page, PAGE, ON_WRITE | ON_ACCESS) != 0


@inline
def instruction_breakpoints(st: State) -> bool:
    """Whether an instruction breakpoint is enabled."""
    if enabled(st):
        dr7 = rd64(st, DR7)
        for n in range(4):
            if shr(dr7, 2 * n) & 3 and shr(dr7, 16 + 4 * n) & 3 == 0:
                return True
    return False


@inline
def break_at(st: State, linear: int) -> bool:
    """Whether an instruction breakpoint lies at a linear address; its #DB is then pending."""
    hits = _matching(st, linear, 1, ON_EXECUTE)
    if hits == 0:
        return False
    debug_status(st, hits)
    fault(st, DB)
    wr64(st, FAULT_KIND, KIND_BREAKPOINT)
    wr64(st, FAULT_PENDING, 1)
    return True


@inline
def may_hit(st: State, linear: int, size: int, kinds: int) -> int:
    """OK, or AGAIN when the access hits a breakpoint and other instructions would follow; notes nothing."""
    if enabled(st) and rd64(st, ALONE) == 0 and _matching(st, linear, size, kinds):
        return AGAIN
    return OK


@inline
def note_hits(st: State, linear: int, size: int, kinds: int) -> int:
    """The same for the access itself: notes hits."""
    if enabled(st):
        hits = _matching(st, linear, size, kinds)
        if hits:
            if rd64(st, ALONE) == 0:
                return AGAIN
            wr64(st, DEBUG_HITS, rd64(st, DEBUG_HITS) | hits)
    return OK


@inline
def note_port(st: State, port: int, size: int) -> int:
    """The same for a port; I/O breakpoints exist under CR4.DE."""
    if rd64(st, CR4) & CR4_DE:
        return note_hits(st, port, size, ON_PORT)
    return OK


@inline
def report_hits(st: State, more: int) -> None:
    """DR6 takes the hits noted, and the bits `more`."""
    debug_status(st, rd64(st, DEBUG_HITS) | more)
    wr64(st, DEBUG_HITS, 0)
