"""Port input and output (SDM Vol. 2: IN, OUT, INS, OUTS; Vol. 1 chapter 19): permission by IOPL or the TSS's bitmap.

The string forms do one element; under REP each iteration is an instruction that branches to itself.
"""

from numba import types

from jit.access import load, probe, slow_load, store
from jit.eflags import io_privilege
from jit.exits import IO_PORT_READ, IO_PORT_WRITE, OK, TAKEN
from jit.fault import general_protection
from jit.flags import DF, VM
from jit.layout import (
    CPL,
    CR0,
    ES,
    MODE,
    MODE_64,
    RFL,
    SEG_ATTR,
    SEG_BASE,
    SEG_LIMIT,
    SLOW_VALUE,
    TR,
    gpr,
    seg,
)
from jit.mode import CR0_PE
from jit.native import Handler, State, inline, rd16, rd64, shr, ult
from jit.registry import REP, op
from jit.semantics.operands import read, truncate, write
from jit.semantics.segmentation import READ, WRITE, linear_address
from jit.slow import SUPERVISOR, device
from jit.watch import note_port

RAX, RCX, RDX, RSI, RDI = gpr(0), gpr(1), gpr(2), gpr(6), gpr(7)
IO_MAP_BASE = 0x66
SIZES = (8, 16, 32)
STRINGS = tuple((w, a) for w in SIZES for a in (16, 32, 64))
REPEAT = 8                  # bit of operand word B of a string form: it has a REP prefix; bits 2:0: segment of OUTS

_bitmap = types.ExternalFunction("strata_io_bitmap", types.int64(types.voidptr, types.int64, types.int64))


def io_bitmap(st: State, port: int, size: int) -> int:
    """Whether the TSS's I/O permission bitmap allows `size` bytes at a port: OK or #GP(0) (SDM Vol. 1 19.5.2)."""
    base, limit = rd64(st, seg(TR, SEG_BASE)), rd64(st, seg(TR, SEG_LIMIT))
    if rd64(st, seg(TR, SEG_ATTR)) & 0x9D != 0x89 or ult(limit, IO_MAP_BASE + 1):
        return general_protection(st, 0)
    status = slow_load(st, base + IO_MAP_BASE, 2 | SUPERVISOR)
    if status != OK:
        return status
    at = rd64(st, SLOW_VALUE) + shr(port, 3)
    if ult(limit, at + 1):
        return general_protection(st, 0)
    status = slow_load(st, base + at, 2 | SUPERVISOR)
    if status != OK:
        return status
    if shr(rd64(st, SLOW_VALUE), port & 7) & ((1 << size) - 1):
        return general_protection(st, 0)
    return OK


@inline
def check_port(st: State, port: int, size: int) -> int:
    """Whether the I/O may be done: OK or FAULT."""
    if rd64(st, CR0) & CR0_PE and (rd64(st, CPL) > io_privilege(st) or rd64(st, RFL) & VM):
        return _bitmap(st, port, size)
    return OK


@op("in", *SIZES)
def port_in(width: int) -> Handler:
    """Port: slot a + imm."""
    size = width // 8

    def port_in(st: State, d: int, a: int, b: int, imm: int) -> int:
        port = rd16(st, a) + imm
        status = check_port(st, port, size)
        if status == OK:
            status = note_port(st, port, size)
        if status == OK:
            status = device(st, IO_PORT_READ, port, size, 0)
        if status == OK:
            write(st, RAX, width, rd64(st, SLOW_VALUE))
        return status
    return port_in


@op("out", *SIZES)
def port_out(width: int) -> Handler:
    size = width // 8

    def port_out(st: State, d: int, a: int, b: int, imm: int) -> int:
        port = rd16(st, a) + imm
        status = check_port(st, port, size)
        if status == OK:
            status = note_port(st, port, size)
        if status == OK:
            status = device(st, IO_PORT_WRITE, port, size, read(st, RAX, width))
        return status
    return port_out


@inline
def string_linear(st: State, segment: int, offset: int, size: int, access: int) -> tuple[int, int]:
    """(linear address, status) of a string operand."""
    if rd64(st, MODE) & 3 == MODE_64:
        return rd64(st, seg(0, SEG_BASE) + 32 * segment) * (segment > 3) + offset, OK
    return linear_address(st, segment, offset, size, access)


@inline
def advance(st: State, register: int, size: int, bits: int) -> None:
    step = -size if rd64(st, RFL) & DF else size
    write(st, register, bits, read(st, register, bits) + step)


@inline
def count_down(st: State, b: int, bits: int) -> int:
    """After an element: TAKEN when another iteration may follow."""
    if b & REPEAT == 0:
        return OK
    left = truncate(read(st, RCX, bits) - 1, bits)
    write(st, RCX, bits, left)
    return TAKEN if left != 0 else OK


@op("ins", *STRINGS, kind=REP)
def ins(width: int, bits: int) -> Handler:
    size = width // 8

    def ins(st: State, d: int, a: int, b: int, imm: int) -> int:
        port = rd16(st, RDX)
        status = check_port(st, port, size)         # also where nothing is left to do
        if status != OK or b & REPEAT and read(st, RCX, bits) == 0:
            return status
        linear, status = string_linear(st, ES, read(st, RDI, bits), size, WRITE)
        if status == OK:
            status = probe(st, linear, size, 0)
        if status == OK:
            status = note_port(st, port, size)
        if status == OK:
            status = device(st, IO_PORT_READ, port, size, 0)
        if status == OK:
            status = store(st, linear, size, 0, rd64(st, SLOW_VALUE))
        if status != OK:
            return status
        advance(st, RDI, size, bits)
        return count_down(st, b, bits)
    return ins


@op("outs", *STRINGS, kind=REP)
def outs(width: int, bits: int) -> Handler:
    size = width // 8

    def outs(st: State, d: int, a: int, b: int, imm: int) -> int:
        port = rd16(st, RDX)
        status = check_port(st, port, size)         # also where nothing is left to do
        if status != OK or b & REPEAT and read(st, RCX, bits) == 0:
            return status
        linear, status = string_linear(st, b & 7, read(st, RSI, bits), size, READ)
        if status != OK:
            return status
        value, status = load(st, linear, size, 0)
        if status == OK:
            status = note_port(st, port, size)
        if status == OK:
            status = device(st, IO_PORT_WRITE, port, size, value)
        if status != OK:
            return status
        advance(st, RSI, size, bits)
        return count_down(st, b, bits)
    return outs
