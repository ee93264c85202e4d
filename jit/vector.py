"""Handlers of vector micro-ops, written over LLVM vector types.

Packed operations need none of numba: `VectorHandler` builds a handler's LLVM function directly, from a function that is
given a `Kernel`: the IR builder, the operand words (offsets into the FPU file, jit/fpu_layout.py) and ways to load and
store vectors. LLVM lowers the generic vectors to what the host has, so that blocks run them as host SIMD and nothing
depends on an extension of the host's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from jit import layout
from jit.exits import OK
from jit.registry import PLAIN, add

I1, I8, I16, I32, I64, I128 = (ir.IntType(n) for n in (1, 8, 16, 32, 64, 128))
F32, F64 = ir.FloatType(), ir.DoubleType()
PTR = I8.as_pointer()
HANDLER_TYPE = ir.FunctionType(I64, [PTR, I64, I64, I64, I64])
_BITS = {F32: 32, F64: 64}
Emit = Callable[["Kernel"], None]


def bits_of(element: ir.Type) -> int:
    """Width of an element type."""
    return _BITS[element] if element in (F32, F64) else element.width


def vector(element: ir.Type, count: int) -> ir.VectorType:
    return ir.VectorType(element, count)


def constant(element: ir.Type, values: list[int]) -> ir.Constant:
    """A vector constant."""
    return ir.Constant(vector(element, len(values)), values)


class Kernel:
    """A handler under construction. `d`, `a`, `c` are the operand words D, A and B, `imm` the immediate, as i64;
    `size` is the width of the operation in bytes."""

    def __init__(self, symbol: str, size: int) -> None:
        self.size = size
        self.module = ir.Module(name=symbol)
        self.function = ir.Function(self.module, HANDLER_TYPE, name=symbol)
        self.state, self.d, self.a, self.c, self.imm = self.function.args
        self.b = ir.IRBuilder(self.function.append_basic_block())
        self.fpu = self._field(layout.FPU)

    # --- memory -------------------------------------------------------------------------------------------------------

    def _field(self, offset: int) -> ir.Value:
        address = self.b.gep(self.state, [I64(offset)])
        return self.b.load(self.b.bitcast(address, I64.as_pointer()))

    def pointer(self, word: ir.Value, kind: ir.Type, offset: int = 0) -> ir.Value:
        """Pointer to a place in the FPU file."""
        address = self.b.add(self.b.add(self.fpu, word), I64(offset))
        return self.b.inttoptr(address, kind.as_pointer())

    def load(self, word: ir.Value, element: ir.Type, count: int = 0) -> ir.Value:
        """A vector of the FPU file: `count` elements, or as many as fill the operation's width."""
        count = count or self.size * 8 // bits_of(element)
        value = self.b.load(self.pointer(word, vector(element, count)))
        value.align = 8
        return value

    def store(self, word: ir.Value, value: ir.Value) -> None:
        self.b.store(value, self.pointer(word, value.type)).align = 8

    def scalar(self, word: ir.Value, element: ir.Type, offset: int = 0) -> ir.Value:
        """One element of the FPU file."""
        value = self.b.load(self.pointer(word, element, offset))
        value.align = 1
        return value

    def store_scalar(self, word: ir.Value, value: ir.Value, offset: int = 0) -> None:
        self.b.store(value, self.pointer(word, value.type, offset)).align = 1

    def register(self, word: ir.Value, element: ir.IntType = I64) -> ir.Value:
        """A general register or temporary of the plane's state."""
        return self.b.load(self.b.bitcast(self.b.gep(self.state, [word]), element.as_pointer()))

    def set_register(self, word: ir.Value, value: ir.Value) -> None:
        """Write a 64-bit slot of the plane's state."""
        self.b.store(value, self.b.bitcast(self.b.gep(self.state, [word]), I64.as_pointer()))

    # --- values -------------------------------------------------------------------------------------------------------

    def splat(self, value: ir.Value, count: int) -> ir.Value:
        """A vector whose elements are all `value`."""
        kind = vector(value.type, count)
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
        return self.b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), constant(I32, [0] * count))

    def shuffle(self, x: ir.Value, y: ir.Value, order: list[int]) -> ir.Value:
        """Elements of x, then of y, by number."""
        return self.b.shuffle_vector(x, y, constant(I32, order))

    def call(self, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
        """Call an LLVM intrinsic (overloaded on its result) or another function."""
        kind = ir.FunctionType(result, [value.type for value in arguments])
        function = self.module.globals.get(name) or ir.Function(self.module, kind, name=name)
        return self.b.call(function, arguments)

    def intrinsic(self, name: str, *arguments: ir.Value) -> ir.Value:
        """Call an LLVM intrinsic on vectors of one type."""
        kind = arguments[0].type
        suffix = f"v{kind.count}{_letter(kind.element)}" if isinstance(kind, ir.VectorType) else _letter(kind)
        return self.call(f"llvm.{name}.{suffix}", kind, *arguments)

    @property
    def lanes(self) -> int:
        """Number of 128-bit lanes, at least one."""
        return max(1, self.size // 16)


def _letter(element: ir.Type) -> str:
    return f"f{bits_of(element)}" if element in (F32, F64) else f"i{element.width}"


class VectorHandler:
    """What a vector micro-op's `build` gives in place of a Python function."""

    def __init__(self, emit: Emit, size: int) -> None:
        self.emit, self.size = emit, size

    def text(self, symbol: str) -> str:
        """The handler's LLVM module."""
        kernel = Kernel(symbol, self.size)
        self.emit(kernel)
        if not kernel.b.block.is_terminated:
            kernel.b.ret(I64(OK))
        return str(kernel.module)


def define(name: str, emit: Emit, *sizes: int) -> None:
    """Register the micro-op `name.size` for each width in bytes."""
    for size in sizes:
        add(f"{name}.{size}", PLAIN, partial(VectorHandler, emit, size))
