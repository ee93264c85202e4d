"""The 512-byte image of FXSAVE and FXRSTOR (SDM Vol. 1 10.5.1, table 10-2; the start of every XSAVE image too)."""

from jit.fpu_layout import FCS, FCW, FCW_INIT, FDP, FDS, FIP, FOP, FSW, FTW, MXCSR, ST, ZMM
from jit.native import inline, ld8, ld16, ld32, ld64, memmove, memset, shr, st64

FX_BYTES, FX_MXCSR, FX_ST, FX_XMM = 512, 24, 32, 160
MXCSR_MASK = 0xFFFF
FCW_WRITABLE, FCW_FIXED = 0x1F3F, 0x40
EXCEPTIONS, SUMMARY = 0x3F, 0x8080      # of FSW: ES, and B which repeats it


@inline
def register(fpu: int, i: int) -> int:
    """Address of ST(i)."""
    return fpu + ST + (((shr(ld16(fpu + FSW), 11) + i) & 7) << 4)


@inline
def image_word(fpu: int, at: int, long: int) -> int:
    """The 8 bytes of the image at offset `at`, which is below the end of XMM15."""
    if at == 0:
        return ld16(fpu + FCW) | (ld16(fpu + FSW) << 16) | (ld8(fpu + FTW) << 32) | (ld16(fpu + FOP) << 48)
    if at == 8:
        return ld64(fpu + FIP) if long else ld32(fpu + FIP) | (ld16(fpu + FCS) << 32)
    if at == 16:
        return ld64(fpu + FDP) if long else ld32(fpu + FDP) | (ld16(fpu + FDS) << 32)
    if at == 24:
        return ld32(fpu + MXCSR) | (MXCSR_MASK << 32)
    if at < FX_XMM:
        base = register(fpu, shr(at - FX_ST, 4))
        return ld64(base) if at & 8 == 0 else ld16(base + 8)
    return ld64(fpu + ZMM + 4 * ((at - FX_XMM) & ~15) + (at & 8))


@inline
def initial_x87(fpu: int) -> bool:
    """Whether the x87 state is what FNINIT leaves, with registers of zero (SDM Vol. 1 13.6)."""
    odd = (ld64(fpu + FCW) ^ FCW_INIT) | ld64(fpu + FSW) | ld64(fpu + FTW) | ld64(fpu + FOP) | ld64(fpu + FIP)
    odd |= ld64(fpu + FDP) | ld64(fpu + FCS) | ld64(fpu + FDS)
    for i in range(8):
        odd |= ld64(fpu + ST + 16 * i) | ld16(fpu + ST + 16 * i + 8)
    return odd == 0


@inline
def initialise_x87(fpu: int) -> None:
    """Put it in that state."""
    memset(fpu + ST, 0, 16 * 8)
    for field in (FSW, FTW, FOP, FIP, FDP, FCS, FDS):
        st64(fpu + field, 0)
    st64(fpu + FCW, FCW_INIT)


@inline
def canonical(pointer: int) -> int:
    """A 64-bit instruction pointer is kept as an address of 57 bits, as processors with 5-level paging do."""
    return (pointer << 7) >> 7


@inline
def restore_x87(fpu: int, image: int, long: int) -> None:
    """The x87 part of an image at host address `image`."""
    control = (ld16(image) & FCW_WRITABLE) | FCW_FIXED
    status = ld16(image + 2) & ~SUMMARY
    if status & ~control & EXCEPTIONS:
        status |= SUMMARY
    st64(fpu + FCW, control)
    st64(fpu + FSW, status)
    st64(fpu + FTW, ld8(image + 4))
    st64(fpu + FOP, ld16(image + 6) & 0x7FF)
    st64(fpu + FIP, canonical(ld64(image + 8)) if long else ld32(image + 8))
    st64(fpu + FDP, ld64(image + 16) if long else ld32(image + 16))
    st64(fpu + FCS, 0 if long else ld16(image + 12))
    st64(fpu + FDS, 0 if long else ld16(image + 20))
    for i in range(8):
        memmove(register(fpu, i), image + FX_ST + 16 * i, 10)
