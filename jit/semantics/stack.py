"""Stack instructions (SDM Vol. 2: PUSH, POP)."""

from jit.exits import OK
from jit.native import Handler, State
from jit.registry import op
from jit.semantics.operands import WIDE, read, write
from jit.semantics.stacking import peek, push_value, set_stack_pointer, stack_pointer

SIZES = tuple((w, s) for w in WIDE for s in WIDE)


@op("push", *SIZES)
def push(width: int, stack: int) -> Handler:
    def push(st: State, d: int, a: int, b: int, imm: int) -> int:
        return push_value(st, read(st, a, width) + imm, width, stack)
    return push


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
