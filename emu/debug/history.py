"""The past of a run: snapshots by instruction count, and exact re-execution from them.

Snapshots are taken at multiples of SPACING while the run passes them, and at multiples of FINE shortly before a place
to which one went back. At each multiple of FINE the TLBs are emptied, whether a snapshot is taken there or not, so that
re-execution finds them as the run did. What is changed by hand (a register, memory) makes an anchor: a snapshot that
holds the change, before which the past is another's.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from emu.mem.ram import PAGE
from emu.snapshot.snapshot import Snapshot, Snapshots

if TYPE_CHECKING:
    from emu.machine import Machine

FINE = 1_000_000
SPACING = 10 * FINE
BUDGET = 1 << 30        # bytes of RAM pages that snapshots may hold
STATE_BYTES = 1 << 17   # what the rest of a snapshot takes, about
FEWEST = 4


class History:
    """Snapshots of one machine, in order. `budget`: the bytes that they may take, about."""

    def __init__(self, machine: Machine, budget: int = BUDGET, spacing: int = SPACING, fine: int = FINE) -> None:
        self.machine, self.budget, self.spacing, self.fine = machine, budget, spacing, fine
        self.snapshots = Snapshots(machine)
        self.kept: list[Snapshot] = []
        self.anchors: set[int] = set()
        self.bytes = 0
        self.changed = True             # by hand, since the last anchor
        self.near = range(0)            # where snapshots are wanted at multiples of `fine`

    @property
    def now(self) -> int:
        """Instructions retired."""
        return self.machine.clock.icount

    @property
    def start(self) -> int:
        """The earliest instruction count to which one can go back."""
        return self.kept[0].icount if self.kept else self.now

    # --- while running -----------------------------------------------------------------------------------------------

    def next_icount(self) -> int:
        """The next multiple of `fine`."""
        return (self.now // self.fine + 1) * self.fine

    def after_slice(self) -> None:
        """Empty the TLBs, and take a snapshot, where the run has reached a count that asks for it."""
        now = self.now
        if now % self.fine or now == 0:
            return
        self.machine.flush_all()
        wanted = now % self.spacing == 0 or now in self.near
        if wanted and not self.has(now) and self.machine.settled():
            self._keep(self.snapshots.take())

    def has(self, icount: int) -> bool:
        """Whether there is a snapshot at an instruction count."""
        at = bisect_right(self.kept, icount, key=lambda s: s.icount)
        return at > 0 and self.kept[at - 1].icount == icount

    def note_change(self) -> None:
        """The machine was changed by hand: from here, the future is another."""
        self.changed = True

    def forget(self) -> None:
        """There is no past from here: another machine's state was restored."""
        self.kept, self.anchors, self.bytes = [], set(), 0
        self.machine.input.log.clear()
        self.machine.input.next = 0
        self.changed = True

    def anchor(self) -> None:
        """Before going on: after a change by hand, what was known of the future is forgotten, and a snapshot holds the
        change."""
        if not self.changed:
            return
        self.changed = False
        now, machine = self.now, self.machine
        del self.kept[bisect_right(self.kept, now - 1, key=lambda s: s.icount):]
        self.anchors = {count for count in self.anchors if count < now} | {now}
        machine.input.forget_future()
        machine.frontier = now
        self._keep(self.snapshots.take())
        self.bytes = self._count()

    # --- memory ------------------------------------------------------------------------------------------------------

    def _keep(self, snapshot: Snapshot) -> None:
        at = bisect_right(self.kept, snapshot.icount, key=lambda s: s.icount)
        self.kept.insert(at, snapshot)
        before = self.kept[at - 1].ram if at else None
        fresh = len(snapshot.ram.differing(before)) if before else sum(page is not None for page in snapshot.ram.pages)
        self.bytes += fresh * PAGE + STATE_BYTES + snapshot.ram.pages.nbytes
        if self.bytes > self.budget:
            self._thin()

    def _thin(self) -> None:
        """Drop every other snapshot but the latest few and the anchors, until the rest fits."""
        while self.bytes > self.budget and len(self.kept) > FEWEST + len(self.anchors):
            old, new = self.kept[:-FEWEST], self.kept[-FEWEST:]
            thinned = [s for n, s in enumerate(old) if n % 2 == 0 or s.icount in self.anchors]
            if len(thinned) == len(old):
                thinned = [s for s in old if s.icount in self.anchors]
            if len(thinned) == len(old):
                return
            self.kept = thinned + new
            self.bytes = self._count()

    def _count(self) -> int:
        pages = {identity for s in self.kept for identity in s.ram.identities().tolist()}
        return len(pages) * PAGE + sum(STATE_BYTES + s.ram.pages.nbytes for s in self.kept)

    # --- going elsewhere ---------------------------------------------------------------------------------------------

    def before(self, icount: int) -> Snapshot:
        """The last snapshot at or before an instruction count. LookupError: there is none."""
        at = bisect_right(self.kept, icount, key=lambda s: s.icount)
        if at == 0:
            raise LookupError(f"instruction {icount} is before the first snapshot, at {self.start}")
        return self.kept[at - 1]

    def restore(self, snapshot: Snapshot) -> None:
        """Go to one of the snapshots."""
        self.snapshots.restore(snapshot)

    def base_for(self, icount: int) -> Snapshot | None:
        """The snapshot from which to execute to reach an instruction count; None: from where the machine is."""
        base = self.before(icount)
        between = self.now < base.icount and any(self.now < count <= base.icount for count in self.anchors)
        if self.now <= icount and not between and not (self.now < base.icount and self.has(base.icount)):
            return None
        return base
