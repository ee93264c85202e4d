"""Moves of the elements whose mask element is negative, and gathers (SDM Vol. 2C VMASKMOV, VPMASKMOV, VGATHER*).

Elements that the mask leaves out are not accessed, so they do not fault, and misalignment never does. Operand word
B of the moves holds the mask's place in the FPU file, and the segment register's number.
"""

from jit.access import load, load_host, probe, store, store_host
from jit.exits import FAULT, OK
from jit.fpu_layout import VECTOR_BUFFER, VECTOR_BYTES
from jit.layout import FPU, SEG, SEG_BASE, SEG_BYTES
from jit.native import Handler, State, inline, memmove, memset, rd64, shr, sx32
from jit.registry import op
from jit.semantics.operands import effective, hint
from jit.semantics.segmentation import READ, WRITE, linear_address
from jit.semantics.wiring import (
    GATHER_COUNT,
    GATHER_COUNTS,
    GATHER_MASK,
    GATHER_SCALE,
    GATHER_SEGMENT,
    MASK_SEGMENT,
    MASK_SHIFT,
    STACK_SEGMENT,
    VECTOR_OFFSET,
)
from jit.slow import ALIGNED, check_address, wrap

FLAT, NARROW, SEGMENTED = "flat", "narrow", "segmented"
FORMS = tuple((element, size, form) for element in (4, 8) for size in (16, 32) for form in (FLAT, SEGMENTED))


@inline
def chosen(address: int, element: int) -> bool:
    """Whether the mask element at a host address is negative."""
    return shr(load_host(address, element), 8 * element - 1) != 0


@inline
def element_address(st: State, start: int, at: int, b: int, size: int, form: str, access: int) -> tuple[int, int]:
    """(linear address, status) of the element `at` bytes into the operand."""
    if form == FLAT:
        return start + at, OK
    return linear_address(st, shr(b, MASK_SEGMENT) & 7, (start + at) & 0xFFFFFFFF, size, access)


@inline
def fault_of_moves(st: State, start: int, mask: int, b: int, element: int, size: int, form: str, access: int) -> int:
    """FAULT, after an element's fault: an address that is not canonical or that the segment does not allow, of any
    chosen element, comes before the page faults of others, as processors do it."""
    for at in range(0, size, element):
        if chosen(mask + at, element):
            linear, status = element_address(st, start, at, b, element, form, access)
            if status == OK:
                status = check_address(st, wrap(st, linear, hint(b)), element, hint(b))
            if status != OK:
                return status
    return FAULT


@op("mask_load", *FORMS)
def mask_load(element: int, size: int, form: str) -> Handler:
    """Elements left out become zero. The segment need not allow them, either (form SEGMENTED)."""
    def mask_load(st: State, d: int, a: int, b: int, imm: int) -> int:
        start = effective(st, a, b, imm)
        fpu = rd64(st, FPU)
        mask = fpu + (shr(b, MASK_SHIFT) & VECTOR_OFFSET)
        for at in range(0, size, element):
            value = 0
            if chosen(mask + at, element):
                linear, status = element_address(st, start, at, b, element, form, READ)
                if status == OK:
                    value, status = load(st, linear, element, hint(b) | ALIGNED)
                if status == FAULT:
                    return fault_of_moves(st, start, mask, b, element, size, form, READ)
                if status != OK:
                    return status
            store_host(fpu + VECTOR_BUFFER + at, element, value)
        memmove(fpu + d, fpu + VECTOR_BUFFER, size)
        return OK
    return mask_load


@op("mask_store", *FORMS)
def mask_store(element: int, size: int, form: str) -> Handler:
    def mask_store(st: State, d: int, a: int, b: int, imm: int) -> int:
        start = effective(st, a, b, imm)
        fpu = rd64(st, FPU)
        mask = fpu + (shr(b, MASK_SHIFT) & VECTOR_OFFSET)
        for at in range(0, size, element):
            if chosen(mask + at, element):
                linear, status = element_address(st, start, at, b, element, form, WRITE)
                if status == OK:
                    status = probe(st, linear, element, hint(b) | ALIGNED)
                if status == FAULT:
                    return fault_of_moves(st, start, mask, b, element, size, form, WRITE)
                if status != OK:
                    return status
        for at in range(0, size, element):
            if chosen(mask + at, element):
                linear, _ = element_address(st, start, at, b, element, form, WRITE)
                status = store(st, linear, element, hint(b) | ALIGNED, load_host(fpu + d + at, element))
                if status != OK:
                    return status
        return OK
    return mask_store


