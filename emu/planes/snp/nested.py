"""The hypervisor's nested page table, and the two backings of guest memory.

Like KVM with guest_memfd, the hypervisor has a private and a shared page for each guest frame, and maps the one that
fits what the frame is now. Nothing keeps it from mapping any other page: the RMP is what protects the guest.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from emu.planes.snp.rmp import LARGE

NONE = -1                       # in `page`: not present


class NestedTable:
    """`page`: for each guest frame the system-physical page it is mapped to, or NONE; `large`: by a 2 MiB entry.

    `frames` guest frames, of which those of the set `ram` exist. System-physical page n is the private backing of
    frame n; the shared one is `frames` further on. `shared`: the frames that the hypervisor takes for shared.
    """

    def __init__(self, frames: int, ram: np.ndarray[Any, Any]) -> None:
        self.frames, self.ram = frames, ram
        self.page = np.full(frames, NONE, np.int64)
        self.large = np.zeros(frames, bool)
        self.shared = np.zeros(frames, bool)
        self._strange: dict[int, set[int]] = {}     # pages that were mapped at frames which they do not back
        self.changed: Callable[[int, int], None] = lambda first, count: None

    def exists(self, gfn: int) -> bool:
        """Whether the guest has memory at a frame."""
        return 0 <= gfn < self.frames and bool(self.ram[gfn])

    def ram_runs(self) -> list[tuple[int, int]]:
        """(first frame, frames) of each run of frames that exist."""
        edges = np.flatnonzero(np.diff(self.ram, prepend=False, append=False))
        return [(int(first), int(end - first)) for first, end in zip(edges[::2], edges[1::2], strict=True)]

    def private_backing(self, gfn: int) -> int:
        """The page that backs a frame while it is private."""
        return gfn

    def shared_backing(self, gfn: int) -> int:
        """The page that backs it while it is shared."""
        return gfn + self.frames

    def map(self, gfn: int, page: int, count: int = 1, large: bool = False) -> None:
        """Map consecutive frames to consecutive pages."""
        if page not in (self.private_backing(gfn), self.shared_backing(gfn)):
            for n in range(count):
                self._strange.setdefault(page + n, set()).add(gfn + n)
        self.page[gfn:gfn + count] = np.arange(page, page + count)
        self.large[gfn:gfn + count] = large
        self.changed(gfn, count)

    def unmap(self, gfn: int, count: int = 1) -> None:
        """Make frames not present."""
        self.page[gfn:gfn + count] = NONE
        self.large[gfn:gfn + count] = False
        self.changed(gfn, count)

    def split(self, gfn: int) -> None:
        """Let a 2 MiB mapping be 512 of 4 KiB."""
        first = gfn & -LARGE
        self.large[first:first + LARGE] = False
        self.changed(first, LARGE)

    def frames_of(self, first: int, count: int) -> list[tuple[int, int]]:
        """(first frame, frames) of runs that together include all frames that are mapped to some pages."""
        runs = [(first % self.frames, count)] if first < 2 * self.frames else []
        for page in self._strange.keys() & range(first, first + count):
            runs += [(gfn, 1) for gfn in self._strange[page]]
        return runs

    def _arrays(self) -> tuple[tuple[str, np.ndarray[Any, Any]], ...]:
        return ("page", self.page), ("large", self.large), ("shared", self.shared), ("ram", self.ram)

    def save(self) -> dict[str, Any]:
        """State, packed."""
        return {"strange": {page: sorted(frames) for page, frames in self._strange.items()},
                **{name: zlib.compress(array.tobytes(), 1) for name, array in self._arrays()}}

    def load(self, state: dict[str, Any]) -> None:
        """Put a state back; tables made from it are the caller's."""
        self._strange = {page: set(frames) for page, frames in state["strange"].items()}
        for name, array in self._arrays():
            data = zlib.decompress(state[name], bufsize=array.nbytes)
            if len(data) != array.nbytes:
                raise ValueError(name)
            array[...] = np.frombuffer(data, array.dtype)
