"""Bit instructions (SDM Vol. 2: BT/BTS/BTR/BTC, BSF, BSR, TZCNT, LZCNT, POPCNT, ANDN, BEXTR, BLSI, BLSMSK, BLSR, BZHI,
PDEP, PEXT, CRC32).

Flags that the manual leaves undefined are as current processors leave them: BT and its kin keep them, BSF and BSR
set PF from the result and clear the others, the rest clear PF too.
"""

from jit.exits import OK
from jit.flags import set_cf, set_logic, set_without_parity, sign_extend
from jit.native import Handler, State, ctlz, ctpop, cttz, inline, shr, wr64
from jit.registry import op
from jit.semantics.operands import OFFSET, WIDE, WIDTHS, effective, read, truncate, write

NONZERO = 0x100                     # in a flag result: neither SF nor PF depends on it


@op("bit_offset", *WIDE)
def bit_offset(width: int) -> Handler:
    """Effective address of the word that holds bit d (signed) of the bit string at the memory operand, to OFFSET."""
    def bit_offset(st: State, d: int, a: int, b: int, imm: int) -> int:
        byte = (sign_extend(read(st, d, width), width) >> 3) & -(width // 8)
        wr64(st, OFFSET, effective(st, a, b, imm) + byte)
        return OK
    return bit_offset


def _bit_test(name: str, change: Handler | None) -> None:
    """d = destination, a = source, b + imm = bit number modulo the width. Flags other than CF are kept."""
    @op(name, *WIDE)
    def bit_test(width: int) -> Handler:
        def bit_test(st: State, d: int, a: int, b: int, imm: int) -> int:
            x = read(st, a, width)
            n = (read(st, b, width) + imm) & (width - 1)
            if change is not None:
                write(st, d, width, change(x, 1 << n))
            set_cf(st, shr(x, n) & 1)
            return OK
        return bit_test


_bit_test("bt", None)
_bit_test("bts", inline(lambda x, bit: x | bit))
_bit_test("btr", inline(lambda x, bit: x & ~bit))
_bit_test("btc", inline(lambda x, bit: x ^ bit))


@op("bsf", *WIDE)
def bsf(width: int) -> Handler:
    """A zero source leaves the destination alone."""
    def bsf(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        if x == 0:
            set_logic(st, 0)
            return OK
        r = cttz(x)
        write(st, d, width, r)
        set_logic(st, r | NONZERO)
        return OK
    return bsf


@op("bsr", *WIDE)
def bsr(width: int) -> Handler:
    def bsr(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        if x == 0:
            set_logic(st, 0)
            return OK
        r = 63 - ctlz(x)
        write(st, d, width, r)
        set_logic(st, r | NONZERO)
        return OK
    return bsr


@op("tzcnt", *WIDE)
def tzcnt(width: int) -> Handler:
    def tzcnt(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        r = cttz(x) if x != 0 else width
        write(st, d, width, r)
        set_without_parity(st, r, 1 if x == 0 else 0)
        return OK
    return tzcnt


@op("lzcnt", *WIDE)
def lzcnt(width: int) -> Handler:
    def lzcnt(st: State, d: int, a: int, b: int, imm: int) -> int:
        x = read(st, a, width)
        r = ctlz(x) - (64 - width)
        write(st, d, width, r)
        set_without_parity(st, r, 1 if x == 0 else 0)
        return OK
    return lzcnt


@op("popcnt", *WIDE)
def popcnt(width: int) -> Handler:
    def popcnt(st: State, d: int, a: int, b: int, imm: int) -> int:
        r = ctpop(read(st, a, width))
        write(st, d, width, r)
        set_without_parity(st, r, 0)
        return OK
    return popcnt


@op("andn", 32, 64)
def andn(width: int) -> Handler:
    def andn(st: State, d: int, a: int, b: int, imm: int) -> int:
        r = ~read(st, a, width) & read(st, b, width)
        write(st, d, width, r)
        set_without_parity(st, sign_extend(r, width), 0)
        return OK
    return andn


@inline
def low_bits(x: int, count: int, width: int) -> int:
    """The low `count` (0 to 255) bits."""
    return x if count >= width else x & ((1 << count) - 1)


@op("bextr", 32, 64)
def bextr(width: int) -> Handler:
    """b: start in bits 7:0, length in bits 15:8."""
    def bextr(st: State, d: int, a: int, b: int, imm: int) -> int:
        start, length = read(st, b, 8), read(st, b + 1, 8)
        x = read(st, a, width)
        r = low_bits(shr(x, start) if start < width else 0, length, width)
        write(st, d, width, r)
        set_without_parity(st, 1 if r != 0 else 0, 0)       # SF too is clear
        return OK
    return bextr


@op("bzhi", 32, 64)
def bzhi(width: int) -> Handler:
    def bzhi(st: State, d: int, a: int, b: int, imm: int) -> int:
        count = read(st, b, 8)
        r = low_bits(read(st, a, width), count, width)
        write(st, d, width, r)
        set_without_parity(st, sign_extend(r, width), 1 if count >= width else 0)
        return OK
    return bzhi


def _lowest_bit(name: str, combine: Handler, carry_when_zero: int) -> None:
    @op(name, 32, 64)
    def lowest_bit(width: int) -> Handler:
        def lowest_bit(st: State, d: int, a: int, b: int, imm: int) -> int:
            x = read(st, a, width)
            r = combine(x)
            write(st, d, width, r)
            zero = 1 if x == 0 else 0
            set_without_parity(st, sign_extend(r, width), zero if carry_when_zero else zero ^ 1)
            return OK
        return lowest_bit


_lowest_bit("blsi", inline(lambda x: x & -x), False)
_lowest_bit("blsmsk", inline(lambda x: x ^ (x - 1)), True)
_lowest_bit("blsr", inline(lambda x: x & (x - 1)), True)


@op("pdep", 32, 64)
def pdep(width: int) -> Handler:
    def pdep(st: State, d: int, a: int, b: int, imm: int) -> int:
        x, mask = read(st, a, width), read(st, b, width)
        r = 0
        while mask != 0:
            if x & 1:
                r |= mask & -mask
            mask &= mask - 1
            x = shr(x, 1)
        write(st, d, width, r)
        return OK
    return pdep


@op("pext", 32, 64)
def pext(width: int) -> Handler:
    def pext(st: State, d: int, a: int, b: int, imm: int) -> int:
        x, mask = read(st, a, width), read(st, b, width)
        r = 0
        n = 0
        while mask != 0:
            if x & mask & -mask:
                r |= 1 << n
            mask &= mask - 1
            n += 1
        write(st, d, width, r)
        return OK
    return pext


CRC32C = 0x82F63B78                 # the polynomial 11EDC6F41H, bit-reflected


@op("crc32", *WIDTHS)
def crc32(width: int) -> Handler:
    """d = the running remainder, written as a 64-bit register; a = the message bits."""
    def crc32(st: State, d: int, a: int, b: int, imm: int) -> int:
        r = read(st, d, 32)
        x = read(st, a, width)
        if width == 64:
            for _ in range(2):
                r ^= truncate(x, 32)
                x = shr(x, 32)
                for _ in range(32):
                    r = shr(r, 1) ^ (CRC32C & -(r & 1))
        else:
            r ^= x
            for _ in range(width):
                r = shr(r, 1) ^ (CRC32C & -(r & 1))
        wr64(st, d, r)
        return OK
    return crc32
