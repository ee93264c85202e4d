"""May an access be made, and if not, who says so: page tables level by level, then the design's permission layers
(SDM Vol. 3A 4.6, Access Rights; emu/planes/layers.py)."""

from __future__ import annotations

from typing import NamedTuple

from emu import Machine
from emu.api.views import PlaneView
from emu.planes.layers import Origin
from emu.walk import NX, PRESENT, USER, WRITABLE, Level, Walk
from jit import layout
from jit.guards import DENY_EXECUTE, DENY_READ, DENY_USER_EXECUTE, DENY_WRITE

CR0_WP, CR0_PG, CR4_SMEP, CR4_SMAP, EFER_NXE, RFLAGS_AC = 1 << 16, 1 << 31, 1 << 20, 1 << 21, 1 << 11, 1 << 18
CR4_PKE, CR4_PKS, EFER_LMA, ACCESS_DISABLE, WRITE_DISABLE = 1 << 22, 1 << 24, 1 << 10, 1, 2
ACCESSES = ("read", "write", "execute")
DENIED_BY = {"read": DENY_READ, "write": DENY_WRITE, "execute": DENY_EXECUTE}


class Verdict(NamedTuple):
    """`denied_by`: who denies it, in words, or "" for nobody; `origin`: the instruction that decided so, if known;
    `entry`: the page-table entry that did, whose last writer the history knows."""

    access: str
    user: bool
    denied_by: str = ""
    origin: Origin | None = None
    entry: Level | None = None


def verdict(plane: PlaneView, found: Walk, access: str, user: bool, paging: bool = True) -> Verdict:
    """Judge one kind of access to a walked address; without `paging`, what lies behind the page tables alone."""
    by, entry = _page_tables(plane, found, access, user) if paging else ("", None)
    if by:
        return Verdict(access, user, by, entry=entry)
    assert found.gpa is not None
    for level in found.levels:
        for layer in plane.layers(level.gpa):
            if layer.denied & DENY_READ:
                return Verdict(access, user, f"{layer.name} of the {level.name}'s page", layer.origin)
    bit = DENIED_BY[access]
    if access == "execute" and user and (plane.regs.cr4 & CR4_SMEP or plane._plane().get(layout.SNP_ACTIVE)):
        bit = DENY_USER_EXECUTE         # as in jit/second_stage.py
    for layer in plane.layers(found.gpa):
        if layer.denied & bit:
            return Verdict(access, user, layer.name, layer.origin)
    return Verdict(access, user)


def verdicts(plane: PlaneView, found: Walk, paging: bool = True) -> list[Verdict]:
    """All kinds, supervisor's first."""
    return [verdict(plane, found, access, user, paging) for user in (False, True) for access in ACCESSES]


def _lacking(levels: tuple[Level, ...], bit: int, what: str) -> tuple[str, Level | None]:
    level = next((level for level in levels if not level.entry & bit), None)
    return (f"{level.name}{what}" if level is not None else f"paging{what}"), level


def _page_tables(plane: PlaneView, found: Walk, access: str, user: bool) -> tuple[str, Level | None]:
    """The first of the page tables' rules that denies the access, in words, and the entry that it is about."""
    regs, levels = plane.regs, found.levels
    if not regs.cr0 & CR0_PG:
        return "", None
    if found.gpa is None:
        return _lacking(levels, PRESENT, ": not present")
    guarded = tuple(level for level in levels if level.name != "PDPTE" or levels[0].name != "PDPTE")   # PAE's have none
    if user and not found.user:
        return _lacking(guarded, USER, ".U/S = 0")
    if access == "write" and not found.writable and (user or regs.cr0 & CR0_WP):
        return _lacking(guarded, WRITABLE, ".R/W = 0" + ("" if user else " (CR0.WP = 1)"))
    if access == "execute" and not found.executable and regs.efer & EFER_NXE:
        return next((f"{level.name}.XD = 1", level) for level in guarded if level.entry & NX)
    if not user and found.user and access == "execute" and regs.cr4 & CR4_SMEP:
        return "CR4.SMEP (a user page)", None
    if not user and found.user and access != "execute" and regs.cr4 & CR4_SMAP and not regs.rflags & RFLAGS_AC:
        return "CR4.SMAP (a user page, RFLAGS.AC = 0)", None
    return _protection_key(plane, found, access, user), None


def _protection_key(plane: PlaneView, found: Walk, access: str, user: bool) -> str:
    """PKRU for user pages, IA32_PKRS for others, by the key in bits 62:59 of the leaf (SDM Vol. 3A 4.6.2)."""
    regs = plane.regs
    enabled, name = (CR4_PKE, "pkru") if found.user else (CR4_PKS, "pkrs")
    if access == "execute" or not regs.cr4 & enabled or not regs.efer & EFER_LMA:
        return ""
    key = found.levels[-1].entry >> 59 & 15
    rights = regs[name] >> 2 * key & 3
    if rights & ACCESS_DISABLE or access == "write" and rights & WRITE_DISABLE and (user or regs.cr0 & CR0_WP):
        return f"{name.upper()}, key {key}: {'AD' if rights & ACCESS_DISABLE else 'WD'} = 1"
    return ""


def backing(machine: Machine, gpa: int) -> str:
    """What answers at a guest-physical address."""
    from jit import pmap
    word = machine.memory.map[gpa // 4096] if gpa < machine.map.space else 0
    if word:
        kind = "a hypervisor's page" if word & pmap.GUARDED else "RAM" if word & pmap.WRITE else "ROM"
        return kind + (", decoded code" if word & pmap.CODE else "")
    return "a device" if machine.exists(gpa) else "nothing"
