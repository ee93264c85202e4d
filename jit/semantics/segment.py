"""Segment translation of memory operands outside 64-bit mode (SDM Vol. 3A 5.3), and loading segment registers."""

from jit import run_slots
from jit.exits import OK
from jit.fpu_layout import TEMPORARY_MASK, opmask
from jit.layout import FPU, SEG, SEG_BASE, SEG_BYTES, SHADOW, SS
from jit.native import Handler, State, inline, ld64, rd16, rd64, shr, wr64
from jit.registry import END, op
from jit.run import SHADOW_STACK
from jit.semantics.operands import WIDE, effective, read, truncate, write
from jit.semantics.segmentation import READ, WRITE, linear_address
from jit.semantics.stacking import peek, set_stack_pointer, stack_pointer
from jit.semantics.wiring import SEGMENT_SHIFT, SIZE_SHIFT, WIDTH_SHIFT, WRITE_ACCESS
from jit.slots import call_with
from jit.x87.sources import ENV_REGISTERS, ENV_WIDE

SELECTED = opmask(TEMPORARY_MASK)


@op("linear_seg", 16, 32)
def linear_seg(bits: int) -> Handler:
    """Slot d = linear address of the memory operand, whose access the segment allows."""
    def linear_seg(st: State, d: int, a: int, b: int, imm: int) -> int:
        offset = truncate(effective(st, a, b, imm), bits)
        access = WRITE if b & WRITE_ACCESS else READ
        linear, status = linear_address(st, shr(b, SEGMENT_SHIFT) & 7, offset, shr(b, SIZE_SHIFT) & 0xFF, access)
        if status != OK:
            return status
        wr64(st, d, linear)
        return OK
    return linear_seg


@inline
def selected_allowed(st: State, segment: int, offset: int, width: int, access: int) -> int:
    """Status of the accesses to the elements of `width` bytes that the temporary opmask selects."""
    mask = ld64(rd64(st, FPU) + SELECTED)
    status = OK
    while mask != 0 and status == OK:
        if mask & 1:
            _, status = linear_address(st, segment, offset & 0xFFFFFFFF, width, access)
        mask = shr(mask, 1)
        offset += width
    return status


@op("linear_seg_masked", 16, 32)
def linear_seg_masked(bits: int) -> Handler:
    """The same for an operand of which the elements are accessed that the temporary opmask selects: the others need
    not be allowed (SDM Vol. 2A 2.7.5)."""
    def linear_seg_masked(st: State, d: int, a: int, b: int, imm: int) -> int:
        offset = truncate(effective(st, a, b, imm), bits)
        access = WRITE if b & WRITE_ACCESS else READ
        segment = shr(b, SEGMENT_SHIFT) & 7
        linear, status = linear_address(st, segment, offset, shr(b, SIZE_SHIFT) & 0xFF, access)
        if status != OK:
            status = selected_allowed(st, segment, offset, 1 << (shr(b, WIDTH_SHIFT) & 3), access)
            if status != OK:
                return status
            linear = (rd64(st, SEG + SEG_BYTES * segment + SEG_BASE) + offset) & 0xFFFFFFFF
        wr64(st, d, linear)
        return OK
    return linear_seg_masked


@inline
def environment_allowed(st: State, segment: int, offset: int, control: int, access: int) -> int:
    """Status of the accesses to the words and registers of an x87 environment or state (jit/x87/sources.py)."""
    size = 4 if control & ENV_WIDE else 2
    status = OK
    for _ in range(7):
        if status == OK:
            _, status = linear_address(st, segment, offset & 0xFFFFFFFF, size, access)
            offset += size
    for _ in range(8 if control & ENV_REGISTERS else 0):
        if status == OK:
            _, status = linear_address(st, segment, offset & 0xFFFFFFFF, 8, access)
        if status == OK:
            _, status = linear_address(st, segment, offset + 8 & 0xFFFFFFFF, 2, access)
            offset += 10
    return status


@op("linear_seg_environment", 16, 32)
def linear_seg_environment(bits: int) -> Handler:
    """The same for an x87 environment or state, which may wrap around 4 GiB between its parts in any segment: that is
    what processors do."""
    def linear_seg_environment(st: State, d: int, a: int, b: int, imm: int) -> int:
        offset = truncate(effective(st, a, b, imm), bits)
        access = WRITE if b & WRITE_ACCESS else READ
        segment = shr(b, SEGMENT_SHIFT) & 7
        status = environment_allowed(st, segment, offset, shr(b, SIZE_SHIFT), access)
        if status != OK:
            return status
        wr64(st, d, (rd64(st, SEG + SEG_BYTES * segment + SEG_BASE) + offset) & 0xFFFFFFFF)
        return OK
    return linear_seg_environment


@op("load_sreg")
def load_sreg(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Segment register number d, not CS or SS, = the selector in slot a."""
    return call_with(st, run_slots.LOAD_SEGMENT, d, rd16(st, a), 0)


@op("mov_ss", kind=END)
def mov_ss(st: State, d: int, a: int, b: int, imm: int) -> int:
    """MOV SS blocks events until the next instruction has ended (SDM Vol. 3A 6.8.3)."""
    status = call_with(st, run_slots.LOAD_SEGMENT, SS, rd16(st, a), 0)
    if status == OK:
        wr64(st, SHADOW, SHADOW_STACK)
    return status


@op("pop_ss", *((w, s) for w in WIDE for s in (16, 32)), kind=END)
def pop_ss(width: int, stack: int) -> Handler:
    """POP SS moves the stack pointer by the old stack's width."""
    def pop_ss(st: State, d: int, a: int, b: int, imm: int) -> int:
        selector, status = peek(st, 0, width, stack)
        if status != OK:
            return status
        status = call_with(st, run_slots.LOAD_SEGMENT, SS, selector & 0xFFFF, 0)
        if status == OK:
            set_stack_pointer(st, stack_pointer(st, stack) + width // 8, stack)
            wr64(st, SHADOW, SHADOW_STACK)
        return status
    return pop_ss


@op("load_far_pointer", *WIDE, kind=END)
def load_far_pointer(width: int) -> Handler:
    """LDS, LES, LFS, LGS, LSS: segment register imm = the selector in slot a, register d = slot b."""
    def load_far_pointer(st: State, d: int, a: int, b: int, imm: int) -> int:
        status = call_with(st, run_slots.LOAD_SEGMENT, imm, rd16(st, a), 0)
        if status == OK:
            write(st, d, width, read(st, b, width))
        return status
    return load_far_pointer
