"""Software TLBs: the one place where permissions are decided.

A set holds data entries, code entries and the jump cache (jit/layout.py). A plane has one set for each way in which
the same page tables grant different rights: supervisor, user, and supervisor under SMAP with EFLAGS.AC = 0, so that a
change of CPL changes a pointer and flushes nothing. A fourth set is the user's while alignment is checked (SDM Vol. 3A
6.15, #AC): it has no data entries, so that the check is only on the slow path. Two more serve shadow-stack accesses.
"""

from jit import exits, pmap
from jit.access import PAGE_MASK
from jit.exits import OK
from jit.fault import general_protection
from jit.flags import AC
from jit.guards import DENY_SHARED_WRITE, DENY_WRITE, HOW_SHADOW_STACK, HOW_SHARED
from jit.layout import (
    A20_MASK,
    CODE_ENTRIES,
    CODE_FILTER,
    CODE_SHIFT,
    CODE_TLB,
    CPL,
    CR0,
    CR4,
    DATA_ENTRIES,
    DATA_SHIFT,
    DENIED_LINEAR,
    FILL_LIMIT,
    FILLED,
    FILLS,
    FILTER_BITS,
    JUMP_CACHE,
    JUMP_ENTRIES,
    JUMP_SHIFT,
    JUMPS,
    KEYS_USED,
    RFL,
    SET_ALIGN,
    SET_BYTES,
    SET_SHADOW,
    SET_SHADOW_USER,
    SET_SMAP,
    SET_SUPERVISOR,
    SET_USED,
    SET_USER,
    SETS,
    SHADOW_TLB,
    TLB,
    TLB_ADDEND,
    TLB_GPA,
    TLB_INVALID,
    TLB_LINES,
    TLB_READ,
    TLB_SET,
    TLB_SETS,
    TLB_WATCHED,
    TLB_WRITE,
    VMPL_SSS,
    WALK_GPA,
    WALK_RIGHTS,
    WP_IGNORED,
)
from jit.native import State, inline, ld64, rd64, shr, st64, wr64
from jit.paging import (
    CR4_SMAP,
    ERROR_P,
    ERROR_RSVD,
    EXECUTE,
    IS_DIRTY,
    MAY_WRITE,
    READ,
    WRITE,
    host_page,
    how_of,
    is_shadow,
    is_user,
    page_fault,
    touch,
    walk,
)
from jit.probe import READ_BIT, watched, watched_lines
from jit.second_stage import denials, denied, physical
from jit.watch import page_is_watched

CR0_AM = 1 << 18
FILLED_DATA, FILLED_CODE, FILLED_JUMP, FILLED_FILTER = range(4)    # what kind of entry is in bits 1:0 of its address


@inline
def set_address(st: State, tlb_set: int) -> int:
    return rd64(st, SETS) + tlb_set * SET_BYTES


@inline
def note_fill(st: State, entry: int, kind: int) -> None:
    """An entry that was empty is filled: the next flush need look at no others, unless there are too many."""
    count = rd64(st, FILLS)
    if count < FILL_LIMIT:
        wr64(st, FILLED + (count << 3), entry | kind)
    if count <= FILL_LIMIT:
        wr64(st, FILLS, count + 1)


