"""How the control word of an x87 micro-op is packed; the decoder writes it, the semantics read it. Numba-free.

It is the upper half of the micro-op's immediate, as operand word D stands for a slot that is written:

    bits 2:0    destination ST(i)           bits 5:3    source ST(i)
    bits 7:6    pops afterwards             bits 10:8   FROM_*: where the source comes from
    bit 11      swap the operands           bit 12      subtract, or (comparisons) unordered without #IA
    bit 13      comparisons: the result goes to RFLAGS
"""

SOURCE_SHIFT, POPS_SHIFT, FROM_SHIFT = 3, 6, 8
SWAP, VARIANT, TO_RFLAGS = 1 << 11, 1 << 12, 1 << 13
FROM_REGISTER, FROM_F32, FROM_F64, FROM_I16, FROM_I32, FROM_I64, FROM_ZERO = 0, 1, 2, 3, 4, 5, 6

# Where a store goes to: TO_* and the bytes it writes
TO_F32, TO_F64, TO_F80, TO_I16, TO_I32, TO_I64, TO_DECIMAL = 0, 1, 2, 3, 4, 5, 6
TRUNCATE = VARIANT          # FISTTP
QUIET = VARIANT             # FSTPNCE

# Operand word D of a store to memory: bit 0 FISTTP, above it the segment register number + 1 if that must be writable
STORE_TRUNCATES, STORE_SEGMENT_SHIFT = 1, 1

# FFREE, FFREEP, FINCSTP, FDECSTP
FREE, FREE_POP, ROTATE_UP, ROTATE_DOWN = 1 << 6, 1 << 7, 1 << 8, 1 << 9

# The immediate of a micro-op that ends an x87 instruction: where it is and what it is
WHERE_OFFSET = 0xFFF        # bits 11:0: its page offset
WHERE_NARROW = 1 << 12      # bit 12: EIP is 32 bits wide
OPCODE_SHIFT = 16           # bits 26:16: FOP
CONTROL_SHIFT = 32          # bits 63:32: the control word

# Environments: bit 0 the 32-bit layout, bit 1 registers too
ENV_WIDE, ENV_REGISTERS = 1, 2
ENV_BYTES = (14, 28, 94, 108)           # by those two bits

# FSIN, FCOS, and FSINCOS with both
SINE, COSINE = 1, 2
