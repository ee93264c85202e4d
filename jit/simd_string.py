"""The comparison of two strings of bytes or words in vectors (SDM Vol. 2B 4.1: PCMPESTRI and its relatives)."""

from jit.native import inline, ld8, ld16, sx8, sx16

WORDS, SIGNED, HIGHEST = 1, 2, 0x40
ANY, RANGES, EACH, ORDERED = 0, 1, 2, 3
CARRY, ZERO, SIGN, OVERFLOW = 16, 17, 18, 19    # bits of the result


@inline
def character(address: int, number: int, control: int) -> int:
    if control & WORDS:
        value = ld16(address + 2 * number)
        return sx16(value) if control & SIGNED else value
    value = ld8(address + number)
    return sx8(value) if control & SIGNED else value


@inline
def length(address: int, given: int, implicit: int, count: int, control: int) -> int:
    """Valid characters: up to the first zero, or the absolute value of a register, at most `count`."""
    if implicit:
        for i in range(count):
            if character(address, i, control) == 0:
                return i
        return count
    if given == -1 << 63:
        return count
    return min(count, -given if given < 0 else given)


@inline
def matches(x: int, y: int, j: int, la: int, lb: int, count: int, control: int) -> bool:
    """Whether the aggregation takes character j of y to match, looking at x."""
    kind = (control >> 2) & 3
    if kind == EACH:
        if j >= la or j >= lb:
            return j >= la and j >= lb
        return character(x, j, control) == character(y, j, control)
    if kind == ORDERED:
        for k in range(count - j):
            if k >= la:
                break
            if j + k >= lb or character(x, k, control) != character(y, j + k, control):
                return False
        return True
    if j >= lb:
        return False
    value = character(y, j, control)
    if kind == ANY:
        for k in range(la):
            if character(x, k, control) == value:
                return True
        return False
    for k in range(la // 2):
        if character(x, 2 * k, control) <= value <= character(x, 2 * k + 1, control):
            return True
    return False


def pure_string(fpu: int, a: int, b: int, control: int, first: int, second: int) -> int:
    """IntRes2 in the low bits and the flags CARRY to OVERFLOW. `control` is the immediate, with bit 8 set where zeros
    end the strings instead of the lengths `first` and `second`."""
    count = 8 if control & WORDS else 16
    implicit = control & 0x100 != 0
    x, y = fpu + a, fpu + b
    la, lb = length(x, first, implicit, count, control), length(y, second, implicit, count, control)
    result = 0
    for j in range(count):
        found = matches(x, y, j, la, lb, count, control)
        polarity = (control >> 4) & 3
        if polarity == 1 or (polarity == 3 and j < lb):
            found = not found
        if found:
            result |= 1 << j
    flags = (1 if result != 0 else 0) << CARRY | (1 if lb < count else 0) << ZERO
    return result | flags | (1 if la < count else 0) << SIGN | (result & 1) << OVERFLOW
