"""Stack instructions (SDM Vol. 2: PUSH, POP)."""

from jit.exits import OK
from jit.registry import op
from jit.semantics.operands import WIDE, read, write
from jit.semantics.stacking import peek, push_value, set_stack_pointer, stack_pointer

SIZES = tuple((w, s) for w in WIDE for s in WIDE)


@op("push", *SIZES)
def push(width, stack):
    def push(st, d, a, b, imm):
        return push_value(st, read(st, a, width) + imm, width, stack)
    return push


@op("pop", *SIZES)
def pop(width, stack):
    """RSP moves before the destination is written, so POP RSP leaves the popped value."""
    def pop(st, d, a, b, imm):
        value, status = peek(st, 0, width, stack)
        if status != OK:
            return status
        set_stack_pointer(st, stack_pointer(st, stack) + width // 8, stack)
        write(st, d, width, value)
        return OK
    return pop


@op("peek", *SIZES)
def peek_value(width, stack):
    """Slot d = the top of the stack; RSP stays."""
    def peek_value(st, d, a, b, imm):
        value, status = peek(st, 0, width, stack)
        if status != OK:
            return status
        write(st, d, width, value)
        return OK
    return peek_value


@op("release", *WIDE)
def release(stack):
    """RSP += imm."""
    def release(st, d, a, b, imm):
        set_stack_pointer(st, stack_pointer(st, stack) + imm, stack)
        return OK
    return release
