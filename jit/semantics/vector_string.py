"""String comparisons in vectors, and stores under a mask of bytes."""

from numba import types

from jit.access import probe, store
from jit.exits import OK
from jit.flags import CF, OF, SF, ZF, set_status
from jit.fpu_layout import xmm
from jit.layout import FPU, TMP, gpr
from jit.native import Handler, State, ctlz, cttz, ld8, rd64, shr, st8, st64, sx32, wr64
from jit.registry import op
from jit.semantics.operands import effective, hint
from jit.simd_string import CARRY, HIGHEST, OVERFLOW, SIGN, WORDS, ZERO
from jit.slow import check_address, wrap

RAX, RCX, RDX, XMM0 = gpr(0), gpr(1), gpr(2), xmm(0)
UPPER = TMP                         # maskmov: the address of the upper half (emu/decode/lower_sse_string.py)
pure_string = types.ExternalFunction("strata_pure_string", types.int64(*[types.int64] * 6))


@op("pcmpstr", *((result, width) for result in ("index", "mask") for width in (32, 64)))
def pcmpstr(result: int, width: int) -> Handler:
    """PCMPESTRI and the like: `imm` as jit/simd_string.py wants it; explicit lengths have `width` bits."""
    def pcmpstr(st: State, d: int, a: int, b: int, imm: int) -> int:
        first, second = rd64(st, RAX), rd64(st, RDX)
        if width == 32:
            first, second = sx32(first), sx32(second)
        fpu = rd64(st, FPU)
        found = pure_string(fpu, a, b, imm, first, second)
        bits = found & 0xFFFF
        if result == "index":
            none = 8 if imm & WORDS else 16
            last = 63 - ctlz(bits) if imm & HIGHEST else cttz(bits)
            wr64(st, RCX, last if bits != 0 else none)
        elif imm & HIGHEST == 0:
            st64(fpu + XMM0, bits)
            st64(fpu + XMM0 + 8, 0)
        else:
            for i in range(16):
                st8(fpu + XMM0 + i, -(shr(bits, i >> 1 if imm & WORDS else i) & 1))
        flags = CF if shr(found, CARRY) & 1 else 0
        flags |= ZF if shr(found, ZERO) & 1 else 0
        flags |= SF if shr(found, SIGN) & 1 else 0
        set_status(st, flags | (OF if shr(found, OVERFLOW) & 1 else 0))
        return OK
    return pcmpstr


@op("maskmov", 8, 16)
def maskmov(size: int) -> Handler:
    """MASKMOVDQU, MASKMOVQ: the bytes of D whose bytes in the vector at offset `imm` are negative. The upper half of 16
    goes to the address in UPPER. Like Intel's processors it checks the whole operand, the upper half first; the
    manual leaves that open."""
    def maskmov(st: State, d: int, a: int, b: int, imm: int) -> int:
        linear = effective(st, a, b, 0)
        upper = rd64(st, UPPER) if size == 16 else linear
        status = check_address(st, wrap(st, linear, hint(b)), 8, hint(b))
        if status == OK:
            status = check_address(st, wrap(st, upper, hint(b)), 8, hint(b))
        if status == OK:
            status = probe(st, upper, 8, hint(b))
        if status == OK:
            status = probe(st, linear, 8, hint(b))
        if status != OK:
            return status
        fpu = rd64(st, FPU)
        for i in range(size):
            if ld8(fpu + imm + i) & 0x80:
                to = linear + i if i < 8 else upper + (i - 8)
                status = store(st, to, 1, hint(b), ld8(fpu + d + i))
                if status != OK:
                    return status
        return OK
    return maskmov
