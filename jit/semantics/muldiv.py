"""Multiplication and division (SDM Vol. 2: MUL, IMUL, MULX, DIV, IDIV, CBW/CWDE/CDQE, CWD/CDQ/CQO).

The manual leaves flags undefined. As on current processors, a multiplication sets SF and PF from the low half of the
product and clears AF and ZF, and a division keeps them all.
"""

from jit.exits import OK
from jit.fault import DE, fault
from jit.flags import set_result, sign_extend
from jit.layout import gpr
from jit.native import Handler, State, inline, rd64, shr, smulh, udiv, ult, umulh, urem
from jit.registry import op
from jit.semantics.operands import WIDE, WIDTHS, read, truncate, write

RAX, RDX = gpr(0), gpr(2)
NONZERO = 0x100                     # in a flag result: neither SF nor PF depends on it


@inline
def write_pair(st: State, width: int, high: int, low: int) -> None:
    """(R)DX:(R)AX, or AX for bytes."""
    if width == 8:
        write(st, RAX, 16, (high << 8) | (low & 0xFF))
    else:
        write(st, RAX, width, low)
        write(st, RDX, width, high)


@inline
def read_high(st: State, width: int) -> int:
    """The upper half of the dividend, zero-extended."""
    return read(st, RAX + 1, 8) if width == 8 else read(st, RDX, width)


@op("mul", *WIDTHS)
def mul(width: int) -> Handler:
    def mul(st: State, d: int, a: int, b: int, imm: int) -> int:
        x, y = read(st, RAX, width), read(st, a, width)
        low = x * y
        high = umulh(x, y) if width == 64 else truncate(shr(low, width), width)
        write_pair(st, width, high, low)
        overflow = 1 if high != 0 else 0
        set_result(st, sign_extend(low, width) | NONZERO, overflow, overflow, 0)
        return OK
    return mul


@inline
def signed_product(x: int, y: int, width: int) -> tuple[int, int, int]:
    """(low, high, overflow) of sign-extended factors."""
    low = x * y
    high = smulh(x, y) if width == 64 else low >> width
    return low, high, 1 if high != sign_extend(low, width) >> 63 else 0


@op("imul1", *WIDTHS)
def imul_accumulator(width: int) -> Handler:
    def imul_accumulator(st: State, d: int, a: int, b: int, imm: int) -> int:
        x, y = sign_extend(read(st, RAX, width), width), sign_extend(read(st, a, width), width)
        low, high, overflow = signed_product(x, y, width)
        write_pair(st, width, high, low)
        set_result(st, sign_extend(low, width) | NONZERO, overflow, overflow, 0)
        return OK
    return imul_accumulator


@op("imul", *WIDE)
def imul(width: int) -> Handler:
    """The two- and three-operand forms."""
    def imul(st: State, d: int, a: int, b: int, imm: int) -> int:
        x, y = sign_extend(read(st, a, width), width), sign_extend(read(st, b, width) + imm, width)
        low, high, overflow = signed_product(x, y, width)
        write(st, d, width, low)
        set_result(st, sign_extend(low, width) | NONZERO, overflow, overflow, 0)
        return OK
    return imul


@op("mulx", 32, 64)
def mulx(width: int) -> Handler:
    """d = slot of the upper half's register, b of the lower half's; the upper half wins if they are the same."""
    def mulx(st: State, d: int, a: int, b: int, imm: int) -> int:
        x, y = read(st, RDX, width), read(st, a, width)
        low = x * y
        high = umulh(x, y) if width == 64 else shr(low, 32)
        write(st, b, width, low)
        write(st, d, width, high)
        return OK
    return mulx


@inline
def divide_wide(high: int, low: int, divisor: int) -> tuple[int, int]:
    """(quotient, remainder) of the unsigned high:low / divisor, where high < divisor: schoolbook, a bit at a time."""
    if high == 0:
        return udiv(low, divisor), urem(low, divisor)
    for _ in range(64):
        carry = shr(high, 63)
        high = (high << 1) | shr(low, 63)
        low = low << 1
        if carry or not ult(high, divisor):
            high -= divisor
            low |= 1
    return low, high


@op("div", *WIDTHS)
def div(width: int) -> Handler:
    def div(st: State, d: int, a: int, b: int, imm: int) -> int:
        divisor = read(st, a, width)
        high, low = read_high(st, width), read(st, RAX, width)
        if not ult(high, divisor):                  # also where the divisor is 0
            return fault(st, DE)
        if width == 64:
            quotient, remainder = divide_wide(high, low, divisor)
        else:
            dividend = (high << width) | low
            quotient, remainder = udiv(dividend, divisor), urem(dividend, divisor)
        write_pair(st, width, remainder, quotient)
        return OK
    return div


@inline
def magnitude(value: int) -> int:
    return -value if value < 0 else value


@op("idiv", *WIDTHS)
def idiv(width: int) -> Handler:
    """Division of magnitudes; the quotient truncates towards zero, the remainder takes the dividend's sign."""
    def idiv(st: State, d: int, a: int, b: int, imm: int) -> int:
        divisor = sign_extend(read(st, a, width), width)
        high, low = read_high(st, width), read(st, RAX, width)
        if width == 64:
            negative = high < 0
            if negative:
                low = -low
                high = ~high + (1 if low == 0 else 0)
        else:
            low = sign_extend((high << width) | low, min(2 * width, 64))
            negative = low < 0
            low = magnitude(low)
            high = 0
        by = magnitude(divisor)                     # 2**63 for the smallest divisor, read as unsigned
        if not ult(high, by):
            return fault(st, DE)
        quotient, remainder = divide_wide(high, low, by)
        opposite = negative != (divisor < 0)
        limit = (1 << (width - 1)) - (0 if opposite else 1)     # 2**63 wraps to itself as an unsigned number
        if ult(limit, quotient):
            return fault(st, DE)
        write_pair(st, width, -remainder if negative else remainder, -quotient if opposite else quotient)
        return OK
    return idiv


@op("widen", *WIDE)
def widen(width: int) -> Handler:
    """CBW, CWDE, CDQE: the accumulator's lower half, sign-extended to `width` bits."""
    def widen(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, RAX, width, sign_extend(rd64(st, RAX), width // 2))
        return OK
    return widen


@op("spread", *WIDE)
def spread(width: int) -> Handler:
    """CWD, CDQ, CQO: the accumulator's sign in every bit of (R)DX."""
    def spread(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, RDX, width, sign_extend(rd64(st, RAX), width) >> 63)
        return OK
    return spread
