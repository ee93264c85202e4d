"""RFLAGS as a whole: the lazy status flags joined with the stored rest (SDM Vol. 1 3.4.3)."""

from jit.flags import AC, CF, DF, FIXED, ID, IF, IOPL, NT, RF, STATUS, TF, VIF, VIP, get_status, set_status
from jit.layout import CPL, RFL
from jit.native import State, inline, rd64, shr, wr64

USER_FLAGS = STATUS | TF | DF | NT | RF | AC | ID       # what IRET loads at any CPL
ALL_FLAGS = USER_FLAGS | IF | IOPL | VIF | VIP
LOW_WORD = 0xFFFF


@inline
def get_flags(st: State) -> int:
    """RFLAGS."""
    return (rd64(st, RFL) & ~STATUS) | get_status(st) | FIXED


@inline
def put_flags(st: State, value: int, mask: int) -> None:
    """Replace the RFLAGS bits of `mask`, which includes the six status flags or none of them."""
    if mask & CF:
        set_status(st, value)
    wr64(st, RFL, (rd64(st, RFL) & ~mask & ~STATUS) | (value & mask & ~STATUS) | FIXED)


@inline
def io_privilege(st: State) -> int:
    """IOPL, 0 to 3."""
    return shr(rd64(st, RFL), 12) & 3


@inline
def loadable_flags(st: State) -> int:
    """The RFLAGS bits that IRET may change at this CPL (SDM Vol. 2A IRET)."""
    mask = USER_FLAGS
    if rd64(st, CPL) == 0:
        mask = ALL_FLAGS
    elif rd64(st, CPL) <= io_privilege(st):
        mask |= IF
    return mask
