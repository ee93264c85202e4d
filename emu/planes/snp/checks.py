"""The checks on an access of an SNP guest after its own page tables, in the processor's order (APM Vol. 2 15.36.10).

This is the rule as the manual gives it, for one access; emu/planes/snp/tables.py has it for all pages at once, as
compiled code wants it, and tests hold the two together.
"""

from __future__ import annotations

from typing import NamedTuple

from emu.planes.snp import exits, rmp
from emu.planes.snp.nested import NONE, NestedTable
from emu.planes.snp.rmp import Rmp

NPF_P, NPF_W, NPF_U, NPF_RSV, NPF_ID, NPF_SS = 1, 2, 4, 8, 16, 64
PAGE_SHIFT = 12


class Access(NamedTuple):
    """An access as the guest's page tables let it through. `walk`: of the page tables themselves; `private`: with the
    C-bit, or treated as such; `user`: at CPL 3; `shadow`: of a supervisor shadow stack, under VmplSSS; `sss`: VmplSSS
    is active."""

    gpa: int
    write: bool = False
    fetch: bool = False
    walk: bool = False
    private: bool = True
    user: bool = False
    vmpl: int = 0
    shadow: bool = False
    sss: bool = False

    @property
    def permissions(self) -> int:
        """The bits of a VMPL's mask that it needs (15.36.7)."""
        if self.fetch:
            return rmp.EXECUTE_USER if self.user else rmp.EXECUTE_SUPERVISOR
        needed = rmp.READ | (rmp.WRITE if self.write else 0)
        return needed | (rmp.SHADOW_STACK if self.shadow else 0)


class NestedFault(NamedTuple):
    """#NPF: EXITINFO1 and EXITINFO2."""

    info1: int
    gpa: int


class NotValidated(NamedTuple):
    """#VC with error code 0x404."""


Refusal = NestedFault | NotValidated | None


def fault(access: Access, bits: int) -> NestedFault:
    """#NPF for an access; `bits` are those of the reason. All guest accesses are user accesses to the nested level."""
    bits |= NPF_U | (exits.NPF_TABLE if access.walk else exits.NPF_FINAL)
    bits |= (NPF_W if access.write else 0) | (NPF_ID if access.fetch else 0) | (NPF_SS if access.shadow else 0)
    return NestedFault(bits | (exits.NPF_ENCRYPTED if access.private else 0), access.gpa)


def owned(table: Rmp, nested: NestedTable, asid: int, gfn: int) -> bool:
    """Guest-owned, reverse map and mutable, of the page that a frame is mapped to."""
    page = int(nested.page[gfn])
    return (table.covered(page) and bool(table.assigned[page]) and int(table.asid[page]) == asid
            and int(table.gfn[page]) == gfn and not table.immutable[page])


def check(table: Rmp, nested: NestedTable, asid: int, access: Access) -> Refusal:
    """What becomes of an access: None if nothing stands in its way."""
    gfn = access.gpa >> PAGE_SHIFT
    page = int(nested.page[gfn]) if gfn < nested.frames else NONE
    if page == NONE:
        return fault(access, 0)
    denied = NPF_P | exits.NPF_RMP
    if not access.private:
        if access.write and table.any_assigned(page, bool(nested.large[gfn])):
            return fault(access, denied)
        return None
    if not owned(table, nested, asid, gfn) or bool(nested.large[gfn]) != bool(table.large[page]):
        return fault(access, denied)
    if not table.validated[page]:
        return NotValidated()
    mask = int(table.permissions[access.vmpl, page])
    if access.permissions & ~mask:
        permitted = exits.NPF_SSS if access.sss and mask & rmp.SHADOW_STACK else 0
        return fault(access, denied | exits.NPF_VMPL | permitted)
    return None
