"""The register stack: TOP, tags, stack faults, and how an instruction ends (SDM Vol. 1 8.1.2, 8.1.3, 8.5.1.1).

Every function takes the address `f` of the FPU file (jit/fpu_layout.py) and works on copies of FSW and FCW that the
instruction read once.
"""

from jit.fpu_layout import FCW, FSW, FTW, ST
from jit.native import inline, ld8, ld16, ld64, st8, st16, st64
from jit.x87.format import (
    BEFORE,
    BUSY,
    C1,
    ES,
    EXCEPTIONS,
    INDEFINITE_SIG,
    INDEFINITE_TOP,
    SF,
    TOP_MASK,
    TOP_SHIFT,
)

UNDERFLOW = 1 | SF                      # #IS flags
OVERFLOW = 1 | SF | C1


@inline
def status_word(f: int) -> int:
    return ld16(f + FSW)


@inline
def control_word(f: int) -> int:
    return ld16(f + FCW)


@inline
def number(fsw: int, i: int) -> int:
    """Physical register behind ST(i)."""
    return ((fsw >> TOP_SHIFT) + i) & 7


@inline
def is_empty(f: int, fsw: int, i: int) -> bool:
    return (ld8(f + FTW) >> number(fsw, i)) & 1 == 0


@inline
def significand(f: int, fsw: int, i: int) -> int:
    return ld64(f + ST + (number(fsw, i) << 4))


@inline
def sign_exponent(f: int, fsw: int, i: int) -> int:
    return ld16(f + ST + (number(fsw, i) << 4) + 8)


@inline
def put(f: int, fsw: int, i: int, sig: int, top: int) -> None:
    """Write ST(i), which becomes valid."""
    n = number(fsw, i)
    st64(f + ST + (n << 4), sig)
    st16(f + ST + (n << 4) + 8, top)
    st8(f + FTW, ld8(f + FTW) | (1 << n))


@inline
def put_indefinite(f: int, fsw: int, i: int) -> None:
    put(f, fsw, i, INDEFINITE_SIG, INDEFINITE_TOP)


@inline
def empty(f: int, fsw: int, i: int) -> None:
    st8(f + FTW, ld8(f + FTW) & ~(1 << number(fsw, i)))


@inline
def turned(fsw: int, by: int) -> int:
    """FSW with TOP moved by `by`."""
    return (fsw & ~TOP_MASK) | ((fsw + (by << TOP_SHIFT)) & TOP_MASK)


@inline
def popped(f: int, fsw: int, count: int) -> int:
    """Free ST(0) `count` times; the new FSW."""
    for _ in range(count):
        empty(f, fsw, 0)
        fsw = turned(fsw, 1)
    return fsw


@inline
def suppressed(flags: int, cw: int) -> bool:
    """Whether an unmasked exception leaves the operands as they are."""
    return flags & ~cw & BEFORE != 0


@inline
def visible(flags: int, cw: int) -> int:
    """Without the flags of exceptions that a suppressed operation does not come to."""
    return flags & (BEFORE | SF | (C1 if flags & SF else 0)) if suppressed(flags, cw) else flags


@inline
def finish(f: int, fsw: int, cw: int, flags: int) -> int:
    """Write FSW with the flags of the instruction, C1 being one of them. Gives 1 if one is unmasked."""
    fsw = (fsw & ~C1) | flags
    unmasked = flags & ~cw & EXCEPTIONS
    if unmasked != 0:
        fsw |= ES | BUSY
    st16(f + FSW, fsw)
    return 1 if unmasked != 0 else 0
