"""What EVEX encoding adds to any vector operation (SDM Vol. 2A 2.7): masks, fault suppression, rounding modes.

An operation under a mask computes its result in a vector temporary, as if there were none; the micro-ops here take
from it what the mask lets through. Their operand B is the offset of the mask's 64 bits in the FPU file.

    loadm.N     N bytes to the FPU file; masked-off elements are not accessed. D: jit/semantics/wiring.py
    storem.N.E  the elements of E bytes that the mask selects to memory
    probev.N    whether N bytes may be written, whatever the mask
    mergeE.N    D's elements of E bytes from A where the mask says so, D cleared from byte N up
    zeroE.N     the same, other elements become 0
    merge_lowE.16, zero_lowE.16     the lowest element under mask bit 0, the rest of the 16 bytes from A
    neutralE.N  D = A with the immediate in the elements that are masked off, so that they raise no exception
    neutral_lowE.16     the same for the lowest element alone
    signsE.N    opmask register D = signs of A's elements, under the mask
    sign_lowE.16    the same for the lowest element alone
    fold_mask.N K8 = mask A for a memory operand of N elements that is repeated
    round_static, round_restore     MXCSR for one instruction without exceptions
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from jit.access import PAGE_MASK, data_entry, probe
from jit.exits import OK
from jit.fault import general_protection
from jit.fpu_layout import KEPT_MXCSR, MXCSR, OPMASK, TEMPORARY_MASK, opmask
from jit.layout import FPU, TLB_ADDEND, TLB_READ, TLB_WRITE
from jit.native import Handler, State, inline, ld64, memmove, rd64, shr
from jit.registry import op
from jit.semantics.operands import effective, hint
from jit.semantics.vector_move import clear_above, slow_loadv, slow_storev
from jit.semantics.wiring import ELEMENT_SHIFT, MASKED_ALIGNED, MASKED_OFFSET, OPMASK_NUMBER, OPMASK_SHIFT
from jit.vector import I1, I8, I16, I32, I64, Kernel, constant, define, vector
from jit.vector_access import MASK_FLAGS_SHIFT

ELEMENTS = {1: I8, 2: I16, 4: I32, 8: I64}
NARROW, WIDE = (2, 4, 8), (16, 32, 64)
ROUNDING_SHIFT, ROUNDING_CONTROL, ALL_MASKED, PRECISION_FLAG = 13, 3 << 13, 0x1F80, 0x20


def blend_memory(size: int, element: int) -> Any:
    """(to, from, mask): copy the elements that the mask selects, by one load and one store of the whole."""
    @intrinsic
    def blend(_: Any, to: Any, source: Any, mask: Any) -> Any:
        def gen(context: Any, b: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
            count = size // element
            kind = vector(ELEMENTS[element], count)
            at, origin = (b.inttoptr(args[n], kind.as_pointer()) for n in range(2))
            old, new = b.load(at), b.load(origin)
            old.align = new.align = 1
            chosen = b.bitcast(_bits(b, args[2], count), vector(I1, count))
            b.store(b.select(chosen, new, old), at).align = 1
            return context.get_dummy_value()
        return types.void(types.int64, types.int64, types.int64), gen
    return blend


def _bits(b: ir.IRBuilder, mask: ir.Value, count: int) -> ir.Value:
    return mask if count == 64 else b.trunc(mask, ir.IntType(count))


@inline
def selects(st: State, d: int, size: int) -> bool:
    """Whether the mask selects any of an operand's elements; if none, processors do not look at its alignment."""
    lanes = shr(size, shr(d, ELEMENT_SHIFT) & 3)
    mask = ld64(rd64(st, FPU) + OPMASK + ((shr(d, OPMASK_SHIFT) & OPMASK_NUMBER) << 3))
    return mask << (64 - lanes) != 0


@op("loadm", 1, 2, 4, 8, 16, 32, 64)
def load_masked(size: int) -> Handler:
    def load_masked(st: State, d: int, a: int, b: int, imm: int) -> int:
        linear = effective(st, a, b, imm)
        if d & MASKED_ALIGNED and linear & (size - 1) and selects(st, d, size):
            return general_protection(st, 0)
        to = rd64(st, FPU) + (d & MASKED_OFFSET)
        entry = data_entry(st, linear)
        if ld64(entry + TLB_READ) == (linear + (size - 1)) & PAGE_MASK:
            memmove(to, linear + ld64(entry + TLB_ADDEND), size)
            return OK
        return slow_loadv(st, linear, size | hint(b) | shr(d, OPMASK_SHIFT) << MASK_FLAGS_SHIFT, to)
    return load_masked


@op("storem", *((size, element) for size in (*NARROW, *WIDE) for element in ELEMENTS if element <= size))
def store_masked(size: int, element: int) -> Handler:
    blend = blend_memory(size, element)

    def store_masked(st: State, d: int, a: int, b: int, imm: int) -> int:
        linear = effective(st, a, b, imm)
        if d & MASKED_ALIGNED and linear & (size - 1) and selects(st, d, size):
            return general_protection(st, 0)
        fpu = rd64(st, FPU)
        origin = fpu + (d & MASKED_OFFSET)
        entry = data_entry(st, linear)
        if ld64(entry + TLB_WRITE) == (linear + (size - 1)) & PAGE_MASK:
            mask = ld64(fpu + OPMASK + ((shr(d, OPMASK_SHIFT) & OPMASK_NUMBER) << 3))
            blend(linear + ld64(entry + TLB_ADDEND), origin, mask)
            return OK
        return slow_storev(st, linear, size | hint(b) | shr(d, OPMASK_SHIFT) << MASK_FLAGS_SHIFT, origin)
    return store_masked


