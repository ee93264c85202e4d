"""VERR, VERW, LAR, LSL (SDM Vol. 2): may this selector be used, and for what?

ARG[0]: which of them, ARG[1]: the selector. ARG[3] = 1 when it is valid, and then ARG[2] = the rights or limit.
"""

from jit.descriptor import (
    CODE,
    CODE_OR_DATA,
    CONFORMING,
    READABLE,
    attributes,
    fetch,
    is_null,
    is_writable_data,
    kind,
    limit_of,
    privilege,
)
from jit.exits import FAULT, OK
from jit.fault import GP
from jit.layout import ARG, CPL, DESC, FAULT_VECTOR
from jit.mode import long_mode_active
from jit.native import State, inline, rd64, shr, wr64

VERR, VERW, LAR, LSL = 0, 1, 2, 3
# System types, a bit each, that LAR and LSL accept outside and inside long mode (SDM Vol. 2A tables 3-53, 3-55)
LAR_LEGACY, LSL_LEGACY = 0b0001_1010_0011_1110, 0b0000_1010_0000_1110
LAR_LONG, LSL_LONG = 0b0001_1010_0000_0100, 0b0000_1010_0000_0100
RIGHTS = 0x00F0FF00


@inline
def allowed(st: State, what: int, selector: int, attr: int) -> bool:
    if attr & CODE_OR_DATA == 0:
        if what < LAR:
            return False
        if long_mode_active(st):
            types = LAR_LONG if what == LAR else LSL_LONG
        else:
            types = LAR_LEGACY if what == LAR else LSL_LEGACY
        if shr(types, kind(attr)) & 1 == 0:
            return False
    elif what == VERR and attr & (CODE | READABLE) == CODE or what == VERW and not is_writable_data(attr):
        return False
    if attr & (CODE_OR_DATA | CODE | CONFORMING) == CODE_OR_DATA | CODE | CONFORMING:
        return True
    return privilege(attr) >= rd64(st, CPL) and privilege(attr) >= selector & 3


def inspect(st: State) -> int:
    """OK, or a page fault on the descriptor table."""
    what, selector = rd64(st, ARG), rd64(st, ARG + 8)
    wr64(st, ARG + 24, 0)
    if is_null(selector):
        return OK
    status = fetch(st, selector, GP)
    if status == FAULT and rd64(st, FAULT_VECTOR) == GP:
        return OK
    if status != OK:
        return status
    desc = rd64(st, DESC)
    if allowed(st, what, selector, attributes(desc)):
        wr64(st, ARG + 16, limit_of(desc) if what == LSL else shr(desc, 32) & RIGHTS)
        wr64(st, ARG + 24, 1)
    return OK
