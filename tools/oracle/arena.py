"""The memory that both sides of a comparison see: the same pages at the same addresses, below 4 GiB so that 32-bit code
reaches them, with unmapped pages around each area."""

from typing import NamedTuple

PAGE = 4096


class Area(NamedTuple):
    """Pages of one kind at a linear address."""

    address: int
    pages: int
    writable: bool
    executable: bool

    @property
    def size(self) -> int:
        return self.pages * PAGE

    @property
    def end(self) -> int:
        return self.address + self.size


CODE = Area(0x5000_0000, 8, False, True)
DATA = Area(0x5100_0000, 4, True, False)
READ_ONLY = Area(0x5200_0000, 1, False, False)
STACK = Area(0x5300_0000, 2, True, False)
PROGRAM = Area(0x5400_0000, 4, True, True)      # code that may change itself
AREAS = (CODE, DATA, READ_ONLY, STACK, PROGRAM)
TOP = 0x6000_0000
SLOT = 32                       # bytes of CODE for one instruction
SLOTS = CODE.size // SLOT


def offset_of(area: Area) -> int:
    """Where the area lies in a block that holds all areas one after the other."""
    return sum(a.size for a in AREAS[:AREAS.index(area)])


ARENA_BYTES = sum(a.size for a in AREAS)
MUTABLE = (offset_of(DATA), ARENA_BYTES)        # the part that instructions may change (the areas after CODE)
