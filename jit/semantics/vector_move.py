"""Moves between guest memory and the FPU file, and the check at the start of every vector instruction.

    loadv.N   N bytes to the FPU file, nothing else changed; loadv.N.a faults where the address is not aligned
    loadz.N   N bytes, zero-extended to 16
    storev.N  N bytes of the FPU file to memory
    vzero.N   clear a vector register from byte N up (VEX-encoded instructions; SDM Vol. 2A 2.3.10.1)
"""

from collections.abc import Callable

from numba import types

from jit.access import PAGE_MASK, data_entry
from jit.exits import OK
from jit.fault import NM, fault, general_protection, undefined_opcode
from jit.fpu_layout import VECTOR_BYTES, xmm
from jit.layout import FPU, TLB_ADDEND, TLB_READ, TLB_WRITE, VECTOR_GATE
from jit.native import Handler, State, ld64, memmove, memset, rd64
from jit.registry import op
from jit.semantics.operands import effective, hint
from jit.semantics.wiring import SWITCHED
from jit.vector import I8, I16, I32, I64, Kernel, constant, define

_ACCESS = types.int64(types.voidptr, types.int64, types.int64, types.int64)
slow_loadv = types.ExternalFunction("strata_slow_loadv", _ACCESS)       # jit/vector_access.py
slow_storev = types.ExternalFunction("strata_slow_storev", _ACCESS)
ALIGNED = ((16, "a"), (32, "a"), (64, "a"))
SIZES = (1, 2, 4, 8, 16, 32, 64, *ALIGNED)


@op("check_vector")
def check_vector(st: State, d: int, a: int, b: int, imm: int) -> int:
    """#UD if a reason of the mask `imm` (jit/vector_gate.py) holds, else #NM if CR0.TS is set."""
    gate = rd64(st, VECTOR_GATE)
    if gate & imm == 0 and gate & SWITCHED == 0:
        return OK
    return undefined_opcode(st) if gate & imm else fault(st, NM)


@op("loadv", *SIZES)
def load_vector(size: int, aligned: str = '') -> Handler:
    misaligned = size - 1 if aligned else 0

    def load_vector(st: State, d: int, a: int, b: int, imm: int) -> int:
        linear = effective(st, a, b, imm)
        if linear & misaligned:
            return general_protection(st, 0)
        entry = data_entry(st, linear)
        if ld64(entry + TLB_READ) == (linear + (size - 1)) & PAGE_MASK:
            memmove(rd64(st, FPU) + d, linear + ld64(entry + TLB_ADDEND), size)
            return OK
        return slow_loadv(st, linear, size | hint(b), rd64(st, FPU) + d)
    return load_vector


@op("loadz", 1, 2, 4, 8)
def load_zero_extended(size: int) -> Handler:
    def load_zero_extended(st: State, d: int, a: int, b: int, imm: int) -> int:
        linear = effective(st, a, b, imm)
        entry = data_entry(st, linear)
        to = rd64(st, FPU) + d
        if ld64(entry + TLB_READ) == (linear + (size - 1)) & PAGE_MASK:
            memmove(to, linear + ld64(entry + TLB_ADDEND), size)
            memset(to + size, 0, 16 - size)
            return OK
        status = slow_loadv(st, linear, size | hint(b), to)
        if status == OK:
            memset(to + size, 0, 16 - size)
        return status
    return load_zero_extended


@op("storev", *SIZES)
def store_vector(size: int, aligned: str = '') -> Handler:
    misaligned = size - 1 if aligned else 0

    def store_vector(st: State, d: int, a: int, b: int, imm: int) -> int:
        linear = effective(st, a, b, imm)
        if linear & misaligned:
            return general_protection(st, 0)
        entry = data_entry(st, linear)
        if ld64(entry + TLB_WRITE) == (linear + (size - 1)) & PAGE_MASK:
            memmove(linear + ld64(entry + TLB_ADDEND), rd64(st, FPU) + d, size)
            return OK
        return slow_storev(st, linear, size | hint(b), rd64(st, FPU) + d)
    return store_vector


@op("clear_line")
def clear_line(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Zeros to the line of 64 bytes in which an address lies; `d`: room for them in the FPU file."""
    linear, zeros = effective(st, a, b, imm) & -64, rd64(st, FPU) + d
    memset(zeros, 0, 64)
    return slow_storev(st, linear, 64 | hint(b), zeros)


def _move(k: Kernel) -> None:
    """Copy the operation's width."""
    k.store(k.d, k.load(k.a, I8))


def clear_above(k: Kernel) -> None:
    """Clear the destination from the operation's width up (SDM Vol. 2A 2.3.10.1, 2.7.4)."""
    if k.size < 16:
        k.store(k.b.add(k.d, I64(k.size)), constant(I8, [0] * (16 - k.size)))
    for at in range(max(k.size, 16), VECTOR_BYTES, 16):
        k.store(k.b.add(k.d, I64(at)), constant(I8, [0] * 16))


def _move_zero_extended(k: Kernel) -> None:
    """Copy an element to the bottom of an XMM register and clear the rest of that."""
    element = {4: I32, 8: I64}[k.size]
    value = k.scalar(k.a, element)
    k.store(k.d, constant(I8, [0] * 16))
    k.store_scalar(k.d, value)


def _from_register(k: Kernel) -> None:
    """MOVD, MOVQ: a general register, zero-extended to 16 bytes."""
    element = {4: I32, 8: I64}[k.size]
    value = k.register(k.a, element)
    k.store(k.d, constant(I8, [0] * 16))
    k.store_scalar(k.d, value)


def _to_register(k: Kernel) -> None:
    """An element of the FPU file, zero-extended to a 64-bit slot."""
    element = {1: I8, 2: I16, 4: I32, 8: I64}[k.size]
    value = k.scalar(k.a, element)
    k.set_register(k.d, value if k.size == 8 else k.b.zext(value, I64))


def _insert_register(k: Kernel) -> None:
    """A general register's low bytes to a place of the FPU file."""
    element = {1: I8, 2: I16, 4: I32, 8: I64}[k.size]
    k.store_scalar(k.d, k.register(k.a, element))


def _mmx_from_register(k: Kernel) -> None:
    """MOVD, MOVQ, KMOV to an MMX or opmask register: a general register, zero-extended to 8 bytes."""
    value = k.register(k.a, {1: I8, 2: I16, 4: I32, 8: I64}[k.size])
    k.store_scalar(k.d, value if k.size == 8 else k.b.zext(value, I64))


def _zero_registers(first: int) -> Callable[[Kernel], None]:
    """VZEROUPPER, VZEROALL: as many registers as `size` says, from byte `first` up."""
    def emit(k: Kernel) -> None:
        for number in range(k.size):
            for at in range(first, VECTOR_BYTES, 16):
                k.store(I64(xmm(number) + at), constant(I8, [0] * 16))
    return emit


define("vzeroupper", _zero_registers(16), 8, 16)
define("vzeroall", _zero_registers(0), 8, 16)
define("mmx_from_gpr", _mmx_from_register, 1, 2, 4, 8)
define("movv", _move, 2, 4, 8, 16, 32, 64)
define("vzero", clear_above, 2, 4, 8, 16, 32)
define("movz", _move_zero_extended, 4, 8)
define("gpr_to_vector", _from_register, 4, 8)
define("vector_to_gpr", _to_register, 1, 2, 4, 8)
define("gpr_to_element", _insert_register, 1, 2, 4, 8)
