"""The micro-op in front of branches while a performance counter counts them (jit/branch_trace.py)."""

from jit.exits import OK
from jit.layout import BRANCH_AT, BRANCHES, PAGE_RIP, SELF
from jit.native import State, ld64, rd64, st64
from jit.registry import op


@op("count_branch")
def count_branch(st: State, d: int, a: int, b: int, imm: int) -> int:
    """`imm`: page offset of the branch. The words are the file's: a region's copy ends before them."""
    file = rd64(st, SELF)
    st64(file + BRANCHES, ld64(file + BRANCHES) + 1)
    st64(file + BRANCH_AT, rd64(st, PAGE_RIP) + imm)
    return OK
