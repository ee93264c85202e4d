"""IA32_DEBUGCTL's LBR and BTF: the last branch and the last exception, and single-stepping on branches (SDM Vol. 3B
17.4; APM Vol. 2 13.1.1).

While either counts, instructions run one at a time, as under RFLAGS.TF; a branch is known by where RIP went.
"""

from jit.layout import DEBUGCTL, LAST_BRANCH, LAST_EXCEPTION, MODE, MODE_64
from jit.native import State, inline, rd64, wr64

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
def record_branch(st: State, source: int, target: int) -> None:
    wr64(st, LAST_BRANCH, source)
    wr64(st, LAST_BRANCH + 8, target)


@inline
def record_exception(st: State, source: int, target: int) -> None:
    wr64(st, LAST_EXCEPTION, source)
    wr64(st, LAST_EXCEPTION + 8, target)


@inline
def end_tracing(st: State) -> None:
    """#DB clears both before its handler runs."""
    wr64(st, DEBUGCTL, rd64(st, DEBUGCTL) & ~(LBR | BTF))
