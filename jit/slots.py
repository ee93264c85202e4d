"""Calling a runtime function through its slot (jit/run_slots.py), so that it is compiled when it is first needed."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from jit import exits
from jit.layout import ARG, IO_VALUE, RUNTIME
from jit.native import State, inline, ld64, rd64, wr64


@intrinsic
def call_runtime(_: Any, code: Any, state: Any) -> Any:
    """Call a runtime function of the state alone."""
    def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        kind = ir.FunctionType(ir.IntType(64), [ir.IntType(8).as_pointer()]).as_pointer()
        return b.call(b.inttoptr(args[0], kind), [args[1]])
    return types.int64(types.int64, types.voidptr), gen


@inline
def call_slot(st: State, slot: int) -> int:
    """Call a runtime function through its slot: RUNTIME when it is not compiled yet, or what it returned."""
    code = ld64(rd64(st, RUNTIME) + (slot << 3))
    if code == 0:
        wr64(st, IO_VALUE, slot)
        return exits.RUNTIME
    return call_runtime(code, st)


@inline
def call_with(st: State, slot: int, first: int, second: int, third: int) -> int:
    """The same with operands in ARG."""
    wr64(st, ARG, first)
    wr64(st, ARG + 8, second)
    wr64(st, ARG + 16, third)
    return call_slot(st, slot)
