"""Lazy status flags: two words from which CF, PF, AF, ZF, SF and OF follow (SDM Vol. 1 3.4.3.1).

RES is the last result, sign-extended from the operation's width; AUX holds the carries out of the two top bits and
out of bit 3, with corrections for flag sets that no single result has (POPF, SAHF):

    AUX bit 63    carry out of the top bit: CF
    AUX bit 62    carry into the top bit: OF = bit 63 xor bit 62
    AUX bit 3     AF
    AUX bit 0     SF is inverted
    AUX 15:8      xor-ed into RES 7:0 before its parity is taken

An operation therefore stores two words whatever it is, and a condition reads them without knowing what that was.
"""

from jit.layout import AUX, RES
from jit.native import ctpop, inline, rd64, shr, sx8, sx16, sx32, wr64

CF, PF, AF, ZF, SF, OF = 0x1, 0x4, 0x10, 0x40, 0x80, 0x800
TF, IF, DF, IOPL, NT, RF, VM, AC, VIF, VIP, ID = (
    0x100, 0x200, 0x400, 0x3000, 0x4000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000)
STATUS = CF | PF | AF | ZF | SF | OF
FIXED = 0x2

TOP_TWO = -(1 << 62)                                # bits 63:62
CARRY = -(1 << 63)
CARRY_IN = 1 << 62


@inline
def carries(vector, width):
    """AUX from a vector of the carries out of each bit."""
    return ((vector << (64 - width)) & TOP_TWO) | (vector & 8)


@inline
def set_add(st, a, b, r, extended, width):
    """Flags of r = a + b (+ CF). `extended` is r sign-extended from `width` bits."""
    wr64(st, RES, extended)
    wr64(st, AUX, carries((a & b) | ((a | b) & ~r), width))


@inline
def set_sub(st, a, b, r, extended, width):
    """Flags of r = a - b (- CF): CF and AF are borrows."""
    wr64(st, RES, extended)
    wr64(st, AUX, carries((~a & b) | ((~a | b) & r), width))


@inline
def set_logic(st, extended):
    """Flags of AND, OR, XOR, TEST: CF = OF = 0; AF, undefined, is cleared as current processors do."""
    wr64(st, RES, extended)
    wr64(st, AUX, 0)


@inline
def set_result(st, extended, cf, of, af):
    """ZF, SF, PF from a result; CF, OF, AF given as 0 or 1."""
    wr64(st, RES, extended)
    wr64(st, AUX, (cf << 63) | ((cf ^ of) << 62) | (af << 3))


@inline
def get_cf(st):
    return shr(rd64(st, AUX), 63)


@inline
def get_of(st):
    aux = rd64(st, AUX)
    return shr(aux ^ (aux << 1), 63)


@inline
def get_zf(st):
    return 1 if rd64(st, RES) == 0 else 0


@inline
def get_sf(st):
    return shr(rd64(st, RES), 63) ^ (rd64(st, AUX) & 1)


@inline
def get_pf(st):
    return (ctpop((rd64(st, RES) ^ shr(rd64(st, AUX), 8)) & 0xFF) & 1) ^ 1


@inline
def get_af(st):
    return shr(rd64(st, AUX), 3) & 1


@inline
def get_status(st):
    """The six status flags in their RFLAGS positions."""
    return (get_cf(st) | (get_pf(st) << 2) | (get_af(st) << 4) | (get_zf(st) << 6) | (get_sf(st) << 7)
            | (get_of(st) << 11))


@inline
def set_status(st, flags):
    """All six status flags from RFLAGS positions."""
    cf, of, sf = flags & 1, shr(flags, 11) & 1, shr(flags, 7) & 1
    odd = (shr(flags, 2) & 1) ^ 1
    zero = shr(flags, 6) & 1
    wr64(st, RES, 0 if zero else 0x100)
    wr64(st, AUX, (cf << 63) | ((cf ^ of) << 62) | ((flags & AF) >> 1) | sf | (odd << 8))


@inline
def set_cf(st, cf):
    """CF alone; OF is kept."""
    of = get_of(st)
    wr64(st, AUX, (rd64(st, AUX) & ~TOP_TWO) | (cf << 63) | ((cf ^ of) << 62))


@inline
def set_cf_of(st, cf, of):
    """CF and OF alone."""
    wr64(st, AUX, (rd64(st, AUX) & ~TOP_TWO) | (cf << 63) | ((cf ^ of) << 62))


@inline
def set_zf(st, zf):
    """ZF alone."""
    set_status(st, (get_status(st) & ~ZF) | (zf << 6))


@inline
def condition(st, code):
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
def sign_extend(value, width):
    """`value` sign-extended from its low `width` (8, 16, 32, 64) bits."""
    if width == 8:
        return sx8(value)
    if width == 16:
        return sx16(value)
    if width == 32:
        return sx32(value)
    return value
