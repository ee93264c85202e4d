"""Rules of Arm CCA's planes that a scheduling policy does not express: what P0 may enter, and which permissions an
overlay index stands for (RMM specification, Planes; ARM-software/cca-rmm-acs, planes scenarios).

The machine runs x86 planes under the policy CCA (emu/planes/policies.py); this is the Realm's side of the interface.
"""

from __future__ import annotations

PAGE = 4096
OVERLAYS, LOCKED = 15, 0                # permission indexes, and the one that nobody sets
READ, WRITE, EXECUTE = 1, 2, 4
ALL = READ | WRITE | EXECUTE


class InputError(Exception):
    """RSI_ERROR_INPUT: an operand is not one that the call takes; nothing was changed."""


def check_enter(index: int, planes: int, run_page: int) -> None:
    """What RSI_PLANE_ENTER of P0 needs: one of the `planes` auxiliary planes, and a page for the run structure.
    InputError: it is refused, and P0 goes on."""
    if not 0 < index <= planes:
        raise InputError(f"plane {index}: there are 1 to {planes}")
    if run_page % PAGE:
        raise InputError(f"run structure at {run_page:#x}: not the beginning of a page")


class Overlays:
    """Permissions of `planes` auxiliary planes by overlay index: P0 sets them until an index is used for memory."""

    def __init__(self, planes: int) -> None:
        self._values = {(plane, index): 0 for plane in range(1, planes + 1) for index in range(OVERLAYS)}
        self._used = {LOCKED}

    def value(self, plane: int, index: int) -> int:
        """What an index lets a plane do."""
        return self._values[plane, index]

    def set(self, plane: int, index: int, permissions: int) -> None:
        """Give an index its meaning for a plane. InputError: no such plane or index, or it is in use."""
        if (plane, index) not in self._values or permissions & ~ALL:
            raise InputError(f"permissions {permissions:#x} of index {index} for plane {plane}")
        if index in self._used:
            raise InputError(f"index {index} is locked")
        self._values[plane, index] = permissions

    def use(self, index: int) -> None:
        """Memory gets this index, whose value is final then. InputError: no such index."""
        if not 0 <= index < OVERLAYS:
            raise InputError(f"index {index}: there are 0 to {OVERLAYS - 1}")
        self._used.add(index)