def translate(st: State, linear: int, access: int, tlb_set: int) -> int:
    """GPA of `linear` in WALK_GPA, filling the TLB when the page is plain memory. OK, FAULT or DENIED. In an SEV-SNP
    guest WALK_GPA becomes the system-physical address, which is what the physical map goes by."""
    wr64(st, DENIED_LINEAR, linear)
    status = walk(st, linear, access, tlb_set)
    if status != OK:
        return status
    page = linear & PAGE_MASK
    gpa = rd64(st, WALK_GPA) & rd64(st, A20_MASK)
    how = how_of(st, access)
    if rd64(st, VMPL_SSS) != 0 and is_shadow(tlb_set):
        if how & HOW_SHARED:
            return page_fault(st, linear, access, tlb_set, ERROR_P | ERROR_RSVD)
        if tlb_set == SET_SHADOW:
            how |= HOW_SHADOW_STACK
    at = physical(st, gpa, how)
    backing = host_page(st, at)
    if access == WRITE and backing & pmap.GUARDED:
        return general_protection(st, 0)
    if denied(st, gpa | (linear & 0xFFF), access, is_user(tlb_set), how):
        return exits.DENIED
    allowed = denials(st, gpa) & (DENY_SHARED_WRITE if how & HOW_SHARED else DENY_WRITE) == 0
    gpa = at
    if access == WRITE:
        backing = touch(st, gpa, backing)
    base = set_address(st, tlb_set)
    st64(base + SET_USED, 1)
    if access == EXECUTE:
        bits = ld64(filter_word(base, page))
        if bits == 0:
            note_fill(st, filter_word(base, page), FILLED_FILTER)
        st64(filter_word(base, page), bits | filter_bit(page))
        entry = base + CODE_TLB + ((shr(linear, 12) & (CODE_ENTRIES - 1)) << CODE_SHIFT)
        if ld64(entry) == TLB_INVALID:
            note_fill(st, entry, FILLED_CODE)
        st64(entry, page)
        st64(entry + 8, gpa)
    elif backing & pmap.READ and tlb_set != SET_ALIGN and not page_is_watched(st, page):
        entry = base + ((shr(linear, 12) & (DATA_ENTRIES - 1)) << DATA_SHIFT)
        if ld64(entry + TLB_READ) == TLB_INVALID:
            note_fill(st, entry, FILLED_DATA)
        writable = (rd64(st, WALK_RIGHTS) & (MAY_WRITE | IS_DIRTY) == MAY_WRITE | IS_DIRTY
                    and backing & (pmap.WRITE | pmap.CODE | pmap.WATCHED | pmap.CLEAN) == pmap.WRITE
                    and allowed)
        kinds = watched(st, page, gpa)
        if kinds:
            st64(entry + TLB_LINES, watched_lines(st, page, gpa))
        st64(entry + TLB_READ, page | TLB_WATCHED if kinds & READ_BIT else page)
        st64(entry + TLB_WRITE, TLB_INVALID if not writable else page | TLB_WATCHED if kinds else page)
        st64(entry + TLB_ADDEND, (backing & PAGE_MASK) - page)
        st64(entry + TLB_GPA, gpa)
    wr64(st, WALK_GPA, gpa | (linear & 0xFFF))
    return OK


def walk_operand(st: State, linear: int, tlb_set: int) -> int:
    """The guest-physical address of a data operand in WALK_GPA, by the guest's page tables alone: OK, FAULT or DENIED.
    PVALIDATE and its like check the page itself (APM Vol. 3)."""
    wr64(st, DENIED_LINEAR, linear)
    status = walk(st, linear, READ, tlb_set)
    if status == OK:
        wr64(st, WALK_GPA, (rd64(st, WALK_GPA) & rd64(st, A20_MASK)) | (linear & 0xFFF))
    return status


