"""Who decides about a guest-physical page of an SNP guest, as debuggers show it: the nested page table, the RMP entry,
and the VMPL's permissions in it (APM Vol. 2 15.36.7, 15.36.10). For private accesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.mem.ram import PAGE
from emu.planes.layers import Layer
from emu.planes.snp.checks import owned
from emu.planes.snp.nested import NONE
from emu.planes.snp.tables import BY_MASK, PRIVATE

if TYPE_CHECKING:
    from emu.planes.snp.guest import SnpGuest


def layers(guest: SnpGuest, vmpl: int, gpa: int) -> list[Layer]:
    """What stands in the way of a VMPL, the first layer first; a layer that denies everything hides those below."""
    gfn, rmp = gpa // PAGE, guest.rmp
    page = int(guest.nested.page[gfn]) if 0 <= gfn < guest.nested.frames else NONE
    if page == NONE:
        return [Layer("the nested page table, which has no such page", PRIVATE)]
    if not owned(rmp, guest.nested, guest.asid, gfn):
        return [Layer("the RMP, as the page is not this guest's", PRIVATE)]
    if bool(guest.nested.large[gfn]) != bool(rmp.large[page]):
        return [Layer("the RMP, as the sizes of page and entry differ", PRIVATE)]
    if not rmp.validated[page]:
        return [Layer("the RMP, as the page is not validated", PRIVATE)]
    denied = int(BY_MASK[rmp.permissions[vmpl, page]])
    return [Layer(f"VMPL{vmpl}'s permissions in the RMP", denied & PRIVATE)]
