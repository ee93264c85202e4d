"""Far control transfer and fast system calls (SDM Vol. 2: CALL, JMP, RET far; SYSCALL, SYSRET, SYSENTER, SYSEXIT)."""

from jit import run_slots
from jit.native import Handler, State, rd16, rd64
from jit.registry import END, op
from jit.slots import call_with


@op("far", "jump", "call", kind=END)
def far(transfer: int) -> Handler:
    slot = run_slots.FAR_CALL if transfer == "call" else run_slots.FAR_JUMP

    def far(st: State, d: int, a: int, b: int, imm: int) -> int:
        """a: slot of the selector, b: of the offset, imm: operand size in bytes."""
        return call_with(st, slot, rd16(st, a), rd64(st, b), imm)
    return far


@op("far_return", kind=END)
def far_return(st: State, d: int, a: int, b: int, imm: int) -> int:
    """d: bytes to release, imm: operand size in bytes."""
    return call_with(st, run_slots.FAR_RETURN, d, 0, imm)


@op("fast_call", "syscall", "sysenter", kind=END)
def fast_call(name: str) -> Handler:
    number = 1 if name == "sysenter" else 0

    def fast_call(st: State, d: int, a: int, b: int, imm: int) -> int:
        return call_with(st, run_slots.FAST_CALL, number, 0, 0)
    return fast_call


@op("fast_return", "sysret", "sysexit", kind=END)
def fast_return(name: str) -> Handler:
    number = 1 if name == "sysexit" else 0

    def fast_return(st: State, d: int, a: int, b: int, imm: int) -> int:
        """imm: operand size in bytes."""
        return call_with(st, run_slots.FAST_RETURN, number, 0, imm)
    return fast_return
