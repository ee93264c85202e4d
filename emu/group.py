"""The planes of a vCPU as Python sees them: the block of jit/group_layout.py with names, and its switch records."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from emu.mem.ram import PAGE, HostBlock
from emu.plane import Plane
from jit import group_layout as layout
from jit import layout as registers

RING_RECORDS = 1 << 17          # switches that are kept; the host gives the memory only as they occur


class Switch(NamedTuple):
    """One plane switch. `icount`: the clock's instruction count after the instruction that caused it; `cause`: a name
    of jit.group_layout.CAUSE_NAMES; `rip_from`: that instruction, or the one that was interrupted."""

    icount: int
    source: int
    target: int
    cause: str
    rip_from: int
    rip_to: int


class Group:
    """The planes of one vCPU. `planes` and `active` are what the engine uses."""

    def __init__(self, first: Plane) -> None:
        self._block = HostBlock((layout.GROUP_BYTES + PAGE - 1) // PAGE * PAGE)
        self._ring: HostBlock | None = None
        self.address = self._block.address
        self.words = (ctypes.c_uint64 * (layout.GROUP_BYTES // 8)).from_address(self.address)
        self.planes: list[Plane] = []
        self.now = 0                    # the clock's instruction count when the group last ran
        self.add(first)
        self.set(layout.ENABLED, 1)
        self.set(layout.RUNNABLE, 1)

    def get(self, offset: int) -> int:
        """A word of the block."""
        return self.words[offset >> 3]

    def set(self, offset: int, value: int) -> None:
        """Write a word of the block."""
        self.words[offset >> 3] = value

    def mark(self, offset: int, plane: int, present: bool) -> None:
        """Put a plane into a set of the block, or take it out."""
        self.set(offset, self.get(offset) & ~(1 << plane) | int(present) << plane)

    @property
    def active(self) -> int:
        """Number of the plane that runs."""
        return self.get(layout.ACTIVE)

    @property
    def plane(self) -> Plane:
        """The plane that runs."""
        return self.planes[self.active]

    @property
    def switches(self) -> int:
        """How often this vCPU has changed planes."""
        return self.get(layout.SWITCHES)

    def enabled(self, number: int) -> bool:
        """Whether the guest has enabled a plane."""
        return bool(self.get(layout.ENABLED) >> number & 1)

    def add(self, plane: Plane) -> None:
        """A further plane; it is not enabled yet. Its number is its place."""
        number = len(self.planes)
        assert number < layout.MAX_PLANES and plane.number == number
        self.planes.append(plane)
        self.set(layout.FILES + 8 * number, plane.address)
        plane.set(registers.GROUP, self.address)
        self.set(layout.COUNT, number + 1)

    def remove(self) -> None:
        """Take the highest plane away."""
        self.planes.pop()
        self.set(layout.FILES + 8 * len(self.planes), 0)
        self.set(layout.COUNT, len(self.planes))

    def offer(self, interface: int, shared: layout.SharedSet) -> None:
        """Say what the hypercall instructions mean (INTERFACE_*) and which pieces of the register file planes share."""
        assert len(shared) <= layout.MAX_SHARED
        self.set(layout.INTERFACE, interface)
        self.set(layout.SHARED_COUNT, len(shared))
        for i, (offset, words) in enumerate(shared):
            self.set(layout.SHARED + 16 * i, offset)
            self.set(layout.SHARED + 16 * i + 8, words)
        if self._ring is None:
            self._ring = HostBlock(RING_RECORDS * layout.RECORD_BYTES)
            self.set(layout.RING, self._ring.address)
            self.set(layout.RING_RECORDS, RING_RECORDS)

    @property
    def shared(self) -> list[tuple[int, int]]:
        """(offset, words) of the pieces of the register file that planes share."""
        return [(self.get(layout.SHARED + 16 * i), self.get(layout.SHARED + 16 * i + 8))
                for i in range(self.get(layout.SHARED_COUNT))]

    def table(self) -> np.ndarray[Any, Any]:
        """The switches that are still in the ring, oldest first, as rows of numbers: icount, from, to, CAUSE_*,
        rip_from, rip_to."""
        columns = 1 + layout.REC_RIP_TO // 8
        if self._ring is None:
            return np.zeros((0, columns), np.uint64)
        ring = np.frombuffer(self._ring.view, np.uint64).reshape(RING_RECORDS, -1)[:, :columns]
        total = self.switches
        first = max(0, total - RING_RECORDS)
        rows = ring[np.arange(first, total) % RING_RECORDS]
        return rows[rows[:, layout.REC_ICOUNT // 8] <= self.now]

    def records(self, last: int) -> Iterator[Switch]:
        """The last `last` switches that are still in the ring, oldest first."""
        if self._ring is None:
            return
        total = self.switches
        for n in range(total - min(total, last, RING_RECORDS), total):
            at = n % RING_RECORDS * layout.RECORD_BYTES
            words = self._ring.view[at:at + layout.RECORD_BYTES].cast("Q")
            if words[layout.REC_ICOUNT // 8] > self.now:
                continue                # written over by a switch that is in the future again
            yield Switch(words[layout.REC_ICOUNT // 8], words[layout.REC_FROM // 8], words[layout.REC_TO // 8],
                         layout.CAUSE_NAMES[words[layout.REC_CAUSE // 8]], words[layout.REC_RIP_FROM // 8],
                         words[layout.REC_RIP_TO // 8])
