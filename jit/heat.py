"""Which micro-ops are hot: the run loop cuts its slices short and counts where they end."""

from jit import uops
from jit.layout import HEAT_LIMIT, SAMPLE, SAMPLE_BASE
from jit.native import State, inline, ld8, ld64, rd64, st8, udiv, wr64

SAMPLE_MAX = 1 << 20
MAX_HEAT = 255


@inline
def slice_length(st: State, budget: int, rem: int) -> int:
    """Instructions to run before the next look at what is hot, at least the block of `rem` that comes first."""
    sample = rd64(st, SAMPLE)
    if sample == 0 or budget <= rem:
        return budget
    return min(budget, max(sample, rem))


@inline
def note_heat(st: State, uop: int) -> bool:
    """Count a sample at a micro-op; True when that makes it hot. Compiled code is sampled ever more rarely, so a sample
    counts for as many as its slice was longer."""
    sample = rd64(st, SAMPLE)
    if ld64(uop + uops.REGION) != 0:
        wr64(st, SAMPLE, min(sample * 2, SAMPLE_MAX))
        return False
    base, before = rd64(st, SAMPLE_BASE), ld8(uop + uops.HEAT)
    wr64(st, SAMPLE, base)
    heat = min(before + max(udiv(sample, max(base, 1)), 1), MAX_HEAT)
    st8(uop + uops.HEAT, heat)
    limit = rd64(st, HEAT_LIMIT)
    return before < limit and heat >= limit
