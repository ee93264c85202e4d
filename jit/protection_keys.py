"""Protection keys: rights by the key in bits 62:59 of a leaf entry (SDM Vol. 3A 4.6.2).

PKRU is part of the FPU file, since XSAVE holds it; IA32_PKRS is not. Both are looked at when the TLB is filled only. So
that a change of PKRU, which user code makes as often as it likes, need not empty the TLB when no page has such a key,
KEYS_USED has the keys of the user pages that were filled under the value in KEYS_RIGHTS.
"""

from numba import types

from jit.fpu_layout import PKRU
from jit.layout import CR0, CR4, EFER, FPU, KEYS_RIGHTS, KEYS_USED, PKRS, PKRU_ASIDE
from jit.native import State, inline, ld32, rd64, shr, st32, wr64

CR0_WP, CR4_PKE, CR4_PKS, EFER_LMA = 1 << 16, 1 << 22, 1 << 24, 1 << 10
ACCESS_DISABLE, WRITE_DISABLE = 1, 2                # AD and WD of a key
US = 4

_flush = types.ExternalFunction("strata_flush_data", types.int64(types.voidptr))


@inline
def key_rights(st: State, entry: int, rights: int) -> int:
    """AD and WD for data accesses to a page: 0 where keys do not apply. `entry`: the leaf; `rights`: U/S of all."""
    cr4 = rd64(st, CR4)
    if cr4 & (CR4_PKE | CR4_PKS) == 0 or rd64(st, EFER) & EFER_LMA == 0:
        return 0
    key = shr(entry, 59) & 15
    if rights & US == 0:
        return shr(rd64(st, PKRS), 2 * key) & 3 if cr4 & CR4_PKS else 0
    if cr4 & CR4_PKE == 0:
        return 0
    pkru = ld32(rd64(st, FPU) + PKRU)
    wr64(st, KEYS_USED, rd64(st, KEYS_USED) | (1 << key))
    wr64(st, KEYS_RIGHTS, pkru)
    return shr(pkru, 2 * key) & 3


@inline
def forbids(st: State, disabled: int, write: bool, user: bool) -> bool:
    """Whether a key's AD and WD forbid a data access. WD binds supervisors under CR0.WP only."""
    if disabled & ACCESS_DISABLE:
        return True
    return write and disabled & WRITE_DISABLE != 0 and (user or rd64(st, CR0) & CR0_WP != 0)


@inline
def exchange_pkru(old: State, new: State) -> None:
    """Each of two planes has a PKRU of its own, though both may work on one FPU file."""
    fpu = rd64(old, FPU)
    if rd64(new, FPU) == fpu:
        wr64(old, PKRU_ASIDE, 1 << 32 | ld32(fpu + PKRU))
        st32(fpu + PKRU, rd64(new, PKRU_ASIDE))
        wr64(new, PKRU_ASIDE, 0)


@inline
def follow_pkru(st: State) -> None:
    """PKRU may have changed: drop data translations that were made for a value which differs in a key they use."""
    used, changed = rd64(st, KEYS_USED), ld32(rd64(st, FPU) + PKRU) ^ rd64(st, KEYS_RIGHTS)
    if used != 0 and changed != 0:
        for key in range(16):
            if shr(used, key) & 1 and shr(changed, 2 * key) & 3:
                _flush(st)
                return
