"""The hypercall interface: input value, checks in their order, repeated calls (TLFS, "Hypercall interface").

Where parameters are is the business of emu/planes/vsm/parameters.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from emu.planes.vsm import codes, parameters
from emu.planes.vsm.codes import HvError, Retry
from emu.planes.vsm.parameters import MASK32, RAX, RCX, RDX, Parameters, is_wide
from jit import layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.vsm.vp import Vp

RBX, RSI, RDI, R8 = (layout.gpr(n) for n in (3, 6, 7, 8))
FAST, NESTED = 1 << 16, 1 << 31
RESERVED = 0xF << 27 | 0xF << 44 | 0xF << 60

Simple = Callable[["Caller", bytes], bytes]
Element = Callable[[bytes], bytes]
Repeated = Callable[["Caller", bytes], Element]
Variable = Callable[[bytes], int]


class Caller(NamedTuple):
    """Who makes a hypercall."""

    vp: Vp
    vtl: int


class Call(NamedTuple):
    """A hypercall: bytes of its input header, of the output of a simple call, of an input and an output element of a
    repeated one, and what it does: a simple call takes its input and gives its output, a repeated one takes its header
    and gives what to do with each element. `variable` gives the bytes that follow the header, which it is shown.
    HvError ends the call."""

    name: str
    header: int
    output: int = 0
    element_in: int = 0
    element_out: int = 0
    simple: Simple | None = None
    repeated: Repeated | None = None
    may_be_fast: bool = True
    variable: Variable | None = None


CALLS: dict[int, Call] = {}


def simple_call(code: int, size: int, output: int = 0, may_be_fast: bool = True,
                variable: Variable | None = None) -> Callable[[Simple], Simple]:
    """Register a simple hypercall of `size` input and `output` output bytes."""
    def register(function: Simple) -> Simple:
        CALLS[code] = Call(codes.NAMES[code], size, output, simple=function, may_be_fast=may_be_fast, variable=variable)
        return function
    return register


def repeated_call(code: int, header: int, element_in: int, element_out: int,
                  variable: Variable | None = None) -> Callable[[Repeated], Repeated]:
    """Register a repeated hypercall."""
    def register(function: Repeated) -> Repeated:
        CALLS[code] = Call(codes.NAMES[code], header, 0, element_in, element_out, repeated=function, variable=variable)
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


def execute(vp: Vp, plane: Plane) -> None:
    """Carry out the hypercall at which a plane stopped, and put its result into the result registers."""
    given = read_input(plane)
    vp.partition.note_hypercall(given.code)
    done = given.start
    status = codes.SUCCESS
    try:
        call = find(vp, given)
        check(vp, call, given)
        data = parameters.locate(vp, plane, given.fast, given.first, given.second)
        header = data.read(0, call.header)
        extra = call.variable(header) if call.variable else 0
        header = data.read(0, call.header + extra)
        output = call.output + call.element_out * given.repetitions
        data.reserve(len(header) + call.element_in * given.repetitions, output)
        caller = Caller(vp, vp.active)
        if call.simple is not None:
            data.write(0, call.simple(caller, header))
        elif call.repeated is not None and given.repetitions:
            operate = call.repeated(caller, header)
            for done in range(given.start, given.repetitions):
                answer = operate(data.read(len(header) + done * call.element_in, call.element_in))
                data.write(done * call.element_out, answer)
            done = given.repetitions
    except HvError as error:
        status = error.status
    except Retry:
        return
    finish(plane, status | done << 32)


def find(vp: Vp, given: Input) -> Call:
    """The call that a code names. HvError: there is none."""
    call = CALLS.get(given.code)
    if call is None:
        vp.partition.report(f"hypercall {given.code:#x}")
        raise HvError(codes.INVALID_HYPERCALL_CODE)
    return call


def check(vp: Vp, call: Call, given: Input) -> None:
    """The checks of the input value itself, in their order."""
    bad = given.reserved or bool(given.variable) and call.variable is None
    if call.simple is not None:
        bad = bad or given.repetitions != 0 or given.start != 0
    elif given.repetitions:
        bad = bad or given.start >= given.repetitions
    else:
        bad = bad or given.start != 0 or not vp.partition.dialect.empty_repetition
    if bad or given.fast and not call.may_be_fast:
        raise HvError(codes.INVALID_HYPERCALL_INPUT)


def finish(plane: Plane, result: int) -> None:
    """The instruction retires with its result."""
    if is_wide(plane):
        plane.set(RAX, result)
    else:
        plane.set(RAX, result & MASK32)
        plane.set(RDX, result >> 32)
    plane.retire()


__all__ = ["CALLS", "Caller", "Element", "Parameters", "execute", "repeated_call", "simple_call"]