@op("probev", *WIDE)
def probe_vector(size: int) -> Handler:
    def probe_vector(st: State, d: int, a: int, b: int, imm: int) -> int:
        return probe(st, effective(st, a, b, imm), size, hint(b))
    return probe_vector


def mask_bits(k: Kernel, word: ir.Value, count: int) -> ir.Value:
    """The low bits of a mask as a vector of conditions."""
    return k.b.bitcast(_bits(k.b, k.scalar(word, I64), count), vector(I1, count))


def select(element: ir.IntType, zeroing: bool) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        x = k.load(k.a, element)
        other = constant(element, [0] * x.type.count) if zeroing else k.load(k.d, element)
        k.store(k.d, k.b.select(mask_bits(k, k.c, x.type.count), x, other))
        clear_above(k)
    return emit


def select_lowest(element: ir.IntType, zeroing: bool) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        x = k.load(k.a, element)
        other = element(0) if zeroing else k.scalar(k.d, element)
        bit = k.b.trunc(k.scalar(k.c, I64), I1)
        k.store(k.d, k.b.insert_element(x, k.b.select(bit, k.b.extract_element(x, I32(0)), other), I32(0)))
        clear_above(k)
    return emit


def fold_mask(k: Kernel) -> None:
    """K8: bit n says whether mask A selects an element whose number modulo the operation's width is n; of 64, mask A
    itself. The immediate has a one for each element."""
    value = k.b.and_(k.scalar(k.a, I64), k.imm)
    half = 32
    while half >= k.size:
        value = k.b.or_(value, k.b.lshr(value, I64(half)))
        half //= 2
    k.store_scalar(I64(opmask(TEMPORARY_MASK)), k.b.and_(value, I64((1 << k.size) - 1)))


def neutral(element: ir.IntType) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        x = k.load(k.a, element)
        value = k.imm if element is I64 else k.b.trunc(k.imm, element)
        k.store(k.d, k.b.select(mask_bits(k, k.c, x.type.count), x, k.splat(value, x.type.count)))
    return emit


def neutral_lowest(element: ir.IntType) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        x = k.load(k.a, element)
        value = k.imm if element is I64 else k.b.trunc(k.imm, element)
        bit = k.b.trunc(k.scalar(k.c, I64), I1)
        lowest = k.b.select(bit, k.b.extract_element(x, I32(0)), value)
        k.store(k.d, k.b.insert_element(x, lowest, I32(0)))
    return emit


def store_conditions(k: Kernel, conditions: ir.Value) -> None:
    """Opmask register D = a vector of conditions, under the mask at the immediate's offset; the other bits are 0."""
    whole = ir.IntType(conditions.type.count)
    bits = k.b.bitcast(conditions, whole)
    wide = bits if whole.width == 64 else k.b.zext(bits, I64)
    k.store_scalar(k.d, k.b.and_(wide, k.scalar(k.imm, I64)))


def signs(element: ir.IntType) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        x = k.load(k.a, element)
        k.imm = k.c
        store_conditions(k, k.b.icmp_signed("<", x, constant(element, [0] * x.type.count)))
    return emit


def sign_lowest(element: ir.IntType) -> Callable[[Kernel], None]:
    def emit(k: Kernel) -> None:
        negative = k.b.icmp_signed("<", k.scalar(k.a, element), element(0))
        k.store_scalar(k.d, k.b.and_(k.b.zext(negative, I64), k.scalar(k.c, I64)))
    return emit


def round_static(k: Kernel) -> None:
    """All exceptions masked; the rounding mode is the immediate's, or MXCSR's where that is negative. Setting PE lets
    the host's arithmetic serve (jit/semantics/vector_float.py); no flag outlasts the instruction."""
    b = k.b
    old = k.scalar(I64(MXCSR), I64)
    k.store_scalar(I64(KEPT_MXCSR), old)
    chosen = b.or_(b.and_(old, I64(~ROUNDING_CONTROL)), b.shl(k.imm, I64(ROUNDING_SHIFT)))
    mode = b.select(b.icmp_signed("<", k.imm, I64(0)), old, chosen)
    k.store_scalar(I64(MXCSR), b.or_(mode, I64(ALL_MASKED | PRECISION_FLAG)))


def round_restore(k: Kernel) -> None:
    k.store_scalar(I64(MXCSR), k.scalar(I64(KEPT_MXCSR), I64))


for _bytes, _type in ELEMENTS.items():
    define(f"merge{_bytes}", select(_type, zeroing=False), *NARROW, *WIDE)
    define(f"zero{_bytes}", select(_type, zeroing=True), *NARROW, *WIDE)
    define(f"merge_low{_bytes}", select_lowest(_type, zeroing=False), 16)
    define(f"zero_low{_bytes}", select_lowest(_type, zeroing=True), 16)
    define(f"neutral{_bytes}", neutral(_type), *WIDE)
    define(f"neutral_low{_bytes}", neutral_lowest(_type), 16)
    define(f"signs{_bytes}", signs(_type), *WIDE)
    define(f"sign_low{_bytes}", sign_lowest(_type), 16)
define("fold_mask", fold_mask, 1, 2, 4, 8, 64)
define("round_static", round_static, 8)
define("round_restore", round_restore, 8)
