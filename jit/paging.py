"""Page walks (SDM Vol. 3A chapter 4): linear address -> guest-physical address and rights, or a page fault.

The formats differ in entry size and level count only, so one loop serves 4-level and PAE paging and one function the
32-bit format. A walk sets accessed and dirty bits once every check has passed.
"""

from jit import exits, pmap
from jit.access import PAGE_MASK, note_write
from jit.exits import FAULT, OK
from jit.guards import HOW_SHARED, HOW_WALK
from jit.layout import (
    C_BIT,
    CR0,
    CR3,
    CR4,
    EFER,
    FAULT_ADDRESS,
    FAULT_ERROR,
    FAULT_HAS_ERROR,
    FAULT_VECTOR,
    PDPTE,
    PHYS_MASK,
    PMAP,
    PMAP_PAGES,
    SET_ALIGN,
    SET_SHADOW_USER,
    SET_SMAP,
    SET_USER,
    VIRTUAL_TOM,
    WALK_GPA,
    WALK_RIGHTS,
    WP_IGNORED,
)
from jit.native import State, inline, ld32, ld64, rd64, shr, st32, st64, ult, wr64
from jit.protection_keys import WRITE_DISABLE, forbids, key_rights
from jit.second_stage import denied, denied_status, physical

READ, WRITE, EXECUTE = 0, 1, 2                      # kinds of access
MAY_WRITE, MAY_EXECUTE, IS_DIRTY, GLOBAL, IS_SHARED = 1, 2, 4, 8, 16     # WALK_RIGHTS

CR0_WP, CR0_PG = 1 << 16, 1 << 31
CR4_PSE, CR4_PAE, CR4_PGE, CR4_LA57, CR4_SMEP, CR4_SMAP = 1 << 4, 1 << 5, 1 << 7, 1 << 12, 1 << 20, 1 << 21
EFER_LMA, EFER_NXE = 1 << 10, 1 << 11
P, RW, US, A, D, PS, G = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
NX = -(1 << 63)
SHADOW_PAGE = 1 << 8            # in rights: the page is a shadow-stack page
ERROR_P, ERROR_W, ERROR_U, ERROR_RSVD, ERROR_I, ERROR_PK, ERROR_SS = 1, 2, 4, 8, 16, 32, 64
FRAME = 0x000F_FFFF_FFFF_F000                       # bits 51:12 of a 64-bit entry


@inline
def host_page(st: State, gpa: int) -> int:
    """The physical map's word for the page of `gpa`: 0 where there is no memory."""
    pfn = shr(gpa, 12)
    if ult(pfn, rd64(st, PMAP_PAGES)):
        return ld64(rd64(st, PMAP) + (pfn << 3))
    return 0


@inline
def touch(st: State, gpa: int, page: int) -> int:
    """The word of a page that is about to be written: it is not clean any more."""
    if page & (pmap.WRITE | pmap.CLEAN) == pmap.WRITE | pmap.CLEAN:
        page &= ~pmap.CLEAN
        st64(rd64(st, PMAP) + (shr(gpa, 12) << 3), page)
    return page


@inline
def host_of(st: State, gpa: int, wanted: int) -> int:
    """Host address of `gpa` where the page's flags include `wanted` (jit/pmap.py), else 0. Who wants pmap.WRITE is
    taken to write."""
    page = host_page(st, gpa)
    if page & wanted == wanted:
        if wanted & pmap.WRITE:
            page = touch(st, gpa, page)
        return (page & PAGE_MASK) | (gpa & 0xFFF)
    return 0


@inline
def read_entry(st: State, gpa: int, wide: int) -> int:
    """A page-table entry at a guest-physical address; SEV guests' tables are always private."""
    host = host_of(st, physical(st, gpa, 0), pmap.READ)
    if host == 0:
        return 0
    return ld64(host) if wide else ld32(host)


