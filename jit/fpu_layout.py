"""The FPU file: x87, SSE, AVX and AVX-512 state, declared once.

A C-layout block apart from the plane register file (jit/layout.py), which reaches it through its field FPU; planes
that share floating-point state hold the same address. Compiled code adds the offsets below to that address.

The x87 registers are the *physical* ones, R0 to R7: ST(i) is R[(TOP + i) & 7] and MMn is Rn's significand (SDM Vol. 1
8.1.2, 9.2). FTW has one bit for each physical register, 1 where it is not empty, as in an FXSAVE image (SDM Vol. 1
10.5.1.1). XMMn and YMMn are the low 16 and 32 bytes of ZMMn.
"""

from jit.layout import Field

FPU_FIELDS: dict[str, Field] = {}
_end = 0


def _at(name: str, size: int = 8, count: int = 1, align: int = 0) -> int:
    global _end
    align = align or size
    _end = (_end + align - 1) // align * align
    FPU_FIELDS[name] = Field(name, _end, size, count)
    _end += size * count
    return FPU_FIELDS[name].offset


# --- x87: a register is its significand (8 bytes), then sign and exponent (2 bytes), in 16 bytes --------------------
ST_BYTES, ST_SIGNIFICAND, ST_EXPONENT = 16, 0, 8
ST = _at("x87_st", 8, 2 * 8)
FCW = _at("x87_control")
FSW = _at("x87_status")             # TOP in bits 13:11
FTW = _at("x87_tags")
FOP = _at("x87_opcode")
FIP = _at("x87_ip")
FDP = _at("x87_dp")
FCS = _at("x87_cs")
FDS = _at("x87_ds")

# --- SSE and later --------------------------------------------------------------------------------------------------
MXCSR = _at("mxcsr")
PKRU = _at("pkru")
OPMASK = _at("opmask", 8, 8)
_at("opmask_tmp")                               # K8, so to speak: a mask that an instruction computes for itself
TEMPORARY_MASK = 8
VECTOR_BYTES, VECTORS = 64, 32
ZMM = _at("zmm", 8, 8 * VECTORS, align=64)
VECTOR_TMPS = 8
TMPV = _at("vector_tmp", 8, 8 * VECTOR_TMPS)    # memory operands, between the micro-ops of one instruction
VECTOR_BUFFER = _at("vector_buffer", 8, 8)      # pieces of a load that is in progress
SLOW_RESULT = _at("slow_result", 8, 8)          # elements of a result that may yet be an exception
FX_IMAGE = _at("fx_image", 8, 64)               # an FXSAVE image that has been read but not yet taken
XSAVE_AREA = _at("xsave_area", 8, 344)          # an XSAVE area, likewise; in the standard form (jit/xsave_layout.py)
VECTOR_ZERO = _at("vector_zero", 8, 8)          # always 0
NO_MASK = _at("no_mask")                        # always all ones: the writemask of instructions that have none
KEPT_MXCSR = _at("kept_mxcsr")                  # MXCSR while an instruction has a rounding mode of its own

FPU_BYTES = (_end + 63) // 64 * 64

# --- values after power-up and INIT of the processor (SDM Vol. 3A table 9-1), and after FNINIT ----------------------
# (at reset every x87 register is +0.0 and valid)
RESET = {FCW: 0x40, FTW: 0xFF, MXCSR: 0x1F80, NO_MASK: (1 << 64) - 1}
FCW_INIT, MXCSR_INIT = 0x37F, 0x1F80


def xmm(number: int) -> int:
    """Byte offset of vector register `number`, 0 to 31: XMM, YMM and ZMM alike."""
    return ZMM + VECTOR_BYTES * number


def mm(number: int) -> int:
    """Byte offset of MMX register `number`, 0 to 7."""
    return ST + ST_BYTES * number


def tmpv(number: int) -> int:
    """Byte offset of vector temporary `number`, 0 to 7."""
    return TMPV + VECTOR_BYTES * number


def opmask(number: int) -> int:
    """Byte offset of opmask register `number`, 0 to 7, or 8 for the temporary."""
    return OPMASK + 8 * number
