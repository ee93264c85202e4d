"""What one instruction did to the translations and to memory, seen from outside: plain running pays for none of it.

TLB fills are entries that the instruction left in the TLBs (jit/tlb.py) and that were not there before; how long the
walk for each was follows from the page tables. Accesses are counted by watchpoints over all addresses that never fire,
for which every access takes the slow path; so fills and accesses are counted in different rounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from emu.debug.table import EVERY_PLANE, Table
from emu.walk import walk
from jit import layout, probe_layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane

WORDS = layout.SET_BYTES // 8
DATA_WORDS, CODE_WORDS = 1 << layout.DATA_SHIFT - 3, 1 << layout.CODE_SHIFT - 3
TAGS = np.concatenate((
    np.arange(layout.DATA_ENTRIES) * DATA_WORDS + layout.TLB_READ // 8,
    np.arange(layout.DATA_ENTRIES) * DATA_WORDS + layout.TLB_WRITE // 8,
    layout.CODE_TLB // 8 + np.arange(layout.CODE_ENTRIES) * CODE_WORDS))
EVERYWHERE = (1 << 64) - 1


class TlbView:
    """The translations that planes hold, as far as they change from one look to the next."""

    def __init__(self, machine: Machine, planes: list[Plane]) -> None:
        self.machine = machine
        self._sets: list[tuple[Plane, Any, Any]] = []
        for plane in planes:
            words = np.frombuffer(plane.sets.view, np.uint64)
            for n in range(layout.TLB_SETS):
                tags = words[n * WORDS:(n + 1) * WORDS]
                self._sets.append((plane, tags, tags[TAGS]))

    def fills(self) -> tuple[int, int]:
        """Translations made since the last call, and the paging-structure entries that their walks read. A page
        made readable and writable at once is one; made writable later, when its dirty bit is set, another."""
        fills = steps = 0
        for n, (plane, tags, before) in enumerate(self._sets):
            now = tags[TAGS]
            changed = (now != before) & (now != layout.TLB_INVALID)
            if changed.any():
                reads, writes, code = np.split(changed, (layout.DATA_ENTRIES, 2 * layout.DATA_ENTRIES))
                pages = np.split(now, (layout.DATA_ENTRIES, 2 * layout.DATA_ENTRIES))
                for where, page in ((reads, pages[0]), (writes & ~reads, pages[1]), (code, pages[2])):
                    for linear in page[where].tolist():
                        fills += 1
                        steps += len(walk(self.machine, plane, linear).levels)
                self._sets[n] = plane, tags, now
        return fills, steps


class Accesses:
    """Counts of the reads and writes that planes make, while it is on: the instructions' own and those of event
    delivery, in pieces of at most 8 bytes that lie in one page. Neither instruction fetches nor page walks are among
    them."""

    def __init__(self, planes: list[Plane]) -> None:
        self._planes, self._table = planes, Table()
        self._records = []
        for n, kind in enumerate((probe_layout.READ_BIT, probe_layout.WRITE_BIT)):
            record = self._table.watch(n)
            record.set_filter(None, EVERY_PLANE, None, EVERYWHERE)
            for offset, value in ((probe_layout.ON, 1), (probe_layout.LENGTH, EVERYWHERE), (probe_layout.KINDS, kind),
                                  (probe_layout.SPACE, probe_layout.LINEAR)):
                record[offset] = value
            self._records.append(record)
        self._table.set(probe_layout.COUNT, len(self._records))

    def switch(self, on: bool) -> None:
        """Count from now on, or no longer. Translations are dropped either way."""
        for plane in self._planes:
            plane.set(layout.PROBES, self._table.address if on else 0)
            plane.flush()

    def taken(self) -> tuple[int, int]:
        """Reads and writes since the last call."""
        reads, writes = (record[probe_layout.HITS] for record in self._records)
        for record in self._records:
            record[probe_layout.HITS] = 0
        return reads, writes
