"""Lazy status flags: three words from which CF, PF, AF, ZF, SF and OF follow (SDM Vol. 1 3.4.3.1).

    RES     the last result, sign-extended from the operation's width: ZF, SF, PF
    AUX     the carries *into* each bit, sign-extended likewise: bit 4 is AF, bit 63 xor CF is OF
    CARRY   bit 0 is CF; the other bits correct RES for flag sets that no single result has (POPF, SAHF):
            bit 1 inverts SF, bits 15:8 are xor-ed into RES 7:0 before its parity is taken

An operation therefore stores three words whatever it is, a condition reads them without knowing what that was, and
INC and DEC, which keep CF, do not tie one iteration of a loop to the next.
"""

from jit.layout import AUX, CARRY, RES
from jit.native import State, ctpop, inline, rd64, shr, sx8, sx16, sx32, ult, wr64

CF, PF, AF, ZF, SF, OF = 0x1, 0x4, 0x10, 0x40, 0x80, 0x800
TF, IF, DF, IOPL, NT, RF, VM, AC, VIF, VIP, ID = (
    0x100, 0x200, 0x400, 0x3000, 0x4000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000)
STATUS = CF | PF | AF | ZF | SF | OF
FIXED = 0x2
SIGN = -(1 << 63)

@inline
def low(value: int, width: int) -> int:
    """The low `width` bits, zero-extended."""
    return value if width == 64 else value & ((1 << width) - 1)


@inline
def set_sum(st: State, x: int, y: int, r: int, extended: int, carry: int, width: int) -> None:
    """Flags of a sum or difference r of x and y, with its carry or borrow given as 0 or 1."""
    wr64(st, RES, extended)
    wr64(st, AUX, sign_extend(x ^ y ^ r, width))
    wr64(st, CARRY, carry)


@inline
def set_add(st: State, x: int, y: int, r: int, extended: int, width: int) -> None:
    """Flags of r = x + y. `extended` is r sign-extended from `width` bits."""
    set_sum(st, x, y, r, extended, 1 if ult(low(r, width), low(x, width)) else 0, width)


@inline
def set_adc(st: State, x: int, y: int, r: int, extended: int, width: int) -> None:
    """Flags of r = x + y + CF."""
    set_sum(st, x, y, r, extended, shr((x & y) | ((x | y) & ~r), width - 1) & 1, width)


@inline
def set_sub(st: State, x: int, y: int, r: int, extended: int, width: int) -> None:
    """Flags of r = x - y: CF and AF are borrows."""
    set_sum(st, x, y, r, extended, 1 if ult(low(x, width), low(y, width)) else 0, width)


@inline
def set_sbb(st: State, x: int, y: int, r: int, extended: int, width: int) -> None:
    """Flags of r = x - y - CF."""
    set_sum(st, x, y, r, extended, shr((~x & y) | ((~x | y) & r), width - 1) & 1, width)


@inline
def set_logic(st: State, extended: int) -> None:
    """Flags of AND, OR, XOR, TEST: CF = OF = 0; AF, undefined, is cleared as current processors do."""
    wr64(st, RES, extended)
    wr64(st, AUX, 0)
    wr64(st, CARRY, 0)


@inline
def set_result(st: State, extended: int, cf: int, of: int, af: int) -> None:
    """ZF, SF, PF from a result; CF, OF, AF given as 0 or 1."""
    wr64(st, RES, extended)
    wr64(st, AUX, ((cf ^ of) << 63) | (af << 4))
    wr64(st, CARRY, cf)


@inline
def set_without_parity(st: State, extended: int, cf: int) -> None:
    """ZF and SF from a result, and CF; OF, AF and PF are cleared."""
    wr64(st, RES, extended)
    wr64(st, AUX, cf << 63)
    wr64(st, CARRY, cf | (((extended & 0xFF) ^ 1) << 8))


@inline
def get_cf(st: State) -> int:
    return rd64(st, CARRY) & 1


@inline
def get_of(st: State) -> int:
    return shr(rd64(st, AUX), 63) ^ get_cf(st)


@inline
def get_zf(st: State) -> int:
    return 1 if rd64(st, RES) == 0 else 0


@inline
def get_sf(st: State) -> int:
    return shr(rd64(st, RES), 63) ^ (shr(rd64(st, CARRY), 1) & 1)


@inline
def get_pf(st: State) -> int:
    return (ctpop((rd64(st, RES) ^ shr(rd64(st, CARRY), 8)) & 0xFF) & 1) ^ 1


@inline
def get_af(st: State) -> int:
    return shr(rd64(st, AUX), 4) & 1


@inline
def get_status(st: State) -> int:
    """The six status flags in their RFLAGS positions."""
    return (get_cf(st) | (get_pf(st) << 2) | (get_af(st) << 4) | (get_zf(st) << 6) | (get_sf(st) << 7)
            | (get_of(st) << 11))


@inline
def set_status(st: State, flags: int) -> None:
    """All six status flags from RFLAGS positions."""
    cf, of, sf = flags & 1, shr(flags, 11) & 1, shr(flags, 7) & 1
    odd = (shr(flags, 2) & 1) ^ 1
    zero = shr(flags, 6) & 1
    wr64(st, RES, 0 if zero else 0x100)
    wr64(st, AUX, ((cf ^ of) << 63) | (flags & AF))
    wr64(st, CARRY, cf | (sf << 1) | (odd << 8))


@inline
def set_cf(st: State, cf: int) -> None:
    """CF alone; the others are kept."""
    old = rd64(st, CARRY)
    wr64(st, AUX, rd64(st, AUX) ^ (((old ^ cf) & 1) << 63))
    wr64(st, CARRY, (old & ~1) | cf)


@inline
def set_of(st: State, of: int) -> None:
    """OF alone; the others are kept."""
    wr64(st, AUX, (rd64(st, AUX) & ~SIGN) | ((get_cf(st) ^ of) << 63))


@inline
def set_cf_of(st: State, cf: int, of: int) -> None:
    """CF and OF; the others are kept."""
    wr64(st, AUX, (rd64(st, AUX) & ~SIGN) | ((cf ^ of) << 63))
    wr64(st, CARRY, (rd64(st, CARRY) & ~1) | cf)


@inline
def set_zf(st: State, zf: int) -> None:
    """ZF alone."""
    set_status(st, (get_status(st) & ~ZF) | (zf << 6))


@inline
def condition(st: State, code: int) -> int:
    """Condition `code` 0-15 of Jcc, SETcc, CMOVcc (SDM Vol. 2 B.1.4.7): 1 if it holds."""
    kind = code >> 1
    if kind == 0:
        holds = get_of(st)
    elif kind == 1:
        holds = get_cf(st)
    elif kind == 2:
        holds = get_zf(st)
    elif kind == 3:
        holds = get_cf(st) | get_zf(st)
    elif kind == 4:
        holds = get_sf(st)
    elif kind == 5:
        holds = get_pf(st)
    elif kind == 6:
        holds = get_sf(st) ^ get_of(st)
    else:
        holds = (get_sf(st) ^ get_of(st)) | get_zf(st)
    return holds ^ (code & 1)


@inline
def sign_extend(value: int, width: int) -> int:
    """`value` sign-extended from its low `width` (8, 16, 32, 64) bits."""
    if width == 8:
        return sx8(value)
    if width == 16:
        return sx16(value)
    if width == 32:
        return sx32(value)
    return value
