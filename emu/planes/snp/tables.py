"""What compiled code needs of the RMP and the nested page table (jit/second_stage.py): for each guest frame where it
is, for private and for shared accesses, and for each VMPL a byte of what is denied.

A byte is what emu/planes/snp/checks.py says of that frame. Changes drop the translations made before, at once, or in
`lazy` mode when the guest or the processor flushes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from emu.mem.ram import PAGE, HostBlock
from emu.planes.snp import rmp as r
from emu.planes.snp.nested import NONE, NestedTable
from emu.planes.snp.rmp import LARGE, VMPLS, Rmp
from jit import guards

NEEDED = ((guards.DENY_READ, r.READ), (guards.DENY_WRITE, r.READ | r.WRITE),
          (guards.DENY_EXECUTE, r.EXECUTE_SUPERVISOR), (guards.DENY_USER_EXECUTE, r.EXECUTE_USER),
          (guards.DENY_SHADOW_STACK, r.SHADOW_STACK))
PRIVATE = guards.DENY_READ | guards.DENY_WRITE | guards.DENY_EXECUTE | guards.DENY_USER_EXECUTE
SHARED = guards.DENY_SHARED_READ | guards.DENY_SHARED_WRITE
BY_MASK = np.array([sum(bit for bit, need in NEEDED if need & ~mask) for mask in range(256)], np.uint8)


class Tables:
    """The tables of one guest. `unseen`: system-physical page that a shared access to a guest-owned page reads;
    `flush` drops translations."""

    def __init__(self, rmp: Rmp, nested: NestedTable, asid: int, unseen: Callable[[Any, Any], Any],
                 flush: Callable[[], None]) -> None:
        self._rmp, self._nested, self._asid, self._unseen, self._flush = rmp, nested, asid, unseen, flush
        self.lazy = False
        size = (nested.frames + PAGE - 1) // PAGE * PAGE
        self._denials = [HostBlock(size) for _ in range(VMPLS)]
        self._places = HostBlock(2 * 8 * size)
        self.words = np.frombuffer(self._places.view, np.uint64)
        self.bytes = [np.frombuffer(block.view, np.uint8) for block in self._denials]
        for column in self.bytes:
            column[:] = guards.DENY_ALL
        rmp.changed = self.pages_changed
        nested.changed = self.frames_changed

    @property
    def places(self) -> int:
        """Host address of the words."""
        return self._places.address

    def denials(self, vmpl: int) -> int:
        """Host address of a VMPL's bytes."""
        return self._denials[vmpl].address

    def pages_changed(self, first: int, count: int) -> None:
        """RMP entries changed."""
        for gfn, frames in self._nested.frames_of(first, count):
            self.refresh(gfn, frames)
        if not self.lazy:
            self._flush()

    def frames_changed(self, first: int, count: int) -> None:
        """Nested mappings changed, for which the hypervisor flushes."""
        self.refresh(first, count)
        self._flush()

    def _refresh_one(self, gfn: int) -> None:
        """What `refresh` does, for a frame that no 2 MiB mapping covers: guests accept memory page by page."""
        table, frames = self._rmp, self._nested.frames
        page = int(self._nested.page[gfn])
        at, present = (0, False) if page == NONE else (page, True)
        guest = bool(table.assigned[at])
        open_ = (present and guest and table.asid[at] == self._asid and table.gfn[at] == gfn and not table.large[at]
                 and table.validated[at] and not table.immutable[at])
        shared = (guards.DENY_SHARED_WRITE if guest else 0) if present else SHARED
        for vmpl in range(VMPLS):
            self.bytes[vmpl][gfn] = (BY_MASK[table.permissions[vmpl, at]] if open_ else PRIVATE) | shared
        self.words[gfn] = at * PAGE
        self.words[frames + gfn] = (int(self._unseen(gfn, at)) if guest else at) * PAGE

    def refresh(self, first: int, count: int) -> None:
        """Make the tables of some frames anew."""
        if self._nested.large[first:first + count].any():
            first, count = first & -LARGE, (first + count + LARGE - 1 & -LARGE) - (first & -LARGE)
        elif count == 1 and first < self._nested.frames:
            self._refresh_one(first)
            return
        end = min(first + count, self._nested.frames)
        frames = np.arange(first, end)
        page, large = self._nested.page[first:end], self._nested.large[first:end]
        present, at = page != NONE, np.where(page == NONE, 0, page)
        table = self._rmp
        guest = table.assigned[at]
        open_ = (present & guest & (table.asid[at] == self._asid) & (table.gfn[at] == frames)
                 & ~table.immutable[at] & table.validated[at] & (table.large[at] == large))
        any_guest = guest.copy()
        for head in np.flatnonzero(large & (page % LARGE == 0)):
            any_guest[head:head + LARGE] = table.any_assigned(int(page[head]), True)
        shared = np.where(present, np.where(any_guest, guards.DENY_SHARED_WRITE, 0), SHARED)
        for vmpl in range(VMPLS):
            private = np.where(open_, BY_MASK[table.permissions[vmpl][at]], PRIVATE)
            self.bytes[vmpl][first:end] = private | shared
        self.words[first:end] = at.astype(np.uint64) * PAGE
        other = np.where(guest, self._unseen(frames, at), at)
        self.words[self._nested.frames + first:self._nested.frames + end] = other.astype(np.uint64) * PAGE
