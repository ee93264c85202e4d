"""The reverse map table: for each 4 KiB page of system-physical memory, whose it is and who may do what with it (APM
Vol. 2 15.36.3 to 15.36.7), and the host's instructions on it.

Pages are numbered by system-physical address / 4096. A 2 MiB entry stands in all 512 places that it covers, so that a
look-up need not search for the authoritative one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

PAGE, LARGE = 4096, 512                 # bytes of a page; pages of a 2 MiB entry
VMPLS = 4

# What the instructions return (APM Vol. 3 PVALIDATE, RMPADJUST, RMPUPDATE, PSMASH)
(SUCCESS, FAIL_INPUT, FAIL_PERMISSION, FAIL_INUSE, FAIL_OVERLAP) = range(5)
FAIL_SIZEMISMATCH, FAIL_BADADDR = 6, 7

# Permission mask of a VMPL (15.36.7)
READ, WRITE, EXECUTE_USER, EXECUTE_SUPERVISOR, SHADOW_STACK = 1, 2, 4, 8, 16
ALL = READ | WRITE | EXECUTE_USER | EXECUTE_SUPERVISOR | SHADOW_STACK


class Entry(NamedTuple):
    """What RMPUPDATE is given: owner (ASID 0 and not assigned: the hypervisor), and the guest frame number."""

    assigned: bool
    asid: int = 0
    gfn: int = 0
    large: bool = False
    immutable: bool = False


class Rmp:
    """The table for `pages` pages; all others are the hypervisor's for ever."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.assigned = np.zeros(pages, bool)
        self.large = np.zeros(pages, bool)
        self.immutable = np.zeros(pages, bool)
        self.vmsa = np.zeros(pages, bool)
        self.validated = np.zeros(pages, bool)
        self.asid = np.zeros(pages, np.uint16)
        self.gfn = np.zeros(pages, np.uint64)
        self.permissions = np.zeros((VMPLS, pages), np.uint8)
        self.running: Callable[[], Collection[int]] = tuple     # the pages that VMRUN uses now (15.36.12)
        self.changed: Callable[[int, int], None] = lambda first, count: None
        self.vmsas_changed: Callable[[], None] = lambda: None   # a page became a VMSA, or is none any more

    def covered(self, page: int) -> bool:
        """Whether the table has an entry for the page."""
        return 0 <= page < self.pages

    def any_assigned(self, page: int, large: bool = False) -> bool:
        """Whether the page, or any page of its 2 MiB region, is not the hypervisor's."""
        first, count = (page & -LARGE, LARGE) if large else (page, 1)
        return bool(self.assigned[first:first + count].any())

    def span(self, page: int) -> slice:
        """The places of the entry that covers a page."""
        return slice(page & -LARGE, (page & -LARGE) + LARGE) if self.large[page] else slice(page, page + 1)

    def busy(self, first: int, count: int) -> bool:
        """Whether VMRUN uses one of the pages."""
        return any(first <= page < first + count for page in self.running())

    # --- the host's instructions -------------------------------------------------------------------------------------

    def update(self, page: int, entry: Entry, caller_asid: int = 0) -> int:
        """RMPUPDATE (15.36.5): the page has a new owner, is not validated, no VMSA, and VMPL0's alone."""
        count = LARGE if entry.large else 1
        if not self.covered(page) or not self.covered(page + count - 1) or page % count or entry.gfn % count:
            return FAIL_INPUT
        if not entry.assigned and (entry.immutable or entry.asid):
            return FAIL_INPUT
        place = slice(page, page + count)
        if caller_asid or self.immutable[place].any():
            return FAIL_PERMISSION
        if self.busy(page, count):
            return FAIL_INUSE
        if not entry.large and self.large[page] and self.validated[page]:
            return FAIL_OVERLAP
        if entry.large and not self.large[page] and self.validated[place].any():
            return FAIL_OVERLAP
        if not entry.large and self.large[page]:
            self._smash(page & -LARGE)
        self.assigned[place], self.asid[place], self.large[place] = entry.assigned, entry.asid, entry.large
        self.immutable[place] = entry.immutable
        self.gfn[place] = np.arange(entry.gfn, entry.gfn + count, dtype=np.uint64)
        was_vmsa = bool(self.vmsa[place].any())
        self.vmsa[place] = self.validated[place] = False
        self.permissions[:, place] = 0
        if entry.assigned:
            self.permissions[0, place] = ALL
        self.changed(page, count)
        if was_vmsa:
            self.vmsas_changed()
        return SUCCESS

    def psmash(self, page: int, caller_asid: int = 0) -> int:
        """PSMASH (15.36.11): one 2 MiB entry becomes 512 of 4 KiB."""
        if page % LARGE or not self.covered(page):
            return FAIL_INPUT
        if not self.large[page]:
            return FAIL_BADADDR
        if caller_asid or self.immutable[page]:
            return FAIL_PERMISSION
        if self.busy(page, LARGE):
            return FAIL_INUSE
        self._smash(page)
        return SUCCESS

    def _smash(self, page: int) -> None:
        self.large[page:page + LARGE] = False
        self.changed(page, LARGE)

    # --- the firmware's part of a launch (FW ABI, SNP_LAUNCH_UPDATE), and the guest's instructions -------------------

    def launch(self, page: int, asid: int, gfn: int, masks: tuple[int, int, int] = (0, 0, 0), vmsa: bool = False,
               count: int = 1) -> None:
        """Pages of the guest from the start: validated, with these permissions of VMPL1 to VMPL3."""
        place = slice(page, page + count)
        self.assigned[place], self.asid[place], self.validated[place], self.vmsa[place] = True, asid, True, vmsa
        self.large[place] = self.immutable[place] = False
        self.gfn[place] = np.arange(gfn, gfn + count, dtype=np.uint64)
        self.permissions[:, place] = np.array((ALL, *masks), np.uint8)[:, None]
        self.changed(page, count)

    def validate(self, page: int, valid: bool) -> None:
        """PVALIDATE's effect."""
        place = self.span(page)
        self.validated[place] = valid
        self.changed(place.start, place.stop - place.start)

    def adjust(self, page: int, vmpl: int, mask: int, vmsa: bool | None) -> None:
        """RMPADJUST's effect; `vmsa` None leaves that bit."""
        place = self.span(page)
        self.permissions[vmpl, place] = mask
        becomes = vmsa is not None and bool(self.vmsa[page]) != vmsa
        if vmsa is not None:
            self.vmsa[place] = vmsa
        self.changed(place.start, place.stop - place.start)
        if becomes:
            self.vmsas_changed()

    # --- snapshots ---------------------------------------------------------------------------------------------------

    def _arrays(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def save(self) -> dict[str, Any]:
        """State: the columns, packed."""
        return {name: zlib.compress(array.tobytes(), 1) for name, array in self._arrays().items()}

    def load(self, state: dict[str, Any]) -> None:
        """Put a state back; tables made from it are the caller's."""
        for name, array in self._arrays().items():
            data = zlib.decompress(state[name], bufsize=array.nbytes)
            if len(data) != array.nbytes:
                raise ValueError(name)
            array[...] = np.frombuffer(data, array.dtype).reshape(array.shape)
