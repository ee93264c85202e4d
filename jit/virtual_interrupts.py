"""Virtual-8086 mode extensions and protected-mode virtual interrupts: CR4.VME and CR4.PVI (SDM Vol. 3A 20.3, 20.4)."""

from jit.access import slow_load
from jit.descriptor import set_virtual
from jit.eflags import get_flags, io_privilege, loadable_flags, put_flags
from jit.exits import OK
from jit.fault import general_protection
from jit.flags import IF, IOPL, NT, RF, TF, VIF, VIP, VM
from jit.frame import load_stack_pointer, pop_words, push_words, use_current_stack
from jit.layout import (
    CPL,
    CR4,
    CS,
    FRAME,
    NMI_BLOCKED,
    NO_TRAP,
    RFL,
    RIP,
    SEG_BASE,
    SEG_LIMIT,
    SEG_SELECTOR,
    SLOW_VALUE,
    TR,
    seg,
)
from jit.mode import refresh
from jit.native import State, inline, rd64, shr, ult, wr64
from jit.slow import SUPERVISOR

CR4_VME, CR4_PVI = 1, 2
IO_MAP_BASE = 0x66              # in a 32-bit TSS: the redirection bitmap is the 32 bytes below what it points to
BITMAP_BYTES = 32
REFUSED = -1
VECTOR_WORD = FRAME + 8 * 8     # the IVT's entry, while a frame is pushed


@inline
def virtual_if(st: State) -> bool:
    """Whether CLI and STI change VIF instead of faulting: above IOPL, in virtual-8086 mode under VME, or at CPL 3 under
    PVI."""
    if rd64(st, RFL) & VM:
        return rd64(st, CR4) & CR4_VME != 0
    return rd64(st, CPL) == 3 and rd64(st, CR4) & CR4_PVI != 0


def redirect(st: State, vector: int, _: int) -> int:
    """INT n in virtual-8086 mode under VME. OK: the 8086 program's handler was entered, through the vector table at
    linear address 0; a fault; or REFUSED: the redirection bitmap sends it to the IDT."""
    base, limit = rd64(st, seg(TR, SEG_BASE)), rd64(st, seg(TR, SEG_LIMIT))
    if ult(limit, IO_MAP_BASE + 1):
        return general_protection(st, 0)
    status = slow_load(st, base + IO_MAP_BASE, 2 | SUPERVISOR)
    if status != OK:
        return status
    at = rd64(st, SLOW_VALUE) - BITMAP_BYTES + shr(vector, 3)
    if at < 0 or ult(limit, at):
        return general_protection(st, 0)
    status = slow_load(st, base + at, 1 | SUPERVISOR)
    if status != OK:
        return status
    low = io_privilege(st) < 3
    if shr(rd64(st, SLOW_VALUE), vector & 7) & 1:
        return general_protection(st, 0) if low else REFUSED
    status = slow_load(st, 4 * vector, 4)
    if status != OK:
        return status
    wr64(st, VECTOR_WORD, rd64(st, SLOW_VALUE))
    flags = get_flags(st)
    if low:
        flags = (flags & ~IF) | IOPL | (IF if flags & VIF else 0)
    wr64(st, FRAME, flags)
    wr64(st, FRAME + 8, rd64(st, seg(CS, SEG_SELECTOR)))
    wr64(st, FRAME + 16, rd64(st, RIP))
    use_current_stack(st)
    status = push_words(st, 3, 2)
    if status != OK:
        return status
    load_stack_pointer(st)
    set_virtual(st, CS, shr(rd64(st, VECTOR_WORD), 16) & 0xFFFF)
    wr64(st, RIP, rd64(st, VECTOR_WORD) & 0xFFFF)
    wr64(st, RFL, rd64(st, RFL) & ~(TF | NT | RF | (VIF if low else IF)))
    wr64(st, NO_TRAP, 1)
    refresh(st)
    return OK


def virtual_return(st: State) -> int:
    """16-bit IRET in virtual-8086 mode under VME, with IOPL below 3 (SDM Vol. 2A IRET)."""
    use_current_stack(st)
    status = pop_words(st, 0, 3, 2)
    if status != OK:
        return status
    offset, flags = rd64(st, FRAME), rd64(st, FRAME + 16)
    if flags & TF or (flags & IF and rd64(st, RFL) & VIP):
        return general_protection(st, 0)
    if ult(rd64(st, seg(CS, SEG_LIMIT)), offset):
        return general_protection(st, 0)
    load_stack_pointer(st)
    put_flags(st, flags, loadable_flags(st) & 0xFFFF & ~(IF | IOPL))
    wr64(st, RFL, (rd64(st, RFL) & ~VIF) | (VIF if flags & IF else 0))
    set_virtual(st, CS, rd64(st, FRAME + 8) & 0xFFFF)
    wr64(st, RIP, offset)
    wr64(st, NMI_BLOCKED, 0)
    refresh(st)
    return OK
