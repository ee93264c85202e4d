"""How an unmasked x87 exception comes out at the next waiting instruction (SDM Vol. 1 8.7)."""

from jit import exits
from jit.fault import MF, fault
from jit.layout import CR0, SELF
from jit.native import State, inline, rd64, state_at

CR0_NE = 1 << 5


@inline
def control_register_0(st: State) -> int:
    """CR0; regions hold no copy of it."""
    return rd64(state_at(rd64(st, SELF)), CR0)


@inline
def report_error(st: State) -> int:
    """An unmasked exception waits: #MF, or without CR0.NE the FERR# signal (SDM Vol. 1 8.7)."""
    if control_register_0(st) & CR0_NE:
        return fault(st, MF)
    return exits.FERR