@inline
def filter_word(base: int, linear: int) -> int:
    """Host address of the word of a set's filter that has the bit of a linear page: bit `filter_bit`."""
    return base + CODE_FILTER + (((shr(linear, 18) ^ shr(linear, 30)) & (FILTER_BITS // 64 - 1)) << 3)


@inline
def filter_bit(linear: int) -> int:
    return 1 << (shr(linear, 12) & 63)


@inline
def flush_set_data(base: int) -> None:
    """Whole entries, which the compiler makes wide stores of."""
    for i in range(DATA_ENTRIES):
        st64(base + (i << DATA_SHIFT) + TLB_READ, TLB_INVALID)
        st64(base + (i << DATA_SHIFT) + TLB_WRITE, TLB_INVALID)
        st64(base + (i << DATA_SHIFT) + TLB_ADDEND, 0)
        st64(base + (i << DATA_SHIFT) + TLB_GPA, 0)


@inline
def flush_set_code(base: int) -> None:
    for i in range(CODE_ENTRIES):
        st64(base + CODE_TLB + (i << CODE_SHIFT), TLB_INVALID)
    for i in range(JUMP_ENTRIES << JUMP_SHIFT >> 3):
        st64(base + JUMP_CACHE + (i << 3), 0)
    for i in range(FILTER_BITS // 64):
        st64(base + CODE_FILTER + (i << 3), 0)


@inline
def flush_filled(st: State, count: int) -> None:
    """Empty the entries that were filled since the last flush."""
    for i in range(count):
        entry, kind = rd64(st, FILLED + (i << 3)) & -4, rd64(st, FILLED + (i << 3)) & 3
        if kind == FILLED_DATA:
            st64(entry + TLB_READ, TLB_INVALID)
            st64(entry + TLB_WRITE, TLB_INVALID)
            st64(entry + TLB_GPA, 0)
        elif kind == FILLED_CODE:
            st64(entry, TLB_INVALID)
        else:
            st64(entry, 0)
            if kind == FILLED_JUMP:
                st64(entry + 8, 0)


@inline
def flush_all(st: State) -> None:
    """Drop every translation of the plane (SDM Vol. 3A 4.10.4.1)."""
    filled = rd64(st, FILLS)
    if filled <= FILL_LIMIT:
        flush_filled(st, filled)
    for i in range(TLB_SETS):
        base = set_address(st, i)
        if ld64(base + SET_USED) != 0:
            if filled > FILL_LIMIT:
                flush_set_data(base)
                flush_set_code(base)
            st64(base + SET_USED, 0)
    wr64(st, FILLS, 0)
    wr64(st, KEYS_USED, 0)
    wr64(st, WP_IGNORED, 0)


@inline
def flush_page(st: State, linear: int) -> None:
    """Drop the translations of one linear page, as INVLPG does. Jump-cache entries are not kept by page; the filter
    tells that there are none for pages of data."""
    page = linear & PAGE_MASK
    for i in range(TLB_SETS):
        base = set_address(st, i)
        if ld64(base + SET_USED) == 0:
            continue
        data = base + ((shr(linear, 12) & (DATA_ENTRIES - 1)) << DATA_SHIFT)
        if ld64(data + TLB_READ) & ~TLB_WATCHED == page:
            st64(data + TLB_READ, TLB_INVALID)
            st64(data + TLB_WRITE, TLB_INVALID)
        if ld64(filter_word(base, page)) & filter_bit(page):
            flush_set_code(base)


def withdraw_writes(st: State, gpa: int) -> int:
    """Withdraw write permission to a guest-physical page: it came to hold decoded instructions or a line
    that is monitored."""
    for i in range(TLB_SETS):
        base = set_address(st, i)
        if ld64(base + SET_USED) != 0:
            for j in range(DATA_ENTRIES):
                entry = base + (j << DATA_SHIFT)
                if ld64(entry + TLB_GPA) == gpa:
                    st64(entry + TLB_WRITE, TLB_INVALID)
    return OK


def flush_all_translations(st: State) -> int:
    flush_all(st)
    return OK


def flush_data(st: State) -> int:
    """Drop the translations of data accesses: rights changed that do not matter to fetches."""
    for i in range(TLB_SETS):
        flush_set_data(set_address(st, i))
    wr64(st, KEYS_USED, 0)
    return OK


@inline
def select_set(st: State) -> None:
    """Put the TLB set in force that fits CPL, CR0.AM, CR4.SMAP and RFLAGS.AC (SDM Vol. 3A 4.6, 6.15)."""
    number = SET_SUPERVISOR
    if rd64(st, CPL) == 3:
        checked = rd64(st, CR0) & CR0_AM and rd64(st, RFL) & AC
        number = SET_ALIGN if checked else SET_USER
    elif rd64(st, CR4) & CR4_SMAP and not rd64(st, RFL) & AC:
        number = SET_SMAP
    if number != rd64(st, TLB_SET) or rd64(st, TLB) == 0:
        base = set_address(st, number)
        wr64(st, TLB_SET, number)
        wr64(st, TLB, base)
        wr64(st, JUMPS, base + JUMP_CACHE)
        wr64(st, SHADOW_TLB, set_address(st, SET_SHADOW_USER if rd64(st, CPL) == 3 else SET_SHADOW))
