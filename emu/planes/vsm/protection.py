"""Which pages a VTL may access, as higher VTLs decide (TLFS, Virtual Secure Mode, "Memory access protections").

A VTL sets a mask for each page and lower VTL; what a VTL may do is what the masks of all higher VTLs allow. The
engine's tables of denials (jit/second_stage.py) follow from the masks: one for virtual processors on which
mode-based execution control is active, one for all others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from emu.mem.ram import PAGE, HostBlock
from emu.planes.layers import Layer, Origin
from emu.planes.vsm.origins import Origins
from jit import pmap
from jit.guards import DENY_EXECUTE, DENY_READ, DENY_USER_EXECUTE, DENY_WRITE

if TYPE_CHECKING:
    from emu.machine import Machine

READ, WRITE, KERNEL_EXECUTE, USER_EXECUTE = 1, 2, 4, 8     # HV_MAP_GPA_FLAGS
ALL = READ | WRITE | KERNEL_EXECUTE | USER_EXECUTE


def denials_of(flags: int, mbec: bool) -> int:
    """DENY_* bits for map flags. Without mode-based execution control, either execute flag allows all fetches: the two
    have changed places between editions."""
    denied = (0 if flags & READ else DENY_READ) | (0 if flags & WRITE else DENY_WRITE)
    if mbec:
        return (denied | (0 if flags & KERNEL_EXECUTE else DENY_EXECUTE)
                | (0 if flags & USER_EXECUTE else DENY_USER_EXECUTE))
    return denied if flags & (KERNEL_EXECUTE | USER_EXECUTE) else denied | DENY_EXECUTE | DENY_USER_EXECUTE


class Protections:
    """The masks of all VTLs of a partition."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._pages = machine.memory.top // PAGE
        self._masks: dict[tuple[int, int], bytearray] = {}      # (setter, lower VTL) -> map flags of each page
        self._tables: dict[tuple[int, bool], HostBlock] = {}    # (VTL, MBEC) -> denials of each page
        self._origins = Origins()

    def enable(self, setter: int, lower: Iterable[int], mask: int, origin: Origin) -> None:
        """A VTL's protections take effect: every RAM page has its default mask for each lower VTL, unless a higher VTL
        set one before."""
        for vtl in lower:
            if (setter, vtl) not in self._masks:
                self._masks[setter, vtl] = bytearray((ALL,)) * self._pages
                for first, count in self._ram():
                    self._masks[setter, vtl][first:first + count] = bytes((mask,)) * count
                self._origins.enabled((setter, vtl), origin)
            self._rebuild(vtl)

    def set(self, setter: int, vtl: int, gpa: int, flags: int, origin: Origin) -> None:
        """The mask of one page for one VTL. The caller calls `flush` afterwards."""
        page = gpa // PAGE
        self._masks[setter, vtl][page] = flags
        self._origins.changed((setter, vtl), page, origin)
        for (target, mbec), table in self._tables.items():
            if target == vtl:
                table.view[page] = self._denials(vtl, page, mbec)

    def enabled(self, setter: int) -> bool:
        """Whether a VTL's protections have taken effect."""
        return any(owner == setter for owner, _ in self._masks)

    def protector(self, vtl: int, gpa: int, access: int, user: bool, mbec: bool) -> int | None:
        """The lowest VTL whose mask denies an access (0 read, 1 write, 2 fetch), or None: the one that is told."""
        bit = DENY_USER_EXECUTE if access == 2 and user and mbec else 1 << access
        for setter in sorted(owner for owner, target in self._masks if target == vtl):
            if gpa < self._machine.memory.top and denials_of(
                    self._masks[setter, vtl][gpa // PAGE], mbec) & bit:
                return setter
        return None

    def layers(self, vtl: int, gpa: int, mbec: bool) -> list[Layer]:
        """What each higher VTL decides about a page, lowest first."""
        if not 0 <= gpa < self._machine.memory.top:
            return []
        page = gpa // PAGE
        return [Layer(f"VTL{setter}'s mask", denials_of(self._masks[setter, vtl][page], mbec),
                      self._origins.of((setter, vtl), page))
                for setter, target in sorted(self._masks) if target == vtl]

    def allows(self, vtl: int, gpa: int, access: int) -> bool:
        """Whether a VTL may read (0), write (1) or fetch from (2) the page of an address, without MBEC."""
        return self.protector(vtl, gpa, access, user=False, mbec=False) is None

    def address(self, vtl: int, mbec: bool) -> int:
        """Host address of the table of denials for a VTL, 0 where nothing is denied."""
        if not any(target == vtl for _, target in self._masks):
            return 0
        if (vtl, mbec) not in self._tables:
            self._tables[vtl, mbec] = HostBlock((self._pages + PAGE - 1) // PAGE * PAGE)
            self._rebuild(vtl)
        return self._tables[vtl, mbec].address

    def flush(self, vtl: int) -> None:
        """Translations of a VTL were made under earlier masks: drop them on all virtual processors."""
        for vcpu in self._machine.vcpus:
            if vtl < len(vcpu.planes):
                vcpu.planes[vtl].flush()

    def clear(self) -> None:
        """As after a reset. The planes' DENIALS are the caller's to clear first."""
        self._masks.clear()
        self._tables.clear()
        self._origins.clear()

    def save(self) -> dict[str, Any]:
        """State: the masks, packed, and what set them."""
        return {"masks": [[*key, zlib.compress(mask, 1)] for key, mask in sorted(self._masks.items())],
                "origins": self._origins.save()}

    def load(self, state: dict[str, Any]) -> None:
        """Put the masks back; the planes' DENIALS are the caller's."""
        self._masks = {(setter, vtl): bytearray(zlib.decompress(mask, bufsize=self._pages)[:self._pages])
                       for setter, vtl, mask in state["masks"]}
        if any(len(mask) != self._pages for mask in self._masks.values()):
            raise ValueError("masks")
        self._origins.load(state["origins"])
        for vtl in {vtl for vtl, _ in self._tables}:
            self._rebuild(vtl)

    def _denials(self, vtl: int, page: int, mbec: bool) -> int:
        denied = 0
        for (_, target), mask in self._masks.items():
            if target == vtl:
                denied |= denials_of(mask[page], mbec)
        return denied

    def _rebuild(self, vtl: int) -> None:
        for (target, mbec), table in self._tables.items():
            if target != vtl:
                continue
            total = bytes(self._pages)
            for (_, lower), mask in self._masks.items():
                if lower == vtl:
                    by_flags = bytes(denials_of(flags & ALL, mbec) for flags in range(256))
                    denied = mask.translate(by_flags)
                    total = (int.from_bytes(total) | int.from_bytes(denied)).to_bytes(self._pages)
            table.view[:self._pages] = total

    def _ram(self) -> list[tuple[int, int]]:
        """(first page, pages) of each run of RAM pages."""
        flags = self._machine.memory.map_block.view[:8 * self._pages:8].tobytes()       # the words' lowest bytes
        kinds = flags.translate(bytes(bool(byte & (pmap.WRITE | pmap.GUARDED)) for byte in range(256)))
        runs: list[tuple[int, int]] = []
        start = kinds.find(1)
        while start >= 0:
            end = kinds.find(0, start)
            runs.append((start, (end if end >= 0 else self._pages) - start))
            start = kinds.find(1, end) if end >= 0 else -1
        return runs
