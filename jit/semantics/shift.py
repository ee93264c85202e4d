"""Shifts and rotates (SDM Vol. 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD, SARX/SHLX/SHRX, RORX).

Operands: d = destination, a = what is shifted, b + imm = the count, of which only the low 5 bits (6 for 64-bit
operands) matter. A count of 0 changes no flag. The manual defines OF for a count of 1 only. Shifts set it, whatever
the count, as one of the same operand by 1 would, like current Intel processors; rotates as one by 1 with the same
result would, like an 80386. Shifts clear AF.
"""

from jit.exits import OK
from jit.flags import get_cf, set_cf_of, set_result, sign_extend
from jit.native import Handler, State, inline, shr
from jit.registry import op
from jit.semantics.operands import WIDE, WIDTHS, read, write


@inline
def shift_count(st: State, b: int, imm: int, width: int) -> int:
    return (read(st, b, 8) + imm) & (63 if width == 64 else 31)


@inline
def top_bit(value: int, width: int) -> int:
    return shr(value, width - 1) & 1


@inline
def top_bits_differ(x: int, width: int) -> int:
    """OF of a shift to the left by 1: whether the sign changes."""
    return top_bit(x, width) ^ top_bit(x, width - 1)


@op("shl", *WIDTHS)
def shl(width: int) -> Handler:
    def shl(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        n = shift_count(st, b, imm, width)
        r = x << n
        write(st, d, width, r)
        if n != 0:
            cf = shr(x, 64 - n) & 1 if width == 64 else shr(r, width) & 1
            set_result(st, sign_extend(r, width), cf, top_bits_differ(x, width), 0)
        return OK
    return shl


@op("shr", *WIDTHS)
def shr_(width: int) -> Handler:
    def shr_(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        n = shift_count(st, b, imm, width)
        r = shr(x, n)
        write(st, d, width, r)
        if n != 0:
            set_result(st, sign_extend(r, width), shr(x, n - 1) & 1, top_bit(x, width), 0)
        return OK
    return shr_


@op("sar", *WIDTHS)
def sar(width: int) -> Handler:
    def sar(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = sign_extend(read(st, a, width), width)
        n = shift_count(st, b, imm, width)
        r = x >> n
        write(st, d, width, r)
        if n != 0:
            set_result(st, r, (x >> (n - 1)) & 1, 0, 0)
        return OK
    return sar


@inline
def rotate_left(x: int, n: int, width: int) -> int:
    """`x`, zero-extended from `width` bits, rotated by 0 <= n < width; the bits above `width` are not defined."""
    if n == 0:
        return x
    return (x << n) | shr(x, width - n)


@op("rol", *WIDTHS)
def rol(width: int) -> Handler:
    def rol(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        n = shift_count(st, b, imm, width)
        r = rotate_left(x, n & (width - 1), width)
        write(st, d, width, r)
        if n != 0:
            set_cf_of(st, r & 1, top_bit(r, width) ^ (r & 1))
        return OK
    return rol


@op("ror", *WIDTHS)
def ror(width: int) -> Handler:
    def ror(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        n = shift_count(st, b, imm, width)
        r = rotate_left(x, -n & (width - 1), width)
        write(st, d, width, r)
        if n != 0:
            set_cf_of(st, top_bit(r, width), top_bits_differ(r, width))
        return OK
    return ror


@op("rcl", *WIDTHS)
def rcl(width: int) -> Handler:
    """Rotates CF and the operand, `width` + 1 bits, so a count of their number or 0 changes nothing."""
    def rcl(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        n = shift_count(st, b, imm, width) % (width + 1)
        if n == 0:
            write(st, d, width, x)
            return OK
        carry = get_cf(st)
        over = width + 1 - n                        # how far what leaves on the left is moved
        r = (x << n) | (carry << (n - 1)) | (shr(x, over) if over < 64 else 0)
        write(st, d, width, r)
        cf = shr(x, width - n) & 1
        set_cf_of(st, cf, top_bit(r, width) ^ cf)
        return OK
    return rcl


@op("rcr", *WIDTHS)
def rcr(width: int) -> Handler:
    def rcr(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        n = shift_count(st, b, imm, width) % (width + 1)
        if n == 0:
            write(st, d, width, x)
            return OK
        carry = get_cf(st)
        over = width + 1 - n
        r = shr(x, n) | (carry << (width - n)) | (x << over if over < 64 else 0)
        write(st, d, width, r)
        set_cf_of(st, shr(x, n - 1) & 1, top_bits_differ(r, width))
        return OK
    return rcr


@op("shld", *WIDE)
def shld(width: int) -> Handler:
    """a = the register that fills from the right; d is both source and destination."""
    def shld(st: State, d: int, a: int, b: int, imm: int) -> int:
        n = shift_count(st, b, imm, width)
        if n == 0:
            write(st, d, width, read(st, d, width))
            return OK
        x, fill = read(st, d, width), read(st, a, width)
        if width == 16:
            # Counts above 16, undefined by the manual, go on into the destination's own bits.
            wide = (((x << 16) | fill) << 16) | x
            r = shr(wide << n, 32)
            cf = shr(wide, 48 - n) & 1
        else:
            r = (x << n) | shr(fill, width - n)
            cf = shr(x, width - n) & 1
        write(st, d, width, r)
        set_result(st, sign_extend(r, width), cf, top_bits_differ(x, width), 0)
        return OK
    return shld


@op("shrd", *WIDE)
def shrd(width: int) -> Handler:
    """a = the register that fills from the left; d is both source and destination."""
    def shrd(st: State, d: int, a: int, b: int, imm: int) -> int:
        n = shift_count(st, b, imm, width)
        if n == 0:
            write(st, d, width, read(st, d, width))
            return OK
        x, fill = read(st, d, width), read(st, a, width)
        if width == 16:
            wide = (((x << 16) | fill) << 16) | x
            r = shr(wide, n)
        else:
            wide = x
            r = shr(x, n) | (fill << (width - n))
        write(st, d, width, r)
        set_result(st, sign_extend(r, width), shr(wide, n - 1) & 1, top_bit(x, width) ^ (fill & 1), 0)
        return OK
    return shrd


@op("shlx", 32, 64)
def shlx(width: int) -> Handler:
    def shlx(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, read(st, a, width) << shift_count(st, b, imm, width))
        return OK
    return shlx


@op("shrx", 32, 64)
def shrx(width: int) -> Handler:
    def shrx(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, shr(read(st, a, width), shift_count(st, b, imm, width)))
        return OK
    return shrx


@op("sarx", 32, 64)
def sarx(width: int) -> Handler:
    def sarx(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, sign_extend(read(st, a, width), width) >> shift_count(st, b, imm, width))
        return OK
    return sarx


@op("rorx", 32, 64)
def rorx(width: int) -> Handler:
    def rorx(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, rotate_left(read(st, a, width), -imm & (width - 1), width))
        return OK
    return rorx
