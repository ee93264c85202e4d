"""The micro-op record that the decoder writes and both engines execute; one cache line each.

A code page's table (one word for each of its 4096 bytes) holds the address of the record at which the instruction
that starts there begins. Records live in one arena that never moves; stale ones are only reclaimed when the whole
arena is flushed.
"""

HANDLER = 0         # address of the machine code to run: the interpreter's, a region's, or a stop
IMM = 8             # immediate
D, A, B = 16, 20, 24    # operand words, 32 bits each
OFFSET = 28         # u16: where the instruction starts in its page
LENGTH = 30         # u8: instruction length in bytes
HEAT = 31           # u8: how often the run loop saw a slice end here (saturates)
TARGET = 32         # address of the micro-op a taken branch goes to, 0 when it is looked up by RIP
NEXT = 40           # address of the micro-op after a block end that falls through, likewise
REM = 48            # u32: instructions from this one to the end of its block, itself included
OP = 52             # u32: op id, index into the table of interpreter handlers
REGION = 56         # address of the compiled region that starts here, or 0
SIZE = 64

# A code page: MODE it was decoded for, next page record of the same GPA, then the table
PAGE_MODE, PAGE_NEXT, PAGE_TABLE = 0, 8, 16
PAGE_BYTES = PAGE_TABLE + 8 * 4096

# A step of a block to place (jit/placement.py): address of an instruction's records, how many, page offset in bits 15:0
# and length from bit 16
SOURCE, COUNT, WHERE, STEP = 0, 8, 16, 24
LENGTH_SHIFT = 16
