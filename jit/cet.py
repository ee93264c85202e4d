"""Control-flow enforcement: what IA32_U_CET and IA32_S_CET enable, accesses to shadow stacks, the branch tracker (SDM
Vol. 1 chapter 17).

A shadow-stack access is one of the TLB set that grants nothing else (jit/paging.py): SHADOW_TLB points at the one for
this CPL. How near calls, returns and indirect branches are decoded depends on MODE, so that code without CET does not
pay for it.
"""

from numba import types

from jit import pmap
from jit.access import INDEX_MASK, PAGE_MASK, load_host, slow_load, slow_probe, slow_store, store_host
from jit.exits import OK
from jit.fault import CP, fault_with_code
from jit.flags import VM
from jit.layout import (
    CODE_ENTRIES,
    CODE_SHIFT,
    CODE_TLB,
    CPL,
    CR0,
    CR4,
    CS_BASE,
    DATA_SHIFT,
    JUMP_KEY,
    MODE,
    MODE_SHADOW,
    MODE_TRACK,
    MODE_WAIT,
    PMAP,
    PMAP_PAGES,
    RFL,
    S_CET,
    SHADOW_TLB,
    SLOW_VALUE,
    TLB,
    TLB_ADDEND,
    TLB_READ,
    TLB_WRITE,
    U_CET,
)
from jit.native import State, inline, ld32, ld64, rd64, shr, ult, wr64
from jit.slow import SHADOW

CR0_PE, CR4_CET = 1, 1 << 23
SH_STK_EN, WR_SHSTK_EN, ENDBR_EN, LEG_IW_EN, NO_TRACK_EN, SUPPRESS_DIS = 1, 2, 4, 8, 16, 32
SUPPRESS, TRACKER = 1 << 10, 1 << 11
NEAR_RET, FAR_RET, ENDBRANCH, RSTORSSP, SETSSBSY = 1, 2, 3, 4, 5        # error codes of #CP (SDM Vol. 3A 6.15)
KEY_SHIFT = 57              # MODE in a jump-cache tag
ENDBR64, ENDBR32 = 0xFA1E0FF3, 0xFB1E0FF3

slow_track = types.ExternalFunction(            # (state, 0, 0): the target of a branch is not known to be an ENDBRANCH
    "strata_slow_track", types.int64(types.voidptr, types.int64, types.int64))


@inline
def control_slot(level: int) -> int:
    """State field of the MSR that governs a privilege level."""
    return U_CET if level == 3 else S_CET


@inline
def enabled(st: State, level: int, bit: int) -> bool:
    """Whether SH_STK_EN or ENDBR_EN counts at a privilege level, in protected mode."""
    return (rd64(st, CR4) & CR4_CET != 0 and rd64(st, CR0) & CR0_PE != 0 and rd64(st, RFL) & VM == 0
            and rd64(st, control_slot(level)) & bit != 0)


@inline
def shadow_enabled(st: State, level: int) -> bool:
    return enabled(st, level, SH_STK_EN)


@inline
def cet_mode(st: State) -> int:
    """MODE_SHADOW, MODE_TRACK and MODE_WAIT as they follow from CR4, CPL and its MSR. WAIT without TRACK: suppressed
    until the next ENDBRANCH."""
    if rd64(st, CR4) & CR4_CET == 0 or rd64(st, CR0) & CR0_PE == 0 or rd64(st, RFL) & VM:
        return 0
    control = rd64(st, control_slot(rd64(st, CPL)))
    mode = MODE_SHADOW if control & SH_STK_EN else 0
    if control & ENDBR_EN:
        if control & SUPPRESS:
            mode |= MODE_WAIT
        else:
            mode |= MODE_TRACK | MODE_WAIT if control & TRACKER else MODE_TRACK
    return mode


@inline
def control_protection(st: State, code: int) -> int:
    return fault_with_code(st, CP, code)


# --- shadow stacks ---------------------------------------------


@inline
def shadow_entry(st: State, linear: int) -> int:
    """Host address of the TLB entry for a shadow-stack access at this CPL."""
    return rd64(st, SHADOW_TLB) + ((shr(linear, 12) & INDEX_MASK) << DATA_SHIFT)


@inline
def load_shadow(st: State, linear: int, size: int) -> tuple[int, int]:
    """(value, status) of a shadow-stack load of 4 or 8 bytes."""
    entry = shadow_entry(st, linear)
    if ld64(entry + TLB_READ) == (linear + (size - 1)) & PAGE_MASK:
        return load_host(linear + ld64(entry + TLB_ADDEND), size), OK
    status = slow_load(st, linear, size | SHADOW)
    return rd64(st, SLOW_VALUE), status


@inline
def probe_shadow(st: State, linear: int, size: int) -> int:
    """Status of asking whether a shadow-stack store can complete."""
    if ld64(shadow_entry(st, linear) + TLB_WRITE) == (linear + (size - 1)) & PAGE_MASK:
        return OK
    return slow_probe(st, linear, size | SHADOW)


@inline
def store_shadow(st: State, linear: int, size: int, value: int) -> int:
    """Status of a shadow-stack store."""
    entry = shadow_entry(st, linear)
    if ld64(entry + TLB_WRITE) == (linear + (size - 1)) & PAGE_MASK:
        store_host(linear + ld64(entry + TLB_ADDEND), size, value)
        return OK
    wr64(st, SLOW_VALUE, value)
    return slow_store(st, linear, size | SHADOW)


# --- indirect branch tracking ---------------------------------------------


@inline
def starts_with_endbranch(st: State, rip: int, endbranch: int) -> bool:
    """Whether the instruction at RIP is known to be an ENDBRANCH, from the code TLB alone."""
    linear = rip + rd64(st, CS_BASE)
    entry = rd64(st, TLB) + CODE_TLB + ((shr(linear, 12) & (CODE_ENTRIES - 1)) << CODE_SHIFT)
    if ld64(entry) != (linear + 3) & PAGE_MASK:
        return False
    pfn = shr(ld64(entry + 8), 12)
    if not ult(pfn, rd64(st, PMAP_PAGES)):
        return False
    backing = ld64(rd64(st, PMAP) + (pfn << 3))
    return backing & pmap.READ != 0 and ld32((backing & PAGE_MASK) | (linear & 0xFFF)) == endbranch


@inline
def track(st: State, rip: int, endbranch: int) -> int:
    """After an indirect branch to RIP, the last of its work: the next instruction has to be an ENDBRANCH. Where it is
    known to be one the tracker stays idle, as that instruction will leave it, so that regions need not end here. An
    event between the two does not find TRACKER set then."""
    if starts_with_endbranch(st, rip, endbranch):
        return OK
    return slow_track(st, 0, 0)


def wait_for_endbranch(st: State, _: int, __: int) -> int:
    """The tracker waits; MODE and what depends on it follow. Not for a change of CPL."""
    slot = control_slot(rd64(st, CPL))
    wr64(st, slot, rd64(st, slot) | TRACKER)
    if rd64(st, MODE) & MODE_WAIT == 0:
        wr64(st, MODE, rd64(st, MODE) | MODE_WAIT)
        wr64(st, JUMP_KEY, rd64(st, JUMP_KEY) ^ (MODE_WAIT << KEY_SHIFT))
    return OK


@inline
def far_track(st: State, level: int) -> None:
    """A far transfer to CPL `level` ends: the tracker waits, and is not suppressed. The caller recomputes MODE."""
    if enabled(st, level, ENDBR_EN):
        slot = control_slot(level)
        wr64(st, slot, (rd64(st, slot) | TRACKER) & ~SUPPRESS)


