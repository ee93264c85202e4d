"""Accesses to registers, and exceptions, that a more privileged plane intercepts: bit n of a plane's TRAPS is access
number n of jit/guards.py.

Instructions ask after their architectural checks and before they change anything. CR0 and CR4 are trapped where bits of
TRAP_CR0 and TRAP_CR4 would change.
"""

from jit import exits
from jit.exits import OK
from jit.guards import CR0_WRITE, EXCEPTION
from jit.layout import FAULT_KIND, FAULT_VECTOR, INJECTED, IO_SIZE, IO_VALUE, TRAP_CR0, TRAP_CR4, TRAPPED, TRAPS
from jit.native import State, inline, rd64, shr, wr64

NEVER = -1


@inline
def trap(st: State, access: int, value: int, extra: int) -> int:
    """OK, or TRAPPED when access number `access` (which may be NEVER) is intercepted: the number, the value that was to
    be written, and the limit that goes with a table's base are then in TRAPPED, IO_VALUE and IO_SIZE."""
    if access < 0 or shr(rd64(st, TRAPS), access) & 1 == 0:
        return OK
    wr64(st, TRAPPED, access)
    wr64(st, IO_VALUE, value)
    wr64(st, IO_SIZE, extra)
    return exits.TRAPPED


@inline
def trap_control(st: State, access: int, old: int, new: int) -> int:
    """The same for a write of CR0 or CR4."""
    mask = rd64(st, TRAP_CR0) if access == CR0_WRITE else rd64(st, TRAP_CR4)
    if (old ^ new) & mask == 0:
        return OK
    return trap(st, access, new, 0)


@inline
def trap_exception(st: State) -> int:
    """OK, or TRAPPED when the pending event is an exception that is intercepted. INT1, INT3 and INTO, which are never
    pending, use `trap`."""
    vectors = shr(rd64(st, TRAPS), EXCEPTION)
    if vectors == 0 or rd64(st, INJECTED) != 0:
        return OK
    kind, vector = rd64(st, FAULT_KIND), rd64(st, FAULT_VECTOR)
    if kind == exits.KIND_INTERRUPT or kind == exits.KIND_NMI or vector > 31 or shr(vectors, vector) & 1 == 0:
        return OK
    wr64(st, TRAPPED, EXCEPTION + vector)
    return exits.TRAPPED
