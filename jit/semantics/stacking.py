"""Reading and writing the stack for any stack size (SDM Vol. 1 6.2): used by every instruction that pushes or pops."""

from jit.access import load, store
from jit.exits import OK
from jit.layout import SS, gpr
from jit.native import State, inline
from jit.semantics.operands import read, truncate, write
from jit.semantics.segmentation import READ, WRITE, linear_address
from jit.slow import STACK

RSP = gpr(4)


@inline
def stack_pointer(st: State, stack: int) -> int:
    """RSP, ESP or SP: the stack-size attribute in bits selects it."""
    return read(st, RSP, stack)


@inline
def set_stack_pointer(st: State, value: int, stack: int) -> None:
    """16-bit stacks keep the upper bits of ESP; 32-bit ones clear those of RSP."""
    write(st, RSP, stack, value)


@inline
def stack_linear(st: State, pointer: int, size: int, access: int, stack: int) -> tuple[int, int]:
    """(linear address, status) of `size` bytes at a stack pointer value."""
    if stack == 64:
        return pointer, OK
    return linear_address(st, SS, truncate(pointer, stack), size, access)


@inline
def push_value(st: State, value: int, width: int, stack: int) -> int:
    """Push `width` bits: OK with RSP moved, or a status and nothing changed."""
    size = width // 8
    pointer = stack_pointer(st, stack) - size
    linear, status = stack_linear(st, pointer, size, WRITE, stack)
    if status != OK:
        return status
    status = store(st, linear, size, STACK, value)
    if status == OK:
        set_stack_pointer(st, pointer, stack)
    return status


@inline
def peek(st: State, offset: int, width: int, stack: int) -> tuple[int, int]:
    """(value, status) of `width` bits at RSP + offset bytes; RSP stays."""
    size = width // 8
    linear, status = stack_linear(st, stack_pointer(st, stack) + offset, size, READ, stack)
    if status != OK:
        return 0, status
    return load(st, linear, size, STACK)


