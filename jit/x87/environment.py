"""FNSTENV, FLDENV, FNSAVE, FRSTOR: the x87 environment in memory (SDM Vol. 1 8.1.10, figures 8-9 to 8-12).

FCS and FDS are always zero (CPUID leaf 7 EBX bit 13), so the linear pointers of the real-mode layouts are the offsets.
The host address of the FPU file and the linear address of the image go in; a status (jit/exits.py) comes out.
"""

from jit.access import load, probe, store
from jit.exits import OK
from jit.fpu_layout import FCS, FCW, FDP, FDS, FIP, FOP, FSW, ST
from jit.layout import FPU
from jit.mode import protected
from jit.native import State, inline, ld16, ld64, rd64, shr, st16, st64
from jit.slow import ALIGNED, STACK
from jit.x87.control import FCW_FIXED, FCW_WRITABLE, full_tags, initialise, load_tags, summarised
from jit.x87.format import EXCEPTIONS
from jit.x87.sources import ENV_BYTES, ENV_REGISTERS, ENV_WIDE
from jit.x87.stack import number, status_word

MASK16, MASK32 = 0xFFFF, 0xFFFFFFFF
OPCODE_MASK = 0x7FF


@inline
def environment_word(f: int, n: int, wide: int, pointers: int) -> int:
    """Word n of the seven. `pointers`: the protected-mode layout."""
    upper = 0xFFFF0000 if wide else 0
    if n == 0:
        return upper | ld16(f + FCW)
    if n == 1:
        return upper | ld16(f + FSW)
    if n == 2:
        return upper | full_tags(f)
    address = ld64(f + (FIP if n < 5 else FDP)) & MASK32
    if n == 3 or n == 5:
        if wide and not pointers:
            return upper | (address & MASK16)
        return address
    opcode = ld16(f + FOP) & OPCODE_MASK
    if pointers:
        selector = ld16(f + (FCS if n == 4 else FDS))
        if not wide:
            return selector
        return selector | (opcode << 16) if n == 4 else upper | selector
    high = shr(address, 16) << 12
    return high | opcode if n == 4 else high


def fpu_store_environment(st: State, linear: int, control: int) -> int:
    """FNSTENV masks all exceptions afterwards, FNSAVE initialises."""
    f = rd64(st, FPU)
    wide, pointers = control & ENV_WIDE != 0, protected(st)
    size = 4 if wide else 2
    total = ENV_BYTES[control & 3]
    status = probe(st, linear, size, control & STACK)
    if status == OK:
        status = probe(st, linear + total - 1, 1, control & STACK)
    if status != OK:
        return status
    for n in range(7):
        status = store(st, linear + n * size, size, control & STACK, environment_word(f, n, wide, pointers))
        if status != OK:
            return status
    if control & ENV_REGISTERS == 0:
        cw = ld16(f + FCW) | EXCEPTIONS
        st16(f + FCW, cw)
        st16(f + FSW, summarised(ld16(f + FSW), cw))
        return OK
    fsw = status_word(f)
    at = linear + 7 * size
    for i in range(8):
        register = f + ST + (number(fsw, i) << 4)
        status = store(st, at, 8, control & STACK | ALIGNED, ld64(register))
        if status == OK:
            status = store(st, at + 8, 2, control & STACK | ALIGNED, ld16(register + 8))
        if status != OK:
            return status
        at += 10
    initialise(f)
    return OK


@inline
def load_word(st: State, linear: int, n: int, size: int, control: int) -> int:
    return load(st, linear + n * size, size, control & STACK)


def fpu_load_environment(st: State, linear: int, control: int) -> int:
    """FLDENV, FRSTOR."""
    f = rd64(st, FPU)
    wide, pointers = control & ENV_WIDE != 0, protected(st)
    size = 4 if wide else 2
    cw, status = load(st, linear, size, control & STACK)
    if status != OK:
        return status
    cw, status = load(st, linear + ENV_BYTES[control & 3] - 1, 1, control & STACK)
    if status != OK:
        return status
    cw, status = load_word(st, linear, 0, size, control)
    if status != OK:
        return status
    fsw, status = load_word(st, linear, 1, size, control)
    if status != OK:
        return status
    tags, status = load_word(st, linear, 2, size, control)
    if status != OK:
        return status
    ip, status = load_word(st, linear, 3, size, control)
    if status != OK:
        return status
    code, status = load_word(st, linear, 4, size, control)
    if status != OK:
        return status
    dp, status = load_word(st, linear, 5, size, control)
    if status != OK:
        return status
    data, status = load_word(st, linear, 6, size, control)
    if status != OK:
        return status
    first = linear + 7 * size
    if control & ENV_REGISTERS:
        for i in range(8):
            sig, status = load(st, first + 10 * i, 8, control & STACK | ALIGNED)
            if status != OK:
                return status
            top, status = load(st, first + 10 * i + 8, 2, control & STACK | ALIGNED)
            if status != OK:
                return status
            register = f + ST + (number(fsw, i) << 4)
            st64(register, sig)
            st16(register + 8, top)
    opcode = code & OPCODE_MASK if not pointers else shr(code, 16) & OPCODE_MASK if wide else 0
    if not pointers:
        ip = (ip & MASK16) | ((shr(code, 12) & (MASK16 if wide else 15)) << 16)
        dp = (dp & MASK16) | ((shr(data, 12) & (MASK16 if wide else 15)) << 16)
    cw = (cw & FCW_WRITABLE) | FCW_FIXED
    st16(f + FCW, cw)
    st16(f + FSW, summarised(fsw & MASK16, cw))
    load_tags(f, tags)
    st64(f + FIP, ip)
    st64(f + FDP, dp)
    st64(f + FOP, opcode)
    return OK
