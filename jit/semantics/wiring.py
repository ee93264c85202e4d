"""How operand word B of a memory micro-op is packed, and the bits of VECTOR_GATE: the decoder writes them,
`jit/semantics` reads them.

Kept apart from the semantics so that the decoder need not import numba.
"""

INDEX_SLOT = 0xFFF      # bits 11:0: slot of the index register
SCALE_SHIFT = 12        # bits 13:12: log2 of its scale
STACK_SEGMENT = 0x4000  # bit 14: the segment is SS (in 64-bit mode a non-canonical address is then #SS)
WRITE_ACCESS = 0x8000   # bit 15: the access writes
SEGMENT_SHIFT = 16      # linear_seg: segment register number in bits 18:16; linear_base: slot of the base in 31:16
WIDTH_SHIFT = 19        # linear_seg_masked: log2 of an element's bytes in bits 20:19
SIZE_SHIFT = 24         # linear_seg: bytes accessed in bits 31:24; linear_seg_environment: ENV_* instead
MASK_SHIFT = 16         # mask_load, mask_store: place of the mask in the FPU file in bits 27:16
MASK_SEGMENT = 28       # and the segment register's number in bits 30:28

# Operand word B of micro-ops on a state area (jit/area.py), above the segment register's number and shifted like it:
# the address size, 64-bit mode, and in it a segment with a base
AREA_16, AREA_32, AREA_64, AREA_BASED = 8, 16, 32, 64

NEAR = 1                # operand word D of a direct branch: its target needs no check (jit/semantics/control.py)

# Words D and B of gathers (jit/semantics/vector_masked.py): D has the destination in bits 11:0, STACK_SEGMENT, and the
# segment register's number from bit 16 (8: none); B the indices in bits 11:0, then the mask, log2 of the scale, and
# the number of elements.
VECTOR_OFFSET, GATHER_SEGMENT, GATHER_MASK, GATHER_SCALE, GATHER_COUNT, NO_SEGMENT = 0xFFF, 16, 12, 24, 26, 8
GATHER_COUNTS = 31      # of elements: up to 16

# VECTOR_GATE (jit/vector_gate.py): CR0.EM, CR0.TS, no CR4.OSFXSR, AVX or AVX-512 state not enabled
EMULATE, SWITCHED, NO_SSE, NO_AVX, NO_AVX512 = 1, 2, 4, 8, 16
# Reasons for #UD by family (SDM Vol. 3A 2.5, 13.1; Vol. 2A tables 2-18 ff.); SWITCHED gives #NM after them
MMX_UD, SSE_UD, AVX_UD, AVX512_UD = EMULATE, EMULATE | NO_SSE, NO_AVX, NO_AVX512

# Variants of the micro-op `probe`: which address it compares, and where the register is that it tests
PROBE_LINEAR, PROBE_VIRTUAL, PROBE_ANYWHERE = "linear", "virtual", "anywhere"
PROBE_ENTRY = "entry"           # of a region, which asks for all its instructions at once
PROBE_HOT, PROBE_EQUAL, PROBE_FILE = "hot", "equal", "file"

# Operand word D of a masked memory micro-op, above the offset in the FPU file: the opmask register, log2 of the bytes
# of an element, and whether the address must be aligned.
MASKED_OFFSET = 0xFFFF
OPMASK_SHIFT, OPMASK_NUMBER, ELEMENT_SHIFT, MASKED_ALIGNED = 16, 15, 20, 1 << 22

# Operations of jit/simd_float.py, and the bit of its code that says the rest of the register comes from operand A
ADD, SUB, MUL, DIV, MIN, MAX, ROOT = range(7)
FLOAT_SCALAR = 1 << 24
ADDSUB = 7                                  # SUB for elements of even number, ADD for the others

# Operation of jit/simd_fma.py; FMA_ALTERNATE negates the addend once more for elements of even number
FMA_NEGATE_PRODUCT, FMA_NEGATE_ADDEND, FMA_ALTERNATE = 1, 2, 4

# Kinds of element in jit/simd_convert.py, the bit of its code that clears the rest of the register, and its control
F16, F32, F64, I32, I64, U32, U64 = range(7)
CONVERT_FILL = 1 << 25
BY_MXCSR, SUPPRESS_INEXACT = 4, 8           # instead of a rounding mode in bits 1:0; no precision exception

# XSAVE, XSAVEOPT, XSAVEC, XSAVES; bits of their code (jit/xsave.py): that number, 64-bit mode, REX.W's pointers, the
# compacted form exists
PLAIN_FORM, OPTIMISED, COMPACT, SUPERVISOR = range(4)
XSAVE_FORM, XSAVE_WIDE, XSAVE_LONG, XSAVE_COMPACTS = 3, 4, 8, 16

# Operations of jit/simd_parts.py
GETEXP, GETMANT, SCALEF, RANGE, REDUCE = range(5)

# Families of waiting instructions, each of which waits for a line only if it has armed it itself (jit/monitor.py)
BY_MWAIT, BY_UMWAIT, BY_MWAITX = 1, 2, 3
# How an instruction waits (jit/semantics/wait.py): not at all for a line; an interrupt ends it whatever RFLAGS.IF is;
# there is a deadline; IA32_UMWAIT_CONTROL may bring that forward, and CF says so
WAITS_UNMONITORED, WAITS_MASKED, WAITS_DEADLINE, WAITS_LIMITED = 1, 2, 4, 8

# Operand of the micro-op `snp`: which instruction
(SNP_PVALIDATE, SNP_RMPADJUST, SNP_RMPQUERY, SNP_RMPUPDATE, SNP_PSMASH, SNP_INVLPGB, SNP_TLBSYNC) = range(7)
