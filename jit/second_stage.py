"""The second stage of translation: what a more privileged plane lets this one do with each guest-physical page, and, in
SEV-SNP guests, where the page is.

A plane's DENIALS points to a byte for each page, whose bits say what is denied: 1 << access for reads (0), writes (1)
and instruction fetches (2), and DENY_USER_EXECUTE; 0 as an address denies nothing. The plane model writes the table
and flushes the planes that use it (TLFS, Virtual Secure Mode, "Memory access protections").

An SEV-SNP guest's NESTED is its nested page table: for each guest-physical page the system-physical one, first for
private accesses, then, NESTED_PAGES words further on, for shared ones. Its denials stand for both the nested
permissions and the RMP checks (APM Vol. 2 15.36.10); there is nothing beyond the table.
"""

from jit import exits
from jit.guards import (
    DENY_ALL,
    DENY_SHADOW_STACK,
    DENY_USER_EXECUTE,
    HOW_SHADOW_STACK,
    HOW_SHARED,
    HOW_WALK,
    SHARED_SHIFT,
)
from jit.layout import (
    CR4,
    DENIALS,
    DENIED_ACCESS,
    DENIED_GPA,
    DENIED_HOW,
    NESTED,
    NESTED_PAGES,
    PMAP_PAGES,
    SNP_ACTIVE,
)
from jit.native import State, inline, ld8, ld64, rd64, shr, ult, wr64

EXECUTE = 2
CR4_SMEP = 1 << 20


@inline
def physical(st: State, gpa: int, how: int) -> int:
    """Where the memory of a guest-physical address is, if an access to it is not denied."""
    table = rd64(st, NESTED)
    pfn = shr(gpa, 12)
    if table == 0 or not ult(pfn, rd64(st, NESTED_PAGES)):
        return gpa
    if how & HOW_SHARED:
        pfn += rd64(st, NESTED_PAGES)
    return ld64(table + (pfn << 3)) | (gpa & 0xFFF)


@inline
def denials(st: State, gpa: int) -> int:
    """DENY_* of the page of `gpa`."""
    table = rd64(st, DENIALS)
    if table == 0:
        return 0
    pfn = shr(gpa, 12)
    if rd64(st, NESTED) != 0:
        return ld8(table + pfn) if ult(pfn, rd64(st, NESTED_PAGES)) else DENY_ALL
    return ld8(table + pfn) if ult(pfn, rd64(st, PMAP_PAGES)) else 0


@inline
def denied(st: State, gpa: int, access: int, user: bool, how: int) -> bool:
    """Whether an access (0 read, 1 write, 2 fetch) is denied, which is then noted in DENIED_*. User-mode fetches have a
    bit of their own, which counts while SMEP is enabled (TLFS, "Mode-based execution control"), and always in SEV-SNP
    guests (APM Vol. 2 15.36.7). `how`: HOW_* bits."""
    bit = 1 << access
    if access == EXECUTE and user and (rd64(st, CR4) & CR4_SMEP or rd64(st, SNP_ACTIVE) != 0):
        bit = DENY_USER_EXECUTE
    if how & HOW_SHARED:
        bit <<= SHARED_SHIFT
    if how & HOW_SHADOW_STACK:
        bit |= DENY_SHADOW_STACK
    if denials(st, gpa) & bit == 0:
        return False
    wr64(st, DENIED_GPA, gpa)
    wr64(st, DENIED_ACCESS, access)
    wr64(st, DENIED_HOW, how)
    return True


@inline
def denied_status(st: State, gpa: int, access: int) -> int:
    """OK or DENIED for an access of the paging unit's own."""
    return exits.DENIED if denied(st, gpa, access, False, HOW_WALK) else exits.OK