@inline
def may_mark(st: State, gpa: int, entry: int, bits: int) -> bool:
    """Whether the second stage lets a walk set `bits` of an entry, where they are not set."""
    return entry & bits == bits or not denied(st, gpa, WRITE, False, HOW_WALK)


@inline
def mark_entry(st: State, gpa: int, entry: int, bits: int, wide: int) -> None:
    if entry & bits == bits:
        return
    gpa = physical(st, gpa, 0)
    host = host_of(st, gpa, pmap.WRITE)
    if host != 0:
        if wide:
            st64(host, entry | bits)
        else:
            st32(host, entry | bits)
        if host_page(st, gpa) & pmap.WATCHED:
            note_write(st, gpa, 8 if wide else 4)


@inline
def page_fault(st: State, linear: int, access: int, tlb_set: int, error: int) -> int:
    """Record a #PF (SDM Vol. 3A 4.7)."""
    if access == WRITE:
        error |= ERROR_W
    elif access == EXECUTE and ((rd64(st, EFER) & EFER_NXE and rd64(st, CR4) & CR4_PAE)
                                or rd64(st, CR4) & CR4_SMEP):
        error |= ERROR_I
    if is_user(tlb_set):
        error |= ERROR_U
    if is_shadow(tlb_set):
        error |= ERROR_SS
    wr64(st, FAULT_VECTOR, 14)
    wr64(st, FAULT_ERROR, error)
    wr64(st, FAULT_HAS_ERROR, 1)
    wr64(st, FAULT_ADDRESS, linear)
    return FAULT


@inline
def is_user(tlb_set: int) -> bool:
    """Whether a TLB set serves user-mode accesses."""
    return tlb_set == SET_USER or tlb_set == SET_ALIGN or tlb_set == SET_SHADOW_USER


@inline
def is_shadow(tlb_set: int) -> bool:
    """Whether a TLB set serves shadow-stack accesses."""
    return tlb_set >= SET_SHADOW_USER


@inline
def permitted(st: State, rights: int, access: int, tlb_set: int, nx: int) -> bool:
    """Whether accumulated R/W and U/S rights allow the access (SDM Vol. 3A 4.6.1)."""
    user_page = rights & US
    if is_shadow(tlb_set):
        return rights & SHADOW_PAGE != 0 and (user_page != 0) == is_user(tlb_set)
    if access == EXECUTE and nx:
        return False
    if is_user(tlb_set):
        if not user_page:
            return False
        return access != WRITE or rights & RW != 0
    if user_page:
        if access == EXECUTE:
            return rd64(st, CR4) & CR4_SMEP == 0
        if tlb_set == SET_SMAP:
            return False
    if access == WRITE and not rights & RW:
        return rd64(st, CR0) & CR0_WP == 0
    return True


@inline
def grant(st: State, gpa: int, rights: int, tlb_set: int, nx: int, dirty: int, is_global: int, keys: int) -> int:
    """Record what a successful walk found. `keys`: AD and WD of the page's protection key."""
    granted = IS_DIRTY if dirty else 0
    if permitted(st, rights, WRITE, tlb_set, nx) and not forbids(st, keys, True, is_user(tlb_set)):
        granted |= MAY_WRITE
        if (not rights & RW or keys & WRITE_DISABLE) and not is_shadow(tlb_set):
            wr64(st, WP_IGNORED, 1)
    if permitted(st, rights, EXECUTE, tlb_set, nx):
        granted |= MAY_EXECUTE
    if is_global and rd64(st, CR4) & CR4_PGE:
        granted |= GLOBAL
    wr64(st, WALK_GPA, gpa)
    wr64(st, WALK_RIGHTS, granted)
    return OK


@inline
def shadow_page(above: int, leaf: int) -> int:
    """SHADOW_PAGE where the leaf is dirty without being writable, and every entry above it is writable (SDM Vol. 3A
    4.6)."""
    return SHADOW_PAGE if above & RW and leaf & (RW | D) == D else 0


