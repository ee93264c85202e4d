"""Software interrupts, IRET, and the interrupt flag (SDM Vol. 2: INT n, INTO, INT3, INT1, IRET, CLI, STI)."""

from numba import types

from jit import run_slots
from jit.eflags import io_privilege
from jit.enter import ENTER_SOFTWARE, enter
from jit.exits import OK
from jit.fault import general_protection
from jit.flags import IF, VIF, VIP, VM, get_of
from jit.guards import EXCEPTION
from jit.layout import CPL, CR4, DEBUG_HITS, FAULT_EXT, RFL, SHADOW
from jit.native import Handler, State, rd64, wr64
from jit.registry import END, op
from jit.run import SHADOW_STI
from jit.slots import call_with
from jit.traps import trap
from jit.virtual_interrupts import CR4_VME, REFUSED, virtual_if
from jit.watch import report_hits

_redirect = types.ExternalFunction("strata_redirect", types.int64(types.voidptr, types.int64, types.int64))


@op("int", kind=END)
def int_n(st: State, d: int, a: int, b: int, imm: int) -> int:
    """INT n: in virtual-8086 mode it needs IOPL 3 or CR4.VME (SDM Vol. 3A 20.2.6, 20.3.3)."""
    if rd64(st, RFL) & VM:
        if rd64(st, CR4) & CR4_VME:
            status = _redirect(st, imm, 0)
            if status != REFUSED:
                return status
        elif io_privilege(st) < 3:
            return general_protection(st, 0)
    return enter(st, imm, ENTER_SOFTWARE, 0)


@op("int3", kind=END)
def int3(st: State, d: int, a: int, b: int, imm: int) -> int:
    status = trap(st, EXCEPTION + imm, 0, 0)
    return status if status != OK else enter(st, imm, ENTER_SOFTWARE, 0)


@op("into", kind=END)
def into(st: State, d: int, a: int, b: int, imm: int) -> int:
    if get_of(st) == 0:
        return OK
    status = trap(st, EXCEPTION + imm, 0, 0)
    return status if status != OK else enter(st, imm, ENTER_SOFTWARE, 0)


@op("int1", kind=END)
def int1(st: State, d: int, a: int, b: int, imm: int) -> int:
    """INT1 is delivered as a hardware event: no DPL check, and EXT is set in error codes. Breakpoints that MOV SS held
    back until now are part of the same #DB."""
    trapped = trap(st, EXCEPTION + imm, 0, 0)
    if trapped != OK:
        return trapped
    wr64(st, FAULT_EXT, 1)
    status = enter(st, imm, 0, 0)
    wr64(st, FAULT_EXT, 0)
    if status == OK and rd64(st, DEBUG_HITS) != 0:
        report_hits(st, 0)
    return status


@op("iret", "legacy", "long", kind=END)
def iret(mode: int) -> Handler:
    slot = run_slots.IRET_LONG if mode == "long" else run_slots.IRET

    def iret(st: State, d: int, a: int, b: int, imm: int) -> int:
        """`imm`: operand size in bytes."""
        return call_with(st, slot, 0, 0, imm)
    return iret


@op("cli", kind=END)
def cli(st: State, d: int, a: int, b: int, imm: int) -> int:
    if rd64(st, CPL) > io_privilege(st):
        if not virtual_if(st):
            return general_protection(st, 0)
        wr64(st, RFL, rd64(st, RFL) & ~VIF)
        return OK
    wr64(st, RFL, rd64(st, RFL) & ~IF)
    return OK


@op("sti", kind=END)
def sti(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Interrupts stay blocked until the next instruction has ended, where IF was clear."""
    flags = rd64(st, RFL)
    if rd64(st, CPL) > io_privilege(st):
        if not virtual_if(st) or flags & VIP:
            return general_protection(st, 0)
        wr64(st, RFL, flags | VIF)
        return OK
    if flags & IF == 0:
        wr64(st, SHADOW, SHADOW_STI)
    wr64(st, RFL, flags | IF)
    return OK
