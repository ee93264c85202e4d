"""IA32_DEBUGCTL's LBR and BTF: the last branch and the last exception, and single-stepping on branches (SDM Vol. 3B
17.4; APM Vol. 2 13.1.1).

While either counts, instructions run one at a time, as under RFLAGS.TF; a branch is known by where RIP went.

Retired branches are counted otherwise, since that may go on for long: while a performance counter wants them, each has
a micro-op in front (jit/semantics/branches.py), and one that does not end, for a fault or an exit, is taken off again.
Exceptions and interrupts count, too (Family 19h PPR, PMCx0C2).
"""

from jit import uops
from jit.layout import BRANCH_AT, BRANCHES, DEBUGCTL, LAST_BRANCH, LAST_EXCEPTION, MODE, MODE_64, RIP
from jit.native import State, inline, ld16, rd64, wr64

LBR, BTF = 1, 2


@inline
def records_branches(st: State) -> bool:
    return rd64(st, DEBUGCTL) & LBR != 0


@inline
def steps_branches(st: State) -> bool:
    """Whether RFLAGS.TF traps after branches only."""
    return rd64(st, DEBUGCTL) & BTF != 0


@inline
def branched(st: State, rip: int, length: int, now: int) -> bool:
    """Whether the instruction of `length` bytes at `rip`, after which RIP is `now`, was a branch that was taken. One to
    the next instruction is not seen to be one."""
    following = rip + length
    if rd64(st, MODE) & 3 != MODE_64:
        following &= 0xFFFFFFFF
    return now != following and now != rip


@inline
def trace_branch(st: State, traced: bool, rip: int, length: int) -> bool:
    """Whether the instruction that was executed at `rip` was a branch, which becomes the last one if it is `traced`."""
    jumped = branched(st, rip, length, rd64(st, RIP))
    if jumped and traced:
        wr64(st, LAST_BRANCH, rip)
        wr64(st, LAST_BRANCH + 8, rd64(st, RIP))
    return jumped


@inline
def record_exception(st: State, source: int, target: int) -> None:
    wr64(st, LAST_EXCEPTION, source)
    wr64(st, LAST_EXCEPTION + 8, target)


@inline
def count_event(st: State) -> None:
    """An exception or interrupt was delivered."""
    wr64(st, BRANCHES, rd64(st, BRANCHES) + 1)


@inline
def count_of_begun(st: State, uop: int, step: int) -> None:
    """If execution leaves (`step` -1) or resumes (1) in the middle of a branch, before the micro-op `uop`: the branch
    has been counted, but not retired. RIP is the instruction's."""
    if rd64(st, BRANCH_AT) == rd64(st, RIP) and ld16(uop + uops.OFFSET) == ld16(uop - uops.SIZE + uops.OFFSET):
        wr64(st, BRANCHES, rd64(st, BRANCHES) + step)


@inline
def end_tracing(st: State) -> None:
    """#DB clears both before its handler runs."""
    wr64(st, DEBUGCTL, rd64(st, DEBUGCTL) & ~(LBR | BTF))
