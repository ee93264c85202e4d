"""Keeps what a machine decodes for later runs, and uses what earlier ones kept (emu/decode/stored.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emu.decode import page_image
from emu.decode.stored import WORTH, StoredPages, key
from emu.mem.ram import HostBlock

if TYPE_CHECKING:
    from emu.decode.translator import CodePage
    from jit.compiler import Compiler

DROPPED = 8192          # pages that are remembered after their code was overwritten


class Keeper:
    """Of one translator, to whose pages and arena it has references: it outlives it to save them."""

    def __init__(self, stored: StoredPages, compiler: Compiler, arena: HostBlock,
                 pages: dict[int, list[CodePage]]) -> None:
        self._stored, self._compiler, self._arena, self._pages = stored, compiler, arena, pages
        self._dropped: list[CodePage] = []

    def restore(self, page: CodePage, allocate: Callable[[int], int]) -> int:
        """Fill a new page with what is known of its bytes; gives the set of 64-byte lines with instructions."""
        page.key = key(page.data, page.mode)
        found = self._stored.get(page.key)
        if found is None:
            return 0
        lines = page_image.put_back(found, page, self._arena, allocate, self._compiler)
        page.restored = len(page.records)
        return lines

    def drop(self, page: CodePage) -> None:
        """The page's code is no longer that."""
        if len(self._dropped) < DROPPED and len(page.records) > page.restored:
            self._dropped.append(page)

    def save(self) -> None:
        """Store what was decoded, if it is worth it, and forget what was dropped."""
        worth = 0
        best: dict[bytes, CodePage] = {}
        for page in (*self._dropped, *(page for pages in self._pages.values() for page in pages)):
            added = sum(count for first, count in page.records[page.restored:] if first not in page.across)
            if page.key is not None and added:
                worth += added
                known = best.get(page.key)
                if known is None or len(known.records) <= len(page.records):
                    best[page.key] = page
        if worth >= WORTH:
            names = self._compiler.names
            self._stored.put({name: page_image.image(page, self._arena, names) for name, page in best.items()})
        self.forget()

    def forget(self) -> None:
        """Forget what was dropped."""
        self._dropped.clear()
