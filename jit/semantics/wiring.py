"""How operand word B of a memory micro-op is packed; the decoder writes it, `jit/semantics` reads it.

Kept apart from the semantics so that the decoder need not import numba.
"""

INDEX_SLOT = 0xFFF      # bits 11:0: slot of the index register
SCALE_SHIFT = 12        # bits 13:12: log2 of its scale
STACK_SEGMENT = 0x4000  # bit 14: the segment is SS (in 64-bit mode a non-canonical address is then #SS)
WRITE_ACCESS = 0x8000   # bit 15: the access writes
SEGMENT_SHIFT = 16      # linear_seg: segment register number in bits 18:16; linear_base: slot of the base in 31:16
SIZE_SHIFT = 24         # linear_seg: bytes accessed in bits 31:24
