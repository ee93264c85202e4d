"""The jump cache: micro-ops by linear address, for jumps that are not linked (jit/layout.py)."""

from jit import uops
from jit.layout import CS_BASE, JUMP_ENTRIES, JUMP_KEY, JUMP_SHIFT, JUMPS, PAGE_RIP, RIP
from jit.native import State, inline, ld16, ld64, rd64, shr, st64, wr64
from jit.tlb import FILLED_JUMP, note_fill


@inline
def jump_entry(st: State, linear: int) -> int:
    """Jump-cache entry of a linear address."""
    return rd64(st, JUMPS) + (((linear ^ shr(linear, 11)) & (JUMP_ENTRIES - 1)) << JUMP_SHIFT)


@inline
def jump_tag(st: State, linear: int) -> int:
    return linear ^ rd64(st, JUMP_KEY)


@inline
def remember_jump(st: State, linear: int, uop: int) -> None:
    """Enter a micro-op in the jump cache."""
    entry = jump_entry(st, linear)
    if ld64(entry + 8) == 0:
        note_fill(st, entry, FILLED_JUMP)
    st64(entry, jump_tag(st, linear))
    st64(entry + 8, uop)


def jump_cached(st: State) -> int:
    """Micro-op at RIP if the jump cache has it, with PAGE_RIP set; else 0."""
    rip = rd64(st, RIP)
    linear = rip + rd64(st, CS_BASE)
    entry = jump_entry(st, linear)
    if ld64(entry) != jump_tag(st, linear):
        return 0
    uop = ld64(entry + 8)
    if uop != 0:
        wr64(st, PAGE_RIP, rip - ld16(uop + uops.OFFSET))
    return uop
