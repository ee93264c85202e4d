"""Instructions on the FPU's own words: tags, TOP, FCW, FSW (SDM Vol. 2A; Vol. 1 8.1.3 to 8.1.7)."""

from jit.fpu_layout import FCS, FCW, FCW_INIT, FDP, FDS, FIP, FOP, FSW, FTW, ST
from jit.native import inline, ld16, ld64, st8, st16, st64
from jit.x87.format import BUSY, C1, ES, EXCEPTIONS, NORMAL, SF, TOP_MASK, ZERO, kind
from jit.x87.sources import FREE, FREE_POP, ROTATE_DOWN, ROTATE_UP
from jit.x87.stack import empty, popped, status_word, turned

FCW_WRITABLE, FCW_FIXED = 0x1F3F, 0x40  # infinity control is kept, bit 6 always set (SDM Vol. 1 8.1.5)
TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY = 0, 1, 2, 3
ALL_EMPTY = 0xFFFF


@inline
def summarised(fsw: int, cw: int) -> int:
    """FSW with ES and B as its flags and the masks of FCW make them."""
    return (fsw | ES | BUSY) if fsw & ~cw & EXCEPTIONS else fsw & ~(ES | BUSY)


@inline
def load_control(f: int, value: int) -> None:
    """FLDCW."""
    cw = (value & FCW_WRITABLE) | FCW_FIXED
    st16(f + FCW, cw)
    st16(f + FSW, summarised(ld16(f + FSW), cw))


@inline
def clear_exceptions(f: int) -> None:
    """FNCLEX."""
    st16(f + FSW, ld16(f + FSW) & ~(EXCEPTIONS | SF | ES | BUSY))


@inline
def initialise(f: int) -> None:
    """FNINIT; the registers keep their bits."""
    st64(f + FCW, FCW_INIT)
    for word in (FSW, FTW, FOP, FIP, FDP, FCS, FDS):
        st64(f + word, 0)


@inline
def enter_mmx(f: int) -> None:
    """What every MMX instruction but EMMS does: TOP = 0, all registers valid (SDM Vol. 1 9.5.1)."""
    st8(f + FTW, 0xFF)
    st16(f + FSW, ld16(f + FSW) & ~TOP_MASK)


@inline
def adjust(f: int, control: int) -> None:
    """FINCSTP, FDECSTP, FFREE, FFREEP by the FREE ... ROTATE_DOWN bits."""
    fsw = status_word(f) & ~C1
    if control & (FREE | FREE_POP):
        empty(f, fsw, control & 7)
        if control & FREE_POP:
            fsw = popped(f, fsw, 1)
    if control & ROTATE_UP:
        fsw = turned(fsw, 1)
    if control & ROTATE_DOWN:
        fsw = turned(fsw, -1)
    st16(f + FSW, fsw)


@inline
def full_tags(f: int) -> int:
    """The tag word with two bits for each register (SDM Vol. 1 8.1.7)."""
    tags = 0
    valid = ld16(f + FTW)
    if valid & 0xFF == 0:
        return ALL_EMPTY
    for n in range(8):
        tag = TAG_EMPTY
        if (valid >> n) & 1:
            value_kind = kind(ld64(f + ST + (n << 4)), ld16(f + ST + (n << 4) + 8))
            tag = TAG_VALID if value_kind == NORMAL else TAG_ZERO if value_kind == ZERO else TAG_SPECIAL
        tags |= tag << (n << 1)
    return tags


@inline
def load_tags(f: int, tags: int) -> None:
    """FTW from a full tag word, of which only emptiness matters."""
    valid = 0
    if tags & ALL_EMPTY != ALL_EMPTY:
        for n in range(8):
            if (tags >> (n << 1)) & 3 != TAG_EMPTY:
                valid |= 1 << n
    st8(f + FTW, valid)
