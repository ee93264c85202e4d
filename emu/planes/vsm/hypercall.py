"""The hypercall interface: input value, checks in their order, parameters in memory or registers, repeated calls
(TLFS, "Hypercall interface")."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from emu.mem.ram import PAGE
from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError
from jit import layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.vsm.partition import Vp

RAX, RCX, RDX, RBX, RSI, RDI, R8 = (layout.gpr(n) for n in (0, 1, 2, 3, 6, 7, 8))
MASK32 = 0xFFFFFFFF
FAST, NESTED = 1 << 16, 1 << 31
RESERVED = 0xF << 27 | 0xF << 44 | 0xF << 60
FAST_BYTES, XMM_FAST_BYTES = 16, 112
UD = 6

Simple = Callable[["Caller", bytes], bytes]
Element = Callable[[bytes], bytes]
Repeated = Callable[["Caller", bytes], Element]


class Caller(NamedTuple):
    """Who makes a hypercall."""

    vp: Vp
    vtl: int


class Call(NamedTuple):
    """A hypercall: bytes of its input header, of an input and an output element (repeated calls), and what it does:
    a simple call takes its input and gives its output, a repeated one takes its header and gives what to do with each
    element. HvError ends the call."""

    name: str
    header: int
    element_in: int
    element_out: int
    simple: Simple | None
    repeated: Repeated | None
    may_be_fast: bool


CALLS: dict[int, Call] = {}


def simple_call(code: int, size: int, may_be_fast: bool = True) -> Callable[[Simple], Simple]:
    """Register a simple hypercall of `size` input bytes."""
    def register(function: Simple) -> Simple:
        CALLS[code] = Call(codes.NAMES[code], size, 0, 0, function, None, may_be_fast)
        return function
    return register


def repeated_call(code: int, header: int, element_in: int, element_out: int) -> Callable[[Repeated], Repeated]:
    """Register a repeated hypercall."""
    def register(function: Repeated) -> Repeated:
        CALLS[code] = Call(codes.NAMES[code], header, element_in, element_out, None, function, True)
        return function
    return register


class Input(NamedTuple):
    """The fields of the input value, and the two operands: addresses of input and output, or 16 bytes of input."""

    code: int
    fast: bool
    variable: int
    repetitions: int
    start: int
    reserved: bool
    first: int
    second: int


def read_input(plane: Plane) -> Input:
    """The registers of a hypercall: RCX, RDX, R8 in 64-bit mode, else EDX:EAX, EBX:ECX, EDI:ESI."""
    def pair(high: int, low: int) -> int:
        return (plane.get(high) & MASK32) << 32 | plane.get(low) & MASK32

    if is_wide(plane):
        value, first, second = plane.get(RCX), plane.get(RDX), plane.get(R8)
    else:
        value, first, second = pair(RDX, RAX), pair(RBX, RCX), pair(RDI, RSI)
    return Input(value & 0xFFFF, bool(value & FAST), value >> 17 & 0x3FF, value >> 32 & 0xFFF, value >> 48 & 0xFFF,
                 bool(value & (RESERVED | NESTED)), first, second)


def is_wide(plane: Plane) -> bool:
    """Whether the 64-bit convention applies."""
    return plane.get(layout.MODE) & 3 == layout.MODE_64


def execute(vp: Vp, plane: Plane) -> None:
    """Carry out the hypercall at which a plane stopped, and put its result into the result registers."""
    given = read_input(plane)
    call = CALLS.get(given.code)
    done = given.start
    try:
        if call is None:
            if given.code not in codes.NAMES:
                vp.partition.report(f"hypercall {given.code:#x}")
            raise HvError(codes.INVALID_HYPERCALL_CODE)
        check(vp, call, given)
        size = call.header + call.element_in * given.repetitions
        if given.fast and (size > FAST_BYTES or call.element_out):
            if size + call.element_out * given.repetitions > XMM_FAST_BYTES:
                raise HvError(codes.INVALID_HYPERCALL_INPUT)
            plane.raise_exception(UD)       # XMM fast calls are not announced
            return
        data = fetch(vp, given, size)
        if call.element_out and given.repetitions:
            check_block(vp, given.second, call.element_out * given.repetitions)
        caller = Caller(vp, vp.active)
        if call.simple is not None:
            call.simple(caller, data)
        elif call.repeated is not None and given.repetitions:
            operate = call.repeated(caller, data[:call.header])
            for done in range(given.start, given.repetitions):
                at = call.header + done * call.element_in
                answer = operate(data[at:at + call.element_in])
                if answer:
                    vp.partition.machine.dma_write(given.second + done * call.element_out, answer)
            done = given.repetitions
        status = codes.SUCCESS
    except HvError as error:
        status = error.status
    finish(plane, status | done << 32)


def check(vp: Vp, call: Call, given: Input) -> None:
    """The checks of the input value itself, in their order."""
    bad = given.reserved or given.variable
    if call.simple is not None:
        bad = bad or given.repetitions or given.start
    elif given.repetitions:
        bad = bad or given.start >= given.repetitions
    else:
        bad = bad or given.start or vp.partition.dialect == "ms"
    if bad or given.fast and not call.may_be_fast:
        raise HvError(codes.INVALID_HYPERCALL_INPUT)


def check_block(vp: Vp, gpa: int, size: int) -> None:
    """A parameter block lies on an 8-byte boundary within one page of RAM."""
    if gpa % 8 or gpa % PAGE + size > PAGE:
        raise HvError(codes.INVALID_ALIGNMENT)
    if not vp.partition.is_ram(gpa & -PAGE) or vp.partition.pages.enabled(gpa & -PAGE):
        raise HvError(codes.INVALID_HYPERCALL_INPUT)


def fetch(vp: Vp, given: Input, size: int) -> bytes:
    """The input, header and elements."""
    if given.fast:
        return (given.first | given.second << 64).to_bytes(FAST_BYTES, "little")[:size]
    check_block(vp, given.first, size)
    return vp.partition.machine.memory.read(given.first, size)


def finish(plane: Plane, result: int) -> None:
    """The instruction retires with its result."""
    if is_wide(plane):
        plane.set(RAX, result)
    else:
        plane.set(RAX, result & MASK32)
        plane.set(RDX, result >> 32)
    plane.retire()
