"""The few primitives under all semantics: state and memory access, and unsigned views of 64-bit integers.

All values are `int64`: arithmetic wraps, and the functions here give the unsigned readings (SDM semantics are
width-exact, so every caller narrows explicitly). State is reached by pointer and offset so that LLVM can keep guest
registers in host registers; guest RAM by host addresses that only a TLB hit produces, never assumed aligned.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.cpython import numbers as numba_numbers
from numba.extending import intrinsic, register_jitable

from jit import layout
from jit.linkable import linkable

# Guest arithmetic wraps; numba would otherwise mark signed sums `nsw` and LLVM would assume that they never do.
assert hasattr(numba_numbers, "_int_arith_flags"), "this numba spells its overflow flags differently"
numba_numbers._int_arith_flags = lambda result_type: []

I64 = ir.IntType(64)


class State:
    """What `st` is in semantics: a pointer to a register file (jit/layout.py), which only these primitives follow."""


Handler = Callable[..., Any]            # what a factory of micro-ops returns (jit/registry.py), or is parametrised by


def inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """A numba function that other semantics call; LLVM inlines it.

    It is typed once, for int64: numba would otherwise compile it anew for each literal that a caller passes.
    """
    dispatcher = linkable(function)
    resolve = dispatcher.get_call_template
    dispatcher.get_call_template = lambda args, kws: resolve([types.unliteral(a) for a in args], kws)
    return dispatcher



register_jitable(layout.seg)                                    # compiled code may compute offsets by these
register_jitable(layout.gpr)


def _state_address(builder: ir.IRBuilder, args: list[ir.Value], bits: int) -> ir.Value:
    return builder.bitcast(builder.gep(args[0], [args[1]]), ir.IntType(bits).as_pointer())


def _state_read(bits: int, signed: bool = False) -> Any:
    @intrinsic
    def read(_: Any, state: Any, offset: Any) -> Any:
        def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
            value = b.load(_state_address(b, args, bits))
            return value if bits == 64 else (b.sext if signed else b.zext)(value, I64)
        return types.int64(types.voidptr, types.int64), gen
    return read


def _state_write(bits: int) -> Any:
    @intrinsic
    def write(_: Any, state: Any, offset: Any, value: Any) -> Any:
        def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
            narrow = args[2] if bits == 64 else b.trunc(args[2], ir.IntType(bits))
            b.store(narrow, _state_address(b, args, bits))
            return context.get_dummy_value()
        return types.void(types.voidptr, types.int64, types.int64), gen
    return write


def _memory_read(bits: int) -> Any:
    @intrinsic
    def load(_: Any, address: Any) -> Any:
        def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
            value = b.load(b.inttoptr(args[0], ir.IntType(bits).as_pointer()))
            value.align = 1
            return value if bits == 64 else b.zext(value, I64)
        return types.int64(types.int64), gen
    return load


def _memory_write(bits: int) -> Any:
    @intrinsic
    def store(_: Any, address: Any, value: Any) -> Any:
        def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
            narrow = args[1] if bits == 64 else b.trunc(args[1], ir.IntType(bits))
            b.store(narrow, b.inttoptr(args[0], ir.IntType(bits).as_pointer())).align = 1
            return context.get_dummy_value()
        return types.void(types.int64, types.int64), gen
    return store


def _binary(emit: Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value], result: Any = types.int64) -> Any:
    @intrinsic
    def operation(_: Any, a: Any, b: Any) -> Any:
        def gen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
            return emit(builder, args[0], args[1])
        return result(types.int64, types.int64), gen
    return operation


def _unary(emit: Callable[[ir.IRBuilder, ir.Value], ir.Value]) -> Any:
    @intrinsic
    def operation(_: Any, a: Any) -> Any:
        def gen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
            return emit(builder, args[0])
        return types.int64(types.int64), gen
    return operation


rd8, rd16, rd32, rd64 = (_state_read(n) for n in (8, 16, 32, 64))
wr8, wr16, wr32, wr64 = (_state_write(n) for n in (8, 16, 32, 64))
ld8, ld16, ld32, ld64 = (_memory_read(n) for n in (8, 16, 32, 64))
st8, st16, st32, st64 = (_memory_write(n) for n in (8, 16, 32, 64))

shr = _binary(lambda b, x, n: b.lshr(x, n))                     # logical shift right, 0 <= n <= 63
ult = _binary(lambda b, x, y: b.icmp_unsigned("<", x, y), types.boolean)
ule = _binary(lambda b, x, y: b.icmp_unsigned("<=", x, y), types.boolean)
udiv = _binary(lambda b, x, y: b.udiv(x, y))                    # y != 0
urem = _binary(lambda b, x, y: b.urem(x, y))
ctpop = _unary(lambda b, x: b.ctpop(x))
ctlz = _unary(lambda b, x: b.ctlz(x, ir.Constant(ir.IntType(1), 0)))    # 64 for 0
cttz = _unary(lambda b, x: b.cttz(x, ir.Constant(ir.IntType(1), 0)))
bswap = _unary(lambda b, x: b.bswap(x))


def _sign_extension(bits: int) -> Any:
    return _unary(lambda b, x: b.sext(b.trunc(x, ir.IntType(bits)), I64))


sx8, sx16, sx32 = (_sign_extension(n) for n in (8, 16, 32))


def _high(signed: bool) -> Any:
    wide = ir.IntType(128)

    def emit(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
        extend = b.sext if signed else b.zext
        return b.trunc(b.lshr(b.mul(extend(x, wide), extend(y, wide)), wide(64)), I64)
    return _binary(emit)


umulh, smulh = _high(False), _high(True)                        # upper half of the 128-bit product


@intrinsic
def memmove(_: Any, to: Any, source: Any, size: Any) -> Any:
    """Copy `size` bytes of host memory; the areas may overlap."""
    def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        pointer = ir.IntType(8).as_pointer()
        copy = b.module.declare_intrinsic("llvm.memmove", [pointer, pointer, I64])
        plain = ir.Constant(ir.IntType(1), 0)
        b.call(copy, [b.inttoptr(args[0], pointer), b.inttoptr(args[1], pointer), args[2], plain])
        return context.get_dummy_value()
    return types.void(types.int64, types.int64, types.int64), gen


@intrinsic
def memset(_: Any, to: Any, value: Any, size: Any) -> Any:
    """Fill `size` bytes of host memory with the low byte of `value`."""
    def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        byte = ir.IntType(8)
        fill = b.module.declare_intrinsic("llvm.memset", [byte.as_pointer(), I64])
        b.call(fill, [b.inttoptr(args[0], byte.as_pointer()), b.trunc(args[1], byte), args[2],
                      ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()
    return types.void(types.int64, types.int64, types.int64), gen


@intrinsic
def address_of(_: Any, state: Any) -> Any:
    """The state pointer as an integer."""
    def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        return b.ptrtoint(args[0], I64)
    return types.int64(types.voidptr), gen


@intrinsic
def state_at(_: Any, address: Any) -> Any:
    """A state pointer from its address."""
    def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        return b.inttoptr(args[0], ir.IntType(8).as_pointer())
    return types.voidptr(types.int64), gen


def table(values: tuple[int, ...]) -> Any:
    """A function `(index) -> value` of constants. Numba's own tuples check the index, and would raise."""
    @intrinsic
    def lookup(_: Any, index: Any) -> Any:
        def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
            kind = ir.ArrayType(I64, len(values))
            data = ir.GlobalVariable(b.module, kind, b.module.get_unique_name("table"))
            data.linkage, data.global_constant, data.initializer = "internal", True, ir.Constant(kind, values)
            return b.load(b.gep(data, [I64(0), args[0]]))
        return types.int64(types.int64), gen
    return lookup