@inline
def fill_mask(mask: int, element: int, size: int) -> None:
    """A mask's elements become all ones or zeros, and what is above its `size` bytes zero."""
    for at in range(0, size, element):
        store_host(mask + at, element, -1 if chosen(mask + at, element) else 0)
    memset(mask + size, 0, VECTOR_BYTES - size)


@inline
def indexed_address(st: State, start: int, indices: int, index: int, scale: int, segment: int, size: int, form: str,
                    access: int) -> tuple[int, int]:
    """(linear address, status) of the element of `size` bytes whose index of `index` bytes is at host address
    `indices`."""
    number = load_host(indices, index)
    linear = start + ((sx32(number) if index == 4 else number) << scale)
    if form == NARROW:
        linear = linear & 0xFFFFFFFF
        if segment < 8:
            linear += rd64(st, SEG + SEG_BYTES * segment + SEG_BASE)
    elif form == SEGMENTED:
        return linear_address(st, segment, linear & 0xFFFFFFFF, size, access)
    return linear, OK


@inline
def gather_elements(st: State, d: int, a: int, b: int, imm: int, element: int, index: int, form: str,
                    mask: int) -> tuple[int, int, int]:
    """(elements done, elements loaded, status): load the elements that `mask` has a bit for into the buffer, where the
    others are those of the destination, the lowest first.

    Word A is the base's slot and the immediate the displacement, B and D are packed as jit/semantics/wiring.py says.
    Addresses are of 64 bits (FLAT, with the segment's base in the base), of 32 bits in 64-bit mode (NARROW), or
    offsets that the segment must allow (SEGMENTED)."""
    fpu = rd64(st, FPU)
    indices, buffer = fpu + (b & VECTOR_OFFSET), fpu + VECTOR_BUFFER
    scale, count, segment = (shr(b, GATHER_SCALE) & 3, shr(b, GATHER_COUNT) & GATHER_COUNTS,
                             shr(d, GATHER_SEGMENT) & 15)
    start = rd64(st, a) + imm
    memmove(buffer, fpu + (d & VECTOR_OFFSET), VECTOR_BYTES)
    done, loaded, status = 0, 0, OK
    while done < count:
        if shr(mask, done) & 1:
            linear, status = indexed_address(st, start, indices + done * index, index, scale, segment, element, form,
                                             READ)
            value = 0
            if status == OK:
                value, status = load(st, linear, element, ((d & STACK_SEGMENT) >> 6) | ALIGNED)
            if status != OK:
                break
            store_host(buffer + done * element, element, value)
            loaded += 1
        done += 1
    return done, loaded, status


@op("gather", *((e, i, form) for e in (4, 8) for i in (4, 8) for form in (FLAT, NARROW, SEGMENTED)))
def gather(element: int, index: int, form: str) -> Handler:
    """What was loaded before an element faults stays loaded, and its mask element is clear, so that the instruction
    goes on there (SDM Vol. 2C VGATHERDPS)."""
    def gather(st: State, d: int, a: int, b: int, imm: int) -> int:
        fpu = rd64(st, FPU)
        to, mask, buffer = (fpu + (d & VECTOR_OFFSET), fpu + (shr(b, GATHER_MASK) & VECTOR_OFFSET),
                            fpu + VECTOR_BUFFER)
        count = shr(b, GATHER_COUNT) & GATHER_COUNTS
        bits = 0
        for i in range(count):
            bits |= int(chosen(mask + i * element, element)) << i
        done, loaded, status = gather_elements(st, d, a, b, imm, element, index, form, bits)
        if status != OK and status != FAULT:
            return status
        size = count * element
        if status == FAULT:
            length = count * max(element, index)            # the vector length that the encoding names
            fill_mask(mask, element, length)
            memset(mask, 0, done * element)
            if loaded > 0:
                memmove(to, buffer, length)
                memset(to + length, 0, VECTOR_BYTES - length)
            return status
        memmove(to, buffer, size)
        memset(to + size, 0, VECTOR_BYTES - size)
        memset(mask, 0, VECTOR_BYTES)
        return OK
    return gather
