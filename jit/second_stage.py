"""The second stage of translation: what a more privileged plane lets this one do with each guest-physical page.

A plane's DENIALS points to a byte for each page, whose bits say what is denied: 1 << access for reads (0), writes (1)
and instruction fetches (2), and DENY_USER_EXECUTE; 0 as an address denies nothing. The plane model writes the table
and flushes the planes that use it (TLFS, Virtual Secure Mode, "Memory access protections").
"""

from jit import exits
from jit.guards import DENY_USER_EXECUTE
from jit.layout import CR4, DENIALS, DENIED_ACCESS, DENIED_GPA, PMAP_PAGES
from jit.native import State, inline, ld8, rd64, shr, ult, wr64

EXECUTE = 2
CR4_SMEP = 1 << 20


@inline
def denials(st: State, gpa: int) -> int:
    """DENY_* of the page of `gpa`."""
    table = rd64(st, DENIALS)
    if table == 0:
        return 0
    pfn = shr(gpa, 12)
    return ld8(table + pfn) if ult(pfn, rd64(st, PMAP_PAGES)) else 0


@inline
def denied(st: State, gpa: int, access: int, user: bool) -> bool:
    """Whether an access (0 read, 1 write, 2 fetch) is denied, which is then noted in DENIED_*. User-mode fetches have a
    bit of their own, which counts while SMEP is enabled (TLFS, "Mode-based execution control")."""
    bit = 1 << access
    if access == EXECUTE and user and rd64(st, CR4) & CR4_SMEP:
        bit = DENY_USER_EXECUTE
    if denials(st, gpa) & bit == 0:
        return False
    wr64(st, DENIED_GPA, gpa)
    wr64(st, DENIED_ACCESS, access)
    return True


@inline
def denied_status(st: State, gpa: int, access: int) -> int:
    """OK or DENIED for an access that is not a user-mode fetch."""
    return exits.DENIED if denied(st, gpa, access, False) else exits.OK
