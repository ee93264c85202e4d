"""Stack instructions (SDM Vol. 2: PUSH, POP)."""

from jit.access import store
from jit.exits import OK
from jit.native import Handler, State, rd64
from jit.registry import op
from jit.semantics.operands import WIDE, read, write
from jit.semantics.segmentation import WRITE
from jit.semantics.stacking import peek, push_value, set_stack_pointer, stack_linear, stack_pointer
from jit.slow import STACK

SIZES = tuple((w, s) for w in WIDE for s in WIDE)


@op("push", *SIZES)
def push(width: int, stack: int) -> Handler:
    def push(st: State, d: int, a: int, b: int, imm: int) -> int:
        return push_value(st, read(st, a, width) + imm, width, stack)
    return push


@op("push_selector", *WIDE)
def push_selector(stack: int) -> Handler:
    """PUSH of a segment register with a 32-bit operand: current processors write 16 bits of the 32, and leave the upper
    ones as they are (SDM Vol. 2B PUSH)."""
    def push_selector(st: State, d: int, a: int, b: int, imm: int) -> int:
        pointer = stack_pointer(st, stack) - 4
        linear, status = stack_linear(st, pointer, 2, WRITE, stack)
        if status != OK:
            return status
        status = store(st, linear, 2, STACK, rd64(st, a))
        if status == OK:
            set_stack_pointer(st, pointer, stack)
        return status
    return push_selector


@op("pop", *SIZES)
def pop(width: int, stack: int) -> Handler:
    """RSP moves before the destination is written, so POP RSP leaves the popped value."""
    def pop(st: State, d: int, a: int, b: int, imm: int) -> int:
        value, status = peek(st, 0, width, stack)
        if status != OK:
            return status
        set_stack_pointer(st, stack_pointer(st, stack) + width // 8, stack)
        write(st, d, width, value)
        return OK
    return pop


@op("peek", *SIZES)
def peek_value(width: int, stack: int) -> Handler:
    """Slot d = the top of the stack; RSP stays."""
    def peek_value(st: State, d: int, a: int, b: int, imm: int) -> int:
        value, status = peek(st, 0, width, stack)
        if status != OK:
            return status
        write(st, d, width, value)
        return OK
    return peek_value


@op("release", *WIDE)
def release(stack: int) -> Handler:
    """RSP += imm."""
    def release(st: State, d: int, a: int, b: int, imm: int) -> int:
        set_stack_pointer(st, stack_pointer(st, stack) + imm, stack)
        return OK
    return release
