"""The time-stamp counter (SDM Vol. 3B 18.17; APM Vol. 2 15.36.18 for the ratio of SNP guests)."""

from jit.layout import TSC_BASE, TSC_OFFSET, TSC_RATIO, TSC_RATIO_ONE, TSC_SCALE
from jit.native import State, inline, rd64, shr, umulh


@inline
def timestamp(st: State, budget: int) -> int:
    """TSC with `budget` instructions of the slice left."""
    machine, ratio = rd64(st, TSC_BASE) - budget * rd64(st, TSC_SCALE), rd64(st, TSC_RATIO)
    if ratio != TSC_RATIO_ONE:
        machine = (umulh(machine, ratio) << 32) | shr(machine * ratio, 32)
    return machine + rd64(st, TSC_OFFSET)
