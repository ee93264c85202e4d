"""Stack frames and register blocks (SDM Vol. 2: ENTER, LEAVE, PUSHA, POPA) and BOUND."""

from jit.access import load, probe, store
from jit.exits import OK
from jit.fault import BR, fault
from jit.flags import sign_extend
from jit.layout import gpr
from jit.native import Handler, State, inline, rd64, shr
from jit.registry import op
from jit.semantics.operands import WIDE, read, write
from jit.semantics.segmentation import READ, WRITE
from jit.semantics.stacking import peek, push_value, set_stack_pointer, stack_linear, stack_pointer
from jit.slow import STACK

RBP, RSP, RAX = gpr(5), gpr(4), gpr(0)
SIZES = tuple((w, s) for w in WIDE for s in WIDE)


@inline
def may_write(st: State, pointer: int, size: int, stack: int) -> int:
    """Status of asking whether `size` bytes at a stack pointer value can be written."""
    linear, status = stack_linear(st, pointer, size, WRITE, stack)
    if status != OK:
        return status
    return probe(st, linear, size, STACK)


@inline
def read_at(st: State, pointer: int, size: int, stack: int) -> tuple[int, int]:
    linear, status = stack_linear(st, pointer, size, READ, stack)
    if status != OK:
        return 0, status
    return load(st, linear, size, STACK)


@inline
def write_at(st: State, pointer: int, size: int, stack: int, value: int) -> int:
    linear, status = stack_linear(st, pointer, size, WRITE, stack)
    if status != OK:
        return status
    return store(st, linear, size, STACK, value)


@op("enter", *SIZES)
def enter(width: int, stack: int) -> Handler:
    """`imm`: bytes of locals in bits 15:0, nesting level in bits 23:16, of which 5 bits count."""
    size = width // 8

    def enter(st: State, d: int, a: int, b: int, imm: int) -> int:
        level = shr(imm, 16) & 31
        old, top = read(st, RBP, stack), stack_pointer(st, stack)
        status = may_write(st, top - size, size, stack)         # everything that can fault comes first, in order
        if status != OK:
            return status
        for i in range(1, level):
            _, status = read_at(st, old - i * size, size, stack)
            if status != OK:
                return status
            status = may_write(st, top - (i + 1) * size, size, stack)
            if status != OK:
                return status
        if level:
            status = may_write(st, top - (level + 1) * size, size, stack)
            if status != OK:
                return status
        frame = top - size
        final = frame - level * size - (imm & 0xFFFF)
        status = may_write(st, final, size, stack)
        if status != OK:
            return status
        status = write_at(st, frame, size, stack, read(st, RBP, width))
        if status != OK:
            return status
        for i in range(1, level):
            value, status = read_at(st, old - i * size, size, stack)
            if status != OK:
                return status
            status = write_at(st, frame - i * size, size, stack, value)
            if status != OK:
                return status
        if level:       # the frame pointer has ESP's upper bits, on a 16-bit stack too
            pointer = (rd64(st, RSP) & -0x10000) | (frame & 0xFFFF) if stack == 16 else frame
            status = write_at(st, frame - level * size, size, stack, pointer)
            if status != OK:
                return status
        set_stack_pointer(st, frame, stack)
        write(st, RBP, width, rd64(st, RSP))
        set_stack_pointer(st, final, stack)
        return OK
    return enter


@op("leave", *SIZES)
def leave(width: int, stack: int) -> Handler:
    def leave(st: State, d: int, a: int, b: int, imm: int) -> int:
        frame = read(st, RBP, stack)
        value, status = read_at(st, frame, width // 8, stack)
        if status != OK:
            return status
        set_stack_pointer(st, frame + width // 8, stack)
        write(st, RBP, width, value)
        return OK
    return leave


@op("pusha", *((w, s) for w in (16, 32) for s in (16, 32)))
def pusha(width: int, stack: int) -> Handler:
    size = width // 8

    def pusha(st: State, d: int, a: int, b: int, imm: int) -> int:
        top, pointer = stack_pointer(st, stack), read(st, RSP, width)
        for i in range(8):
            status = may_write(st, top - (i + 1) * size, size, stack)
            if status != OK:
                return status
        for i in range(8):
            status = push_value(st, pointer if i == 4 else read(st, RAX + 8 * i, width), width, stack)
            if status != OK:
                set_stack_pointer(st, top, stack)
                return status
        return OK
    return pusha


@op("popa", *((w, s) for w in (16, 32) for s in (16, 32)))
def popa(width: int, stack: int) -> Handler:
    size = width // 8

    def popa(st: State, d: int, a: int, b: int, imm: int) -> int:
        for i in range(8):
            _, status = peek(st, i * size, width, stack)
            if status != OK:
                return status
        for i in range(8):
            if i != 3:                              # the stored (E)SP is skipped
                value, _ = peek(st, i * size, width, stack)
                write(st, RAX + 8 * (7 - i), width, value)
        set_stack_pointer(st, stack_pointer(st, stack) + 8 * size, stack)
        return OK
    return popa


@op("bound_low", 16, 32)
def bound_low(width: int) -> Handler:
    """#BR if the signed index d is less than the lower bound a; the upper one is only read if it is not."""
    def bound_low(st: State, d: int, a: int, b: int, imm: int) -> int:
        if sign_extend(read(st, d, width), width) < sign_extend(read(st, a, width), width):
            return fault(st, BR)
        return OK
    return bound_low


@op("bound_high", 16, 32)
def bound_high(width: int) -> Handler:
    """#BR if the signed index d is greater than the upper bound a."""
    def bound_high(st: State, d: int, a: int, b: int, imm: int) -> int:
        if sign_extend(read(st, d, width), width) > sign_extend(read(st, a, width), width):
            return fault(st, BR)
        return OK
    return bound_high
