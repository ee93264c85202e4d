"""Exchange-and-compare instructions (SDM Vol. 2: CMPXCHG, CMPXCHG8B/CMPXCHG16B, XADD).

vCPUs take turns between instructions, so every instruction is atomic and LOCK adds nothing.
"""

from jit.access import load, probe, store
from jit.exits import OK
from jit.fault import general_protection
from jit.flags import set_add, set_sub, set_zf, sign_extend
from jit.layout import gpr
from jit.native import Handler, State, rd64, wr64
from jit.registry import op
from jit.semantics.operands import WIDTHS, effective, hint, read, write

RAX, RCX, RDX, RBX = gpr(0), gpr(1), gpr(2), gpr(3)


@op("cmpxchg", *WIDTHS)
def cmpxchg(width: int) -> Handler:
    """d = what is compared with the accumulator and replaced by a, in a register."""
    def cmpxchg(st: State, d: int, a: int, b: int, imm: int) -> int:
        old, accumulator, new = read(st, d, width), read(st, RAX, width), read(st, a, width)
        r = accumulator - old
        set_sub(st, accumulator, old, r, sign_extend(r, width), width)
        if old == accumulator:
            write(st, d, width, new)
        else:
            write(st, RAX, width, old)
        return OK
    return cmpxchg


@op("cmpxchg_select", *WIDTHS)
def cmpxchg_select(width: int) -> Handler:
    """d = what memory is to hold, given a = the new value and b = what it holds."""
    def cmpxchg_select(st: State, d: int, a: int, b: int, imm: int) -> int:
        old = read(st, b, width)
        write(st, d, width, read(st, a, width) if old == read(st, RAX, width) else old)
        return OK
    return cmpxchg_select


@op("xadd", *WIDTHS)
def xadd(width: int) -> Handler:
    """The sum is written last, so it stays when both operands are the same register."""
    def xadd(st: State, d: int, a: int, b: int, imm: int) -> int:
        x, y = read(st, d, width), read(st, a, width)
        r = x + y
        write(st, a, width, x)
        write(st, d, width, r)
        set_add(st, x, y, r, sign_extend(r, width), width)
        return OK
    return xadd


@op("xadd_sum", *WIDTHS)
def xadd_sum(width: int) -> Handler:
    """d = the sum alone, for the store that must precede `xadd`: the address may depend on a."""
    def xadd_sum(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, read(st, a, width) + read(st, b, width))
        return OK
    return xadd_sum


@op("cmpxchg8b")
def cmpxchg8b(st: State, d: int, a: int, b: int, imm: int) -> int:
    linear = effective(st, a, b, imm)
    status = probe(st, linear, 8, hint(b))
    if status != OK:
        return status
    old, status = load(st, linear, 8, hint(b))
    if status != OK:
        return status
    equal = old == (read(st, RDX, 32) << 32) | read(st, RAX, 32)
    status = store(st, linear, 8, hint(b), (read(st, RCX, 32) << 32) | read(st, RBX, 32) if equal else old)
    if status != OK:
        return status
    if not equal:
        write(st, RAX, 32, old)
        write(st, RDX, 32, old >> 32)
    set_zf(st, 1 if equal else 0)
    return OK


@op("cmpxchg16b")
def cmpxchg16b(st: State, d: int, a: int, b: int, imm: int) -> int:
    linear = effective(st, a, b, imm)
    if linear & 15:
        return general_protection(st, 0)
    status = probe(st, linear, 16, hint(b))
    if status != OK:
        return status
    low, status = load(st, linear, 8, hint(b))
    if status != OK:
        return status
    high, status = load(st, linear + 8, 8, hint(b))
    if status != OK:
        return status
    equal = low == rd64(st, RAX) and high == rd64(st, RDX)
    status = store(st, linear, 8, hint(b), rd64(st, RBX) if equal else low)
    if status != OK:
        return status
    status = store(st, linear + 8, 8, hint(b), rd64(st, RCX) if equal else high)
    if status != OK:
        return status
    if not equal:
        wr64(st, RAX, low)
        wr64(st, RDX, high)
    set_zf(st, 1 if equal else 0)
    return OK
