"""Which instruction set a page's mask: kept beside the masks, for debuggers. Part of the state, so that it is right
wherever execution goes back to."""

from __future__ import annotations

from array import array
from typing import Any

from emu.planes.layers import Origin

Key = tuple[int, int]           # (setter, lower VTL)


class Origins:
    """The origins of all masks. A page without one of its own has its key's, which enabled the protections."""

    def __init__(self) -> None:
        self._default: dict[Key, Origin] = {}
        self._pages: dict[Key, dict[int, Origin]] = {}

    def enabled(self, key: Key, origin: Origin) -> None:
        """All pages got a default mask."""
        self._default[key] = origin
        self._pages[key] = {}

    def changed(self, key: Key, page: int, origin: Origin) -> None:
        """One page's mask was set."""
        self._pages[key][page] = origin

    def of(self, key: Key, page: int) -> Origin | None:
        """What set the mask of a page."""
        return self._pages.get(key, {}).get(page) or self._default.get(key)

    def clear(self) -> None:
        """There are no masks any more."""
        self._default.clear()
        self._pages.clear()

    def save(self) -> list[Any]:
        """State, grouped by origin: one hypercall may set many pages."""
        found = []
        for key, default in sorted(self._default.items()):
            groups: dict[Origin, array[int]] = {}
            for page, origin in self._pages[key].items():
                groups.setdefault(origin, array("Q")).append(page)
            found.append([*key, list(default), [[*origin, array("Q", sorted(pages)).tobytes()]
                                                for origin, pages in sorted(groups.items())]])
        return found

    def load(self, state: list[Any]) -> None:
        """Put a saved state back."""
        self.clear()
        for setter, vtl, default, groups in state:
            self._default[setter, vtl] = Origin(*default)
            pages = self._pages[setter, vtl] = {}
            for *origin, packed in groups:
                pages.update(dict.fromkeys(array("Q", packed), Origin(*origin)))
