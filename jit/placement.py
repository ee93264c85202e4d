"""Puts a decoded block's micro-op records in their place (jit/uops.py).

The decoder keeps the records of an instruction and uses them wherever the same bytes occur again: all that depends on
the place is filled in here.
"""

from jit.native import inline, ld64, shr, st8, st16, st32, st64
from jit.uops import COUNT, LENGTH, LENGTH_SHIFT, OFFSET, REM, SIZE, SOURCE, STEP, WHERE


@inline
def copy_record(to: int, source: int) -> None:
    for at in range(0, SIZE, 8):
        st64(to + at, ld64(source + at))


def place_records(steps: int, instructions: int, records: int, table: int) -> int:
    """Write the records of `instructions` steps, and of one more that is the block's end and no instruction, from
    `records` on, and enter each instruction in the page's table; gives the address after the last record."""
    at = records
    for n in range(instructions + 1):
        step = steps + n * STEP
        source, where = ld64(step + SOURCE), ld64(step + WHERE)
        offset = where & 0xFFFF
        if n < instructions:
            st64(table + 8 * offset, at)
        for _ in range(ld64(step + COUNT)):
            copy_record(at, source)
            st16(at + OFFSET, offset)
            st8(at + LENGTH, shr(where, LENGTH_SHIFT))
            st32(at + REM, instructions - n)
            at += SIZE
            source += SIZE
    return at
