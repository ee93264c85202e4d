"""May an access be made, and if not, who says so: page tables level by level, then the design's permission layers
(SDM Vol. 3A 4.6, Access Rights; emu/planes/layers.py)."""

from __future__ import annotations

from typing import NamedTuple

from emu import Machine
from emu.api.views import PlaneView
from emu.planes.layers import Origin
from emu.walk import NX, PRESENT, USER, WRITABLE, Level, Walk
from jit.guards import DENY_EXECUTE, DENY_READ, DENY_USER_EXECUTE, DENY_WRITE

CR0_WP, CR0_PG, CR4_SMEP, CR4_SMAP, EFER_NXE, RFLAGS_AC = 1 << 16, 1 << 31, 1 << 20, 1 << 21, 1 << 11, 1 << 18
ACCESSES = ("read", "write", "execute")
DENIED_BY = {"read": DENY_READ, "write": DENY_WRITE, "execute": DENY_EXECUTE}


class Verdict(NamedTuple):
    """`denied_by`: who denies it, in words, or "" for nobody; `origin`: the instruction that decided so, if known."""

    access: str
    user: bool
    denied_by: str = ""
    origin: Origin | None = None


def verdict(plane: PlaneView, found: Walk, access: str, user: bool, paging: bool = True) -> Verdict:
    """Judge one kind of access to a walked address; without `paging`, what lies behind the page tables alone."""
    by = _page_tables(plane, found, access, user) if paging else ""
    if by:
        return Verdict(access, user, by)
    assert found.gpa is not None
    for level in found.levels:
        for layer in plane.layers(level.gpa):
            if layer.denied & DENY_READ:
                return Verdict(access, user, f"{layer.name} of the {level.name}'s page", layer.origin)
    bit = DENIED_BY[access]
    if access == "execute" and user and plane.regs.cr4 & CR4_SMEP:
        bit = DENY_USER_EXECUTE
    for layer in plane.layers(found.gpa):
        if layer.denied & bit:
            return Verdict(access, user, layer.name, layer.origin)
    return Verdict(access, user)


def verdicts(plane: PlaneView, found: Walk, paging: bool = True) -> list[Verdict]:
    """All kinds, supervisor's first."""
    return [verdict(plane, found, access, user, paging) for user in (False, True) for access in ACCESSES]


def _lacking(levels: tuple[Level, ...], bit: int) -> str:
    return next((level.name for level in levels if not level.entry & bit), "")


def _page_tables(plane: PlaneView, found: Walk, access: str, user: bool) -> str:
    """The first of the page tables' rules that denies the access, in words."""
    regs, levels = plane.regs, found.levels
    if not regs.cr0 & CR0_PG:
        return ""
    if found.gpa is None:
        return f"{_lacking(levels, PRESENT) or 'paging'}: not present"
    guarded = tuple(level for level in levels if level.name != "PDPTE" or levels[0].name == "PML4E")   # PAE's have none
    if user and not found.user:
        return f"{_lacking(guarded, USER)}.U/S = 0"
    if access == "write" and not found.writable and (user or regs.cr0 & CR0_WP):
        return f"{_lacking(guarded, WRITABLE)}.R/W = 0" + ("" if user else " (CR0.WP = 1)")
    if access == "execute" and not found.executable and regs.efer & EFER_NXE:
        return next(f"{level.name}.XD = 1" for level in guarded if level.entry & NX)
    if not user and found.user and access == "execute" and regs.cr4 & CR4_SMEP:
        return "CR4.SMEP (a user page)"
    if not user and found.user and access != "execute" and regs.cr4 & CR4_SMAP and not regs.rflags & RFLAGS_AC:
        return "CR4.SMAP (a user page, RFLAGS.AC = 0)"
    return ""


def backing(machine: Machine, gpa: int) -> str:
    """What answers at a guest-physical address."""
    from jit import pmap
    word = machine.memory.map[gpa // 4096] if gpa < machine.memory.top else 0
    if word:
        kind = "a hypervisor's page" if word & pmap.GUARDED else "RAM" if word & pmap.WRITE else "ROM"
        return kind + (", decoded code" if word & pmap.CODE else "")
    return "a device" if machine.exists(gpa) else "nothing"
