"""RDRAND and RDSEED: a deterministic generator, one for each plane, in the register file (SDM Vol. 1 7.3.17).

SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): the state goes up by an odd
constant, and a mixing function of it is the number. A number is always available, so CF is always 1.
"""

from jit.exits import OK
from jit.flags import CF, set_status
from jit.layout import RANDOM
from jit.native import Handler, State, rd64, shr, wr64
from jit.registry import op
from jit.semantics.operands import truncate, write

GAMMA, MIX1, MIX2 = 0x9E3779B97F4A7C15 - (1 << 64), 0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64)


@op("random", 16, 32, 64)
def random(width: int) -> Handler:
    def random(st: State, d: int, a: int, b: int, imm: int) -> int:
        """Register d = the next number; CF = 1, the other status flags 0."""
        state = rd64(st, RANDOM) + GAMMA
        wr64(st, RANDOM, state)
        value = (state ^ shr(state, 30)) * MIX1
        value = (value ^ shr(value, 27)) * MIX2
        value ^= shr(value, 31)
        write(st, d, width, truncate(value, width))
        set_status(st, CF)
        return OK
    return random
