"""Pages that one plane sees in place of guest memory (KVM_SET_PLANE_MEMORY_OVERLAY).

Each plane has a table of where every guest-physical page is (jit/second_stage.py). The pages themselves lie in a range
that no guest address leads to: tables map it to where nothing is. Until a VM has its first overlay there are no tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from emu.mem.ram import PAGE, HostBlock
from emu.planes.kvm.dialects import ENOMEM, refuse
from jit import layout, pmap

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane

PAGES = 16                      # that a VM may have, all planes together
BASE = 0xF8000000               # where they are: in the hole below 4 GiB, where a PC has nothing
NOWHERE = BASE + PAGES * PAGE


class OverlayPages:
    """The pages of a VM's overlays."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.used = False
        self._free = [BASE + PAGE * n for n in range(PAGES)]

    def take(self, data: bytes) -> int:
        """A page with these contents. KvmError ENOMEM: there are no more."""
        if not self._free:
            raise refuse(ENOMEM, f"{PAGES} overlays are in use")
        if not self.used:
            self.used = True
            self.machine.memory.add(BASE, HostBlock(PAGES * PAGE), pmap.READ | pmap.WRITE)
        page = self._free.pop(0)
        self.machine.dma_write(page, data)
        return page

    def give(self, page: int) -> None:
        """A page is unused again."""
        self.machine.engine.translator.invalidate(page)
        self._free.append(page)


class Overlays:
    """Those of one plane."""

    def __init__(self, pages: OverlayPages) -> None:
        self._pages = pages
        self._placed: dict[int, int] = {}
        self._table: HostBlock | None = None
        self._words: Any = None

    def put(self, address: int, data: bytes) -> int:
        """Cover a page; gives where its replacement is."""
        self.remove(address)
        page = self._placed[address] = self._pages.take(data)
        return page

    def remove(self, address: int) -> int:
        """Uncover a page; gives where it is."""
        page = self._placed.pop(address, None)
        if page is not None:
            self._pages.give(page)
        return address

    def save(self) -> list[tuple[int, bytes]]:
        """What is covered, and with what."""
        memory = self._pages.machine.memory
        return [(address, bytes(memory.read(page, PAGE))) for address, page in self._placed.items()]

    def use(self, plane: Plane) -> None:
        """Let a vCPU of the plane see them. The caller flushes its TLBs."""
        if not self._pages.used:
            return
        frames = self._pages.machine.memory.top // PAGE
        if self._table is None:
            self._table = HostBlock((8 * frames + PAGE - 1) // PAGE * PAGE)
            self._words = np.frombuffer(self._table.view, np.uint64)
        self._words[:frames] = np.arange(frames, dtype=np.uint64) * PAGE
        self._words[BASE // PAGE:NOWHERE // PAGE] = NOWHERE
        for address, page in self._placed.items():
            self._words[address // PAGE] = page
        plane.set(layout.NESTED, self._table.address)
        plane.set(layout.NESTED_PAGES, frames)
