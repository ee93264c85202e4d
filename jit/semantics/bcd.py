"""Decimal arithmetic and SALC, which 64-bit mode lacks (SDM Vol. 2: DAA, DAS, AAA, AAS, AAM, AAD; APM Vol. 3 SALC).

Flags that the manual leaves undefined are as current processors leave them.
"""

from jit.exits import OK
from jit.fault import DE, fault
from jit.flags import get_af, get_cf, set_add, set_result
from jit.layout import gpr
from jit.native import State, rd8, rd16, sx8, udiv, urem, wr8, wr16
from jit.registry import op

RAX = gpr(0)
AH = RAX + 1


@op("daa")
def daa(st: State, d: int, a: int, b: int, imm: int) -> int:
    old = rd8(st, RAX)
    r = old
    af = 1 if old & 15 > 9 or get_af(st) else 0
    cf = 1 if old > 0x99 or get_cf(st) else 0
    if af:
        r += 6
    if cf:
        r += 0x60
    wr8(st, RAX, r)
    set_result(st, sx8(r), cf, 0, af)
    return OK


@op("das")
def das(st: State, d: int, a: int, b: int, imm: int) -> int:
    old = rd8(st, RAX)
    r = old
    af = 1 if old & 15 > 9 or get_af(st) else 0
    high = old > 0x99 or get_cf(st) != 0
    cf = 1 if high or (af and old < 6) else 0       # the borrow of the first step counts (SDM Vol. 2A DAS)
    if af:
        r -= 6
    if high:
        r -= 0x60
    wr8(st, RAX, r)
    set_result(st, sx8(r), cf, 0, af)
    return OK


@op("aaa")
def aaa(st: State, d: int, a: int, b: int, imm: int) -> int:
    adjust = 1 if rd8(st, RAX) & 15 > 9 or get_af(st) else 0
    ax = rd16(st, RAX) + (0x106 if adjust else 0)
    wr16(st, RAX, ax & 0xFF0F)
    set_result(st, sx8(ax & 0x0F), adjust, 0, adjust)
    return OK


@op("aas")
def aas(st: State, d: int, a: int, b: int, imm: int) -> int:
    adjust = 1 if rd8(st, RAX) & 15 > 9 or get_af(st) else 0
    ax = rd16(st, RAX) - (0x106 if adjust else 0)
    wr16(st, RAX, ax & 0xFF0F)
    set_result(st, sx8(ax & 0x0F), adjust, 0, adjust)
    return OK


@op("aam")
def aam(st: State, d: int, a: int, b: int, imm: int) -> int:
    """`imm`: the base; 0 divides by zero."""
    if imm == 0:
        return fault(st, DE)
    al = rd8(st, RAX)
    wr8(st, AH, udiv(al, imm))
    wr8(st, RAX, urem(al, imm))
    set_result(st, sx8(urem(al, imm)), 0, 0, 0)
    return OK


@op("aad")
def aad(st: State, d: int, a: int, b: int, imm: int) -> int:
    """`imm`: the base."""
    x, y = rd8(st, RAX), rd8(st, AH) * imm & 0xFF
    r = x + y
    wr16(st, RAX, r & 0xFF)
    set_add(st, x, y, r, sx8(r), 8)
    return OK


@op("salc")
def salc(st: State, d: int, a: int, b: int, imm: int) -> int:
    wr8(st, RAX, -get_cf(st))
    return OK
