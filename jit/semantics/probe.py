"""The micro-op that a debugger puts in front of an instruction (jit/probe_layout.py).

It belongs to that instruction, retires nothing and changes nothing of the guest. `imm`: address of the record; `a`: the
register slot that the record's comparison reads; `d`: 1 where linear addresses have 64 bits, else 0. Variants by where
the slot lies: in the part of the state that regions copy, or beyond; and a plain test for equality in the former, which
nearly always fails and so comes before all else; its `b` has the lower half of the value, for regions.
"""

from collections.abc import Callable

from jit.exits import OK, PROBE
from jit.layout import CS_BASE, PAGE_RIP, PLANE, SELF, VCPU
from jit.native import State, ld64, rd64, shr, st64, ult
from jit.probe import in_range
from jit.probe_layout import ADDRESS, HITS, IGNORE, LOW, ON, ONE_VCPU, PLANES
from jit.registry import op
from jit.semantics.wiring import (
    PROBE_ANYWHERE,
    PROBE_ENTRY,
    PROBE_EQUAL,
    PROBE_FILE,
    PROBE_HOT,
    PROBE_LINEAR,
    PROBE_VIRTUAL,
)

SITES = [(where, source) for where in (PROBE_LINEAR, PROBE_VIRTUAL, PROBE_ANYWHERE)
         for source in (PROBE_HOT, PROBE_EQUAL, PROBE_FILE)] + [(PROBE_ENTRY, PROBE_FILE)]


@op("probe", *SITES)
def probe(where: str, source: str) -> Callable[..., int]:
    def handler(st: State, d: int, a: int, b: int, imm: int) -> int:
        if source == PROBE_EQUAL and rd64(st, a) != ld64(imm + LOW):
            return OK
        file = rd64(st, SELF)           # the file itself: a region's copy ends before PLANE and VCPU
        if shr(ld64(imm + PLANES), ld64(file + PLANE)) & 1 == 0 or ld64(imm + ON) == 0:
            return OK
        page = 0
        if where == PROBE_LINEAR:
            page = rd64(st, PAGE_RIP) + rd64(st, CS_BASE)
        elif where == PROBE_VIRTUAL:
            page = rd64(st, PAGE_RIP)
        if where in (PROBE_LINEAR, PROBE_VIRTUAL):
            if d == 0:
                page &= 0xFFFFFFFF
            if page != ld64(imm + ADDRESS):
                return OK
        if source != PROBE_EQUAL and not in_range(imm, rd64(st, a) if source == PROBE_HOT else ld64(file + a)):
            return OK
        vcpu = ld64(imm + ONE_VCPU)
        if vcpu >= 0 and vcpu != ld64(file + VCPU):
            return OK
        if where == PROBE_ENTRY:
            return PROBE                # the instructions' own micro-ops decide, and count
        count = ld64(imm + HITS) + 1
        if ult(ld64(imm + IGNORE), count):
            return PROBE                # Python counts this one: a region's handler is executed again outside
        st64(imm + HITS, count)
        return OK
    return handler
