"""Gathers and scatters under an opmask register (SDM Vol. 2C VGATHERDPS/VGATHERDPD (EVEX) to VSCATTERQPD).

Elements go from the lowest to the highest, each clearing its bit of the mask. Those before one that faults are done
and stay so, so that the instruction goes on there; other statuses change nothing but memory that a scatter has written,
which it will write again. Operand words are those of jit/semantics/vector_masked.py's gathers.
"""

from jit.access import load_host, store
from jit.exits import FAULT, OK
from jit.fpu_layout import VECTOR_BUFFER, VECTOR_BYTES
from jit.layout import FPU
from jit.native import Handler, State, ld64, memmove, memset, rd64, shr, st64
from jit.registry import op
from jit.semantics.segmentation import WRITE
from jit.semantics.vector_masked import FLAT, NARROW, SEGMENTED, gather_elements, indexed_address
from jit.semantics.wiring import (
    GATHER_COUNT,
    GATHER_COUNTS,
    GATHER_MASK,
    GATHER_SCALE,
    GATHER_SEGMENT,
    STACK_SEGMENT,
    VECTOR_OFFSET,
)
from jit.slow import ALIGNED

FORMS = tuple((element, index, form) for element in (4, 8) for index in (4, 8) for form in (FLAT, NARROW, SEGMENTED))


@op("gatherk", *FORMS)
def gather(element: int, index: int, form: str) -> Handler:
    def gather(st: State, d: int, a: int, b: int, imm: int) -> int:
        fpu = rd64(st, FPU)
        to, buffer = fpu + (d & VECTOR_OFFSET), fpu + VECTOR_BUFFER
        mask_at = fpu + (shr(b, GATHER_MASK) & VECTOR_OFFSET)
        count, mask = shr(b, GATHER_COUNT) & GATHER_COUNTS, ld64(mask_at)
        done, loaded, status = gather_elements(st, d, a, b, imm, element, index, form, mask)
        if status != OK and status != FAULT:
            return status
        if status == OK or loaded > 0:
            size = count * (element if status == OK else max(element, index))
            memset(buffer + size, 0, VECTOR_BYTES - size)
            memmove(to, buffer, VECTOR_BYTES)
        st64(mask_at, shr(mask, done) << done if status == FAULT else 0)
        return status
    return gather


@op("scatterk", *FORMS)
def scatter(element: int, index: int, form: str) -> Handler:
    def scatter(st: State, d: int, a: int, b: int, imm: int) -> int:
        fpu = rd64(st, FPU)
        origin, indices, mask_at = (fpu + (d & VECTOR_OFFSET), fpu + (b & VECTOR_OFFSET),
                                    fpu + (shr(b, GATHER_MASK) & VECTOR_OFFSET))
        scale, count, segment = (shr(b, GATHER_SCALE) & 3, shr(b, GATHER_COUNT) & GATHER_COUNTS,
                                 shr(d, GATHER_SEGMENT) & 15)
        start = rd64(st, a) + imm
        mask = ld64(mask_at)
        done, status = 0, OK
        while done < count:
            if shr(mask, done) & 1:
                linear, status = indexed_address(st, start, indices + done * index, index, scale, segment, element,
                                                 form, WRITE)
                if status == OK:
                    status = store(st, linear, element, ((d & STACK_SEGMENT) >> 6) | ALIGNED,
                                   load_host(origin + done * element, element))
                if status != OK:
                    break
            done += 1
        if status != OK and status != FAULT:
            return status
        st64(mask_at, shr(mask, done) << done if status == FAULT else 0)
        return status
    return scatter
