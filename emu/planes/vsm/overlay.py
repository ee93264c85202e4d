"""Hypercall pages as overlays: while one is enabled it hides the RAM beneath it, and a store to it is #GP (TLFS,
"GPA overlay pages"; "Establishing the hypercall interface").

All VTLs see an enabled page: its contents are the same for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emu.mem.ram import PAGE, HostBlock
from emu.planes.vsm.page import contents
from jit import pmap

if TYPE_CHECKING:
    from emu.machine import Machine


class HypercallPages:
    """The hypercall pages of all VTLs of a partition."""

    def __init__(self, machine: Machine, amd: bool) -> None:
        self._machine = machine
        self._block = HostBlock(PAGE)
        self._block.view[:] = contents(amd)
        self._users: dict[int, set[int]] = {}       # page address -> VTLs that enabled it
        self._hidden: dict[int, int] = {}           # page address -> the physical map's word beneath

    def enabled(self, gpa: int) -> bool:
        """Whether a page address holds an enabled hypercall page."""
        return gpa in self._users

    def enable(self, vtl: int, gpa: int) -> None:
        """Lay a VTL's page over the RAM page at `gpa`."""
        users = self._users.setdefault(gpa, set())
        if not users:
            memory = self._machine.memory
            self._hidden[gpa] = memory.map[gpa // PAGE] & ~pmap.CODE
            self._replace(gpa, self._block.address | pmap.READ | pmap.GUARDED)
        users.add(vtl)

    def disable(self, vtl: int, gpa: int) -> None:
        """Take a VTL's page away; without any left the RAM reappears."""
        users = self._users.get(gpa, set())
        users.discard(vtl)
        if not users and self._users.pop(gpa, None) is not None:
            self._replace(gpa, self._hidden.pop(gpa))

    def save(self) -> dict[str, object]:
        """State: which VTLs enabled which pages."""
        return {"users": [[gpa, sorted(vtls)] for gpa, vtls in sorted(self._users.items())]}

    def load(self, state: dict[str, Any]) -> None:
        """Lay the pages as they were."""
        for gpa, vtls in [(gpa, set(vtls)) for gpa, vtls in self._users.items()]:
            for vtl in vtls:
                self.disable(vtl, gpa)
        for gpa, saved in state["users"]:
            for vtl in saved:
                self.enable(vtl, gpa)

    def _replace(self, gpa: int, word: int) -> None:
        self._machine.engine.translator.invalidate(gpa)
        self._machine.memory.map[gpa // PAGE] = word
        self._machine.flush_all()
