"""What users' policies compute with in place of Python's operators, and what their loops ask: nothing here traps, and a
function that has used up its fuel comes to an end.

`fuel` is the address of a word: the steps that are left, or FUEL_* once there is no answer.
"""

from jit.group_layout import FUEL_DIVISION, FUEL_GONE, FUEL_SHIFT
from jit.native import inline, ld64, st64

NAMES = ("strata_burn", "strata_quotient", "strata_remainder", "strata_left", "strata_right")


@inline
def strata_burn(fuel: int, steps: int) -> bool:
    """Use fuel; whether the function has to give up."""
    left = ld64(fuel)
    if left < 0:
        return True
    left -= steps
    if left < 0:
        left = FUEL_GONE
    st64(fuel, left)
    return left < 0


@inline
def strata_quotient(fuel: int, a: int, b: int) -> int:
    """a // b. The smallest number divided by -1, which traps on x86, wraps."""
    if b == 0:
        st64(fuel, FUEL_DIVISION)
        return 0
    if b == -1:
        return -a
    return a // b


@inline
def strata_remainder(fuel: int, a: int, b: int) -> int:
    """a % b, likewise."""
    if b == 0:
        st64(fuel, FUEL_DIVISION)
        return 0
    if b == -1:
        return 0
    return a % b


@inline
def strata_left(fuel: int, a: int, b: int) -> int:
    """The low 64 bits of a << b."""
    if b < 0:
        st64(fuel, FUEL_SHIFT)
        return 0
    return 0 if b > 63 else a << b


@inline
def strata_right(fuel: int, a: int, b: int) -> int:
    """a >> b."""
    if b < 0:
        st64(fuel, FUEL_SHIFT)
        return 0
    return a >> (63 if b > 63 else b)
