"""RAM by copy on write: an image shares with the one before it every page that was not written in between.

Pages written since the last image are those without pmap.CLEAN (jit/pmap.py); TLBs let no store to a clean page
through, so whoever sets the bit again flushes them.
"""

from __future__ import annotations

import ctypes
import hashlib
from typing import Any

import numpy as np

from emu.mem.ram import PAGE, PhysicalMemory
from jit import pmap

DIGEST = 16
ZERO = bytes(PAGE)


class Page:
    """The contents of a page at some time, shared by all images in which it is the same."""

    __slots__ = ("data", "_digest")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._digest: bytes | None = None

    @property
    def digest(self) -> bytes:
        """A digest of the contents."""
        if self._digest is None:
            self._digest = hashlib.blake2b(self.data, digest_size=DIGEST).digest()
        return self._digest


class RamImage:
    """All of RAM at one time: a Page or None (zero) for each page, part after part of `PhysicalMemory.ram`."""

    def __init__(self, pages: np.ndarray[Any, Any]) -> None:
        self.pages = pages

    def identities(self) -> np.ndarray[Any, Any]:
        """A number for each page that differs where the pages are different objects."""
        return np.ctypeslib.as_array((ctypes.c_int64 * len(self.pages)).from_address(self.pages.ctypes.data))

    def differing(self, other: RamImage) -> np.ndarray[Any, Any]:
        """Indexes of the pages that the two do not share."""
        return np.nonzero(self.identities() != other.identities())[0]

    def digest(self) -> bytes:
        """A digest of all of it."""
        total = hashlib.blake2b(digest_size=DIGEST)
        for index in np.nonzero(self.pages != None)[0]:     # noqa: E711 -- an array's comparison
            total.update(int(index).to_bytes(4, "little") + self.pages[index].digest)
        return total.digest()


class RamTracker:
    """Takes images of a machine's RAM and puts them back."""

    def __init__(self, memory: PhysicalMemory) -> None:
        self.memory = memory
        self.map = np.frombuffer(memory.map, np.uint64)
        parts = [np.arange(block.address, block.address + block.size, PAGE) for _, block in memory.ram]
        self.hosts = np.concatenate(parts).astype(np.uint64)
        self.numbers = np.concatenate([np.arange(gpa // PAGE, (gpa + block.size) // PAGE) for gpa, block in memory.ram])
        self.last = RamImage(np.full(len(self.hosts), None, object))

    def _dirty(self) -> np.ndarray[Any, Any]:
        """Indexes of the pages that may differ from the last image, those that something overlays among them."""
        words = self.map[self.numbers]
        flags = np.uint64(pmap.FLAGS_MASK)
        clean = (words & ~flags == self.hosts) & (words & np.uint64(pmap.CLEAN) != 0)
        return np.nonzero(~clean)[0]

    def now(self) -> RamImage:
        """RAM as it is; nothing is changed by asking."""
        pages = self.last.pages.copy()
        for index in self._dirty():
            data = ctypes.string_at(int(self.hosts[index]), PAGE)
            old = pages[index]
            if data != (ZERO if old is None else old.data):
                pages[index] = None if data == ZERO else Page(data)
        return RamImage(pages)

    def take(self) -> RamImage:
        """RAM as it is, from which the next image counts. The caller flushes every TLB."""
        self._clean(self.now())
        return self.last

    def restore(self, image: RamImage) -> list[int]:
        """Put an image back: gives the addresses of the pages that changed. The caller drops decoded code and TLBs."""
        changed = image.differing(self.now())
        for index in changed:
            page = image.pages[index]
            ctypes.memmove(int(self.hosts[index]), ZERO if page is None else page.data, PAGE)
        self._clean(image)
        return [int(number) * PAGE for number in self.numbers[changed]]

    def _clean(self, image: RamImage) -> None:
        self.last = image
        words = self.map[self.numbers]
        backed = words & ~np.uint64(pmap.FLAGS_MASK) == self.hosts
        self.map[self.numbers] = np.where(backed, words | np.uint64(pmap.CLEAN), words)
