"""Moves, loads, stores and address arithmetic (SDM Vol. 2: MOV, MOVZX, MOVSX, LEA, XCHG, CMOVcc, SETcc, BSWAP)."""

from jit.access import PAGE_MASK, data_entry, load, load_for_write, store, translate
from jit.exits import OK
from jit.flags import condition, sign_extend
from jit.layout import TLB_READ, TLB_SET, gpr
from jit.native import Handler, State, bswap, ld64, rd64, shr, wr64
from jit.paging import READ
from jit.registry import op
from jit.semantics.operands import OFFSET, WIDE, WIDTHS, effective, hint, read, truncate, write
from jit.semantics.wiring import SEGMENT_SHIFT
from jit.slow import check_address, wrap

RAX, RBX = gpr(0), gpr(3)


@op("mov", *WIDTHS)
def mov(width: int) -> Handler:
    def mov(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, read(st, a, width) + imm)
        return OK
    return mov


@op("load", *WIDTHS)
def load_register(width: int) -> Handler:
    size = width // 8

    def load_register(st: State, d: int, a: int, b: int, imm: int) -> int:
        value, status = load(st, effective(st, a, b, imm), size, hint(b))
        if status != OK:
            return status
        write(st, d, width, value)
        return OK
    return load_register


@op("load_rw", *WIDTHS)
def load_read_write(width: int) -> Handler:
    size = width // 8

    def load_read_write(st: State, d: int, a: int, b: int, imm: int) -> int:
        value, status = load_for_write(st, effective(st, a, b, imm), size, hint(b))
        if status != OK:
            return status
        write(st, d, width, value)
        return OK
    return load_read_write


@op("store", *WIDTHS)
def store_register(width: int) -> Handler:
    size = width // 8

    def store_register(st: State, d: int, a: int, b: int, imm: int) -> int:
        return store(st, effective(st, a, b, imm), size, hint(b), read(st, d, width))
    return store_register


@op("movzx", (8, 16), (8, 32), (8, 64), (16, 32), (16, 64))
def movzx(source: int, width: int) -> Handler:
    def movzx(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, read(st, a, source))
        return OK
    return movzx


@op("movsx", (8, 16), (8, 32), (8, 64), (16, 32), (16, 64), (32, 64))
def movsx(source: int, width: int) -> Handler:
    def movsx(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, sign_extend(read(st, a, source), source))
        return OK
    return movsx


@op("lea", *WIDE)
def lea(width: int) -> Handler:
    def lea(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, effective(st, a, b, imm))
        return OK
    return lea


@op("lea32", *WIDE)
def lea32(width: int) -> Handler:
    """LEA with a 32-bit address size."""
    def lea32(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, effective(st, a, b, imm) & 0xFFFFFFFF)
        return OK
    return lea32


@op("lea16", *WIDE)
def lea16(width: int) -> Handler:
    """LEA with a 16-bit address size."""
    def lea16(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, effective(st, a, b, imm) & 0xFFFF)
        return OK
    return lea16


@op("linear_base")
def linear_base(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Linear address in 64-bit mode under FS or GS: segment base (slot in the upper bits of `b`) + effective."""
    wr64(st, d, rd64(st, shr(b, SEGMENT_SHIFT)) + effective(st, a, b, imm))
    return OK


@op("linear_base32")
def linear_base32(st: State, d: int, a: int, b: int, imm: int) -> int:
    """The same with a 32-bit address size; the ZERO slot stands for no segment."""
    wr64(st, d, rd64(st, shr(b, SEGMENT_SHIFT)) + (effective(st, a, b, imm) & 0xFFFFFFFF))
    return OK


@op("xchg", *WIDTHS)
def xchg(width: int) -> Handler:
    def xchg(st: State, d: int, a: int, b: int, imm: int) -> int:
        old = read(st, d, width)
        new = read(st, a, width)
        write(st, a, width, old)
        write(st, d, width, new)
        return OK
    return xchg


@op("cmov", *((c, w) for c in range(16) for w in WIDE))
def cmov(code: int, width: int) -> Handler:
    def cmov(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, read(st, a, width) if condition(st, code) else read(st, d, width))
        return OK
    return cmov


@op("set", *range(16))
def setcc(code: int) -> Handler:
    def setcc(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, 8, condition(st, code))
        return OK
    return setcc


@op("bswap", *WIDE)
def bswap_register(width: int) -> Handler:
    """BSWAP; a 16-bit one is undefined by the manual, and clears the register on current processors. MOVBE's too."""
    def bswap_register(st: State, d: int, a: int, b: int, imm: int) -> int:
        write(st, d, width, shr(bswap(read(st, a, width)), 64 - width))
        return OK
    return bswap_register


@op("bswap16_zero")
def bswap16_zero(st: State, d: int, a: int, b: int, imm: int) -> int:
    write(st, d, 16, 0)
    return OK


@op("nop")
def nop(st: State, d: int, a: int, b: int, imm: int) -> int:
    return OK


@op("touch")
def touch(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Check the memory operand as a byte read would be, without reading it."""
    linear = effective(st, a, b, imm)
    if ld64(data_entry(st, linear) + TLB_READ) == linear & PAGE_MASK:
        return OK
    linear = wrap(st, linear, hint(b))
    status = check_address(st, linear, 1, hint(b))
    if status != OK:
        return status
    return translate(st, linear, READ, rd64(st, TLB_SET))


@op("xlat_offset", *WIDE)
def xlat_offset(address: int) -> Handler:
    def xlat_offset(st: State, d: int, a: int, b: int, imm: int) -> int:
        wr64(st, OFFSET, truncate(read(st, RBX, address) + read(st, RAX, 8), address))
        return OK
    return xlat_offset
