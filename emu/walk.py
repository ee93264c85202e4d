"""Page walks as an observer makes them: nothing is changed, no accessed bit set, no TLB filled (SDM Vol. 3A 4)."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, NamedTuple

from emu.mem.ram import PAGE
from jit import layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane

CR0_PG, CR4_PSE, CR4_PAE, CR4_LA57, EFER_LMA = 1 << 31, 1 << 4, 1 << 5, 1 << 12, 1 << 10
PRESENT, WRITABLE, USER, ACCESSED, DIRTY, LARGE, GLOBAL = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
NX = 1 << 63
FRAME = 0x000F_FFFF_FFFF_F000
LEVELS = {5: "PML5E", 4: "PML4E", 3: "PDPTE", 2: "PDE", 1: "PTE"}


class Level(NamedTuple):
    """One entry that a walk read: what the manual calls it, where it is, and its value."""

    name: str
    gpa: int
    entry: int

    def flags(self) -> str:
        """Its flags as letters: present, writable, user, accessed, dirty, page size, global, execute disable."""
        letters = ((PRESENT, "P"), (WRITABLE, "W"), (USER, "U"), (ACCESSED, "A"), (DIRTY, "D"), (LARGE, "S"),
                   (GLOBAL, "G"), (NX, "X"))
        return "".join(letter if self.entry & bit else "-" for bit, letter in letters)


class Walk(NamedTuple):
    """A walk: its entries from the top, and the guest-physical address, or None where one is not present. The rights
    are those of the page tables alone, for the least privileged access they admit. `place`: where the memory of the
    address is in the machine's physical map, which differs in SEV-SNP guests only."""

    linear: int
    levels: tuple[Level, ...]
    gpa: int | None
    page_size: int
    writable: bool
    user: bool
    executable: bool
    place: int | None


def place_of(plane: Plane, gpa: int, shared: bool) -> int:
    """Where the memory of a guest-physical address is (jit/second_stage.py)."""
    table, frames = plane.get(layout.NESTED), plane.get(layout.NESTED_PAGES)
    if not table or gpa // PAGE >= frames:
        return gpa
    word = ctypes.c_uint64.from_address(table + 8 * (gpa // PAGE + (frames if shared else 0))).value
    return word | gpa % PAGE


def is_shared(plane: Plane, entry: int, gpa: int) -> bool:
    """Whether a leaf entry maps data that is shared with the hypervisor (APM Vol. 2 15.34.5, 15.36.8)."""
    top, c_bit = plane.get(layout.VIRTUAL_TOM), plane.get(layout.C_BIT)
    return gpa >= top if top else bool(c_bit) and not entry & c_bit


def walk(machine: Machine, plane: Plane, linear: int) -> Walk:
    """Translate a linear address with a plane's paging as it is now."""
    if not plane.get(layout.CR0) & CR0_PG:
        linear &= (1 << 32) - 1
        gpa = linear & plane.get(layout.A20_MASK)
        return Walk(linear, (), gpa, PAGE, True, True, True, place_of(plane, gpa, False))
    c_bit = plane.get(layout.C_BIT)
    cr3, levels = plane.get(layout.CR3) & ~c_bit, []
    if plane.get(layout.EFER) & EFER_LMA:
        table, depth, width = cr3 & FRAME, 5 if plane.get(layout.CR4) & CR4_LA57 else 4, 8
    elif plane.get(layout.CR4) & CR4_PAE:
        pdpte = plane.get(layout.PDPTE + 8 * (linear >> 30 & 3))
        levels.append(Level("PDPTE", (cr3 & 0xFFFFFFE0) + 8 * (linear >> 30 & 3), pdpte))
        table, depth, width = pdpte & FRAME & ~c_bit, 2, 8
        if not pdpte & PRESENT:
            return Walk(linear, tuple(levels), None, PAGE, False, False, False, None)
    else:
        table, depth, width = cr3 & 0xFFFFF000, 2, 4
    bits = 9 if width == 8 else 10
    rights, execute = WRITABLE | USER, True
    for level in range(depth, 0, -1):
        shift = 12 + bits * (level - 1)
        at = table + (linear >> shift & (1 << bits) - 1) * width
        place = place_of(plane, at, False)
        entry = 0
        if machine.memory.backed(place, width):
            entry = int.from_bytes(machine.memory.read(place, width), "little")
        levels.append(Level(LEVELS[level], at, entry))
        if not entry & PRESENT:
            return Walk(linear, tuple(levels), None, 1 << shift, False, False, False, None)
        rights &= entry
        execute = execute and not (width == 8 and entry & NX)
        pse = width == 8 or plane.get(layout.CR4) & CR4_PSE
        if level == 1 or entry & LARGE and level <= 3 and pse:
            break
        table = entry & (FRAME & ~c_bit if width == 8 else 0xFFFFF000)
    size = 1 << shift
    frame = entry & FRAME & -size if width == 8 else entry & 0xFFFFF000 & -size | (
        (entry & 0x1FE000) << 19 if level == 2 else 0)
    gpa = (frame | linear & size - 1) & plane.get(layout.PHYS_MASK) & plane.get(layout.A20_MASK)
    return Walk(linear, tuple(levels), gpa, size, bool(rights & WRITABLE), bool(rights & USER), execute,
                place_of(plane, gpa, width == 8 and is_shared(plane, entry, gpa)))


def pieces(machine: Machine, plane: Plane, linear: int, size: int) -> list[tuple[int, int]]:
    """(place, bytes) of a linear range, as far as it is mapped to memory."""
    found, mask = [], (1 << 64) - 1
    while size > 0:
        linear &= mask
        n = min(size, PAGE - linear % PAGE)
        place = walk(machine, plane, linear).place
        if place is None or not machine.memory.backed(place, n):
            break
        found.append((place, n))
        linear, size = linear + n, size - n
    return found


def read_virtual(machine: Machine, plane: Plane, linear: int, size: int) -> bytes:
    """Up to `size` bytes at a linear address, ending where no memory is mapped."""
    return b"".join(machine.memory.read(place, n) for place, n in pieces(machine, plane, linear, size))


def write_virtual(machine: Machine, plane: Plane, linear: int, data: bytes) -> int:
    """Write to a linear address as a debugger does, read-only pages included, as far as memory is mapped; decoded code
    there is dropped. Gives the bytes written."""
    done = 0
    for place, n in pieces(machine, plane, linear, len(data)):
        machine.poke(place, data[done:done + n])
        done += n
    return done