@inline
def is_shared(st: State, entry: int, gpa: int) -> bool:
    """Whether data of the page that an entry maps is shared with the hypervisor: by the C-bit (APM Vol. 2 15.34.5), or
    where vTOM is active by the address (15.36.8)."""
    top = rd64(st, VIRTUAL_TOM)
    if top != 0:
        return not ult(gpa, top)
    encrypted = rd64(st, C_BIT)
    return encrypted != 0 and entry & encrypted == 0


@inline
def how_of(st: State, access: int) -> int:
    """HOW_* bits of an access to the page in WALK_*: instruction fetches are always private."""
    return HOW_SHARED if access != EXECUTE and rd64(st, WALK_RIGHTS) & IS_SHARED else 0


@inline
def walk32(st: State, linear: int, access: int, tlb_set: int) -> int:
    """32-bit paging, with 4 MiB pages and PSE-36 where CR4.PSE is set (SDM Vol. 3A 4.3)."""
    pde_at = (rd64(st, CR3) & 0xFFFFF000) | (shr(linear, 20) & 0xFFC)
    if denied_status(st, pde_at, READ) != OK:
        return exits.DENIED
    pde = read_entry(st, pde_at, False)
    if not pde & P:
        return page_fault(st, linear, access, tlb_set, 0)
    if pde & PS and rd64(st, CR4) & CR4_PSE:
        if pde & (1 << 21):
            return page_fault(st, linear, access, tlb_set, ERROR_P | ERROR_RSVD)
        rights = pde & (RW | US) | shadow_page(RW, pde)
        if not permitted(st, rights, access, tlb_set, False):
            return page_fault(st, linear, access, tlb_set, ERROR_P)
        dirty = access == WRITE or pde & D != 0
        mark = A | D if access == WRITE else A
        if not may_mark(st, pde_at, pde, mark):
            return exits.DENIED
        mark_entry(st, pde_at, pde, mark, False)
        gpa = ((pde & 0xFFC00000) | ((pde & 0x1FE000) << 19) | (linear & 0x3FF000)) & rd64(st, PHYS_MASK)
        return grant(st, gpa, rights, tlb_set, False, dirty, pde & G != 0, 0)
    pte_at = (pde & 0xFFFFF000) | (shr(linear, 10) & 0xFFC)
    if denied_status(st, pte_at, READ) != OK:
        return exits.DENIED
    pte = read_entry(st, pte_at, False)
    if not pte & P:
        return page_fault(st, linear, access, tlb_set, 0)
    rights = pde & pte & (RW | US) | shadow_page(pde, pte)
    if not permitted(st, rights, access, tlb_set, False):
        return page_fault(st, linear, access, tlb_set, ERROR_P)
    dirty = access == WRITE or pte & D != 0
    mark = A | D if access == WRITE else A
    if not (may_mark(st, pde_at, pde, A) and may_mark(st, pte_at, pte, mark)):
        return exits.DENIED
    mark_entry(st, pde_at, pde, A, False)
    mark_entry(st, pte_at, pte, mark, False)
    return grant(st, pte & 0xFFFFF000, rights, tlb_set, False, dirty, pte & G != 0, 0)


