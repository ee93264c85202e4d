"""Which micro-ops are hot: the run loop cuts its slices short and counts where they end."""

from jit import uops
from jit.layout import HEAT_LIMIT, SAMPLE, SAMPLE_BASE
from jit.native import State, inline, ld8, ld64, rd64, st8, wr64

SAMPLE_MAX = 1 << 20


@inline
def slice_length(st: State, budget: int, rem: int) -> int:
    """Instructions to run before the next look at what is hot, at least the block of `rem` that comes first."""
    sample = rd64(st, SAMPLE)
    if sample == 0 or budget <= rem:
        return budget
    return min(budget, max(sample, rem))


@inline
def note_heat(st: State, uop: int) -> bool:
    """Count a sample at a micro-op; True when that makes it hot. Compiled code is sampled ever more rarely."""
    if ld64(uop + uops.REGION) != 0:
        wr64(st, SAMPLE, min(rd64(st, SAMPLE) * 2, SAMPLE_MAX))
        return False
    wr64(st, SAMPLE, rd64(st, SAMPLE_BASE))
    heat = ld8(uop + uops.HEAT) + 1
    if heat < 256:
        st8(uop + uops.HEAT, heat)
    return heat == rd64(st, HEAT_LIMIT)