@inline
def walk64(st: State, linear: int, access: int, tlb_set: int, long_mode: int) -> int:
    """4- and 5-level paging, and PAE paging as two levels under the PDPTE registers (SDM Vol. 3A 4.4, 4.5)."""
    encrypted = rd64(st, C_BIT)
    reserved = ~rd64(st, PHYS_MASK) & ~encrypted & FRAME
    if not rd64(st, EFER) & EFER_NXE:
        reserved |= NX
    rights = RW | US
    nx = False
    if long_mode:
        table = rd64(st, CR3) & FRAME & rd64(st, PHYS_MASK)
        shift = 48 if rd64(st, CR4) & CR4_LA57 else 39
    else:
        pdpte = rd64(st, PDPTE + ((shr(linear, 30) & 3) << 3))
        if not pdpte & P:
            return page_fault(st, linear, access, tlb_set, 0)
        table = pdpte & FRAME & ~encrypted
        shift = 21
        reserved |= 0x7FF0_0000_0000_0000
    at0, at1, at2, at3 = 0, 0, 0, 0                 # entries above the leaf, to mark accessed
    entry0, entry1, entry2, entry3 = 0, 0, 0, 0
    while True:
        at = table | ((shr(linear, shift) & 0x1FF) << 3)
        if denied_status(st, at, READ) != OK:
            return exits.DENIED
        entry = read_entry(st, at, True)
        if not entry & P:
            return page_fault(st, linear, access, tlb_set, 0)
        bad = entry & reserved
        leaf = shift == 12 or (entry & PS != 0 and shift <= 30)
        if shift >= 39:
            bad |= entry & PS
        elif leaf and shift != 12:
            bad |= entry & ((1 << shift) - 1) & ~0x1FFF     # bit 12 is PAT
        if bad:
            return page_fault(st, linear, access, tlb_set, ERROR_P | ERROR_RSVD)
        above = rights
        rights &= entry
        nx = nx or entry & NX != 0
        if leaf:
            break
        at0, at1, at2, at3 = at1, at2, at3, at
        entry0, entry1, entry2, entry3 = entry1, entry2, entry3, entry
        table = entry & FRAME & ~encrypted
        shift -= 9
    rights |= shadow_page(above, entry)
    keys = key_rights(st, entry, rights) if long_mode else 0
    locked = access != EXECUTE and forbids(st, keys, access == WRITE, is_user(tlb_set))
    if locked or not permitted(st, rights, access, tlb_set, nx):
        return page_fault(st, linear, access, tlb_set, ERROR_P | ERROR_PK if locked else ERROR_P)
    mark = A | D if access == WRITE else A
    if not (may_mark(st, at, entry, mark) and (at0 == 0 or may_mark(st, at0, entry0, A))
            and (at1 == 0 or may_mark(st, at1, entry1, A)) and (at2 == 0 or may_mark(st, at2, entry2, A))
            and (at3 == 0 or may_mark(st, at3, entry3, A))):
        return exits.DENIED
    if at0 != 0:
        mark_entry(st, at0, entry0, A, True)
    if at1 != 0:
        mark_entry(st, at1, entry1, A, True)
    if at2 != 0:
        mark_entry(st, at2, entry2, A, True)
    if at3 != 0:
        mark_entry(st, at3, entry3, A, True)
    mark_entry(st, at, entry, mark, True)
    inside = (1 << shift) - 1
    gpa = (entry & FRAME & ~encrypted & ~inside) | (linear & inside & PAGE_MASK)
    grant(st, gpa, rights, tlb_set, nx, access == WRITE or entry & D != 0, entry & G != 0, keys)
    if is_shared(st, entry, gpa):
        wr64(st, WALK_RIGHTS, rd64(st, WALK_RIGHTS) | IS_SHARED)
    return OK


@inline
def walk(st: State, linear: int, access: int, tlb_set: int) -> int:
    """Translate the page of `linear` for one kind of access as TLB set `tlb_set` would: OK with WALK_*, FAULT, or
    DENIED when an entry's page is (jit/second_stage.py)."""
    if not rd64(st, CR0) & CR0_PG:
        wr64(st, WALK_GPA, linear & 0xFFFFF000)
        wr64(st, WALK_RIGHTS, MAY_WRITE | MAY_EXECUTE | IS_DIRTY)
        return OK
    if rd64(st, EFER) & EFER_LMA:
        return walk64(st, linear, access, tlb_set, True)
    if rd64(st, CR4) & CR4_PAE:
        return walk64(st, linear, access, tlb_set, False)
    return walk32(st, linear, access, tlb_set)
