"""Builds page tables in memory: 5-level, 4-level, PAE and 32-bit (SDM Vol. 3A 4.3 to 4.5)."""

from emu.mem.ram import PAGE
from jit import layout
from tools.lockstep.bare import Bare

P, RW, US, A, D, PS, G, NX = 1, 2, 4, 0x20, 0x40, 0x80, 0x100, 1 << 63
CR0_PE, CR0_WP, CR0_PG = 1, 1 << 16, 1 << 31
CR4_PSE, CR4_PAE, CR4_LA57 = 1 << 4, 1 << 5, 1 << 12
CR4_VECTORS = 1 << 9 | 1 << 10 | 1 << 18                    # OSFXSR, OSXMMEXCPT, OSXSAVE
EFER_LME, EFER_LMA, EFER_NXE = 1 << 8, 1 << 10, 1 << 11
SHIFTS = {"5-level": (48, 39, 30, 21, 12), "4-level": (39, 30, 21, 12), "pae": (30, 21, 12), "32-bit": (22, 12)}


class Tables:
    """The tables of one address space; `root` and the tables under it are taken from `free` upwards."""

    def __init__(self, bare: Bare, kind: str, free: int) -> None:
        self.bare, self.kind, self.free = bare, kind, free
        self.shifts = SHIFTS[kind]
        self.size = 4 if kind == "32-bit" else 8
        self.root = self._table()

    def _table(self) -> int:
        table, self.free = self.free, self.free + PAGE
        self.bare.memory.write(table, bytes(PAGE))
        return table

    def read(self, at: int) -> int:
        """The entry at a physical address."""
        return int.from_bytes(self.bare.memory.read(at, self.size), "little")

    def write(self, at: int, entry: int) -> None:
        """Replace the entry at a physical address."""
        self.bare.memory.write(at, entry.to_bytes(self.size, "little"))

    def path(self, linear: int, levels: int | None = None) -> list[int]:
        """Physical addresses of the entries that translate `linear`, top first, making missing tables."""
        table, found = self.root, []
        for shift in self.shifts[:levels]:
            index = linear >> shift & (0x3FF if self.kind == "32-bit" else 3 if shift == 30 and self.kind == "pae"
                                       else 0x1FF)
            found.append(table + index * self.size)
            if shift == self.shifts[:levels][-1]:
                break
            if not self.read(found[-1]) & P:
                rights = 0 if self.kind == "pae" and shift == 30 else RW | US
                self.write(found[-1], self._table() | P | rights)
            table = self.read(found[-1]) & 0xFFFFFFFFFF000
        return found

    def map(self, linear: int, gpa: int, flags: int = P | RW, levels: int | None = None) -> int:
        """Map a page (a large one with fewer levels and PS). Gives the physical address of its entry."""
        at = self.path(linear, levels)[-1]
        self.write(at, gpa | flags)
        return at

    def use(self) -> None:
        """Turn paging on with these tables, write protection included."""
        plane = self.bare.plane
        plane.set(layout.CR3, self.root)
        plane.set(layout.CR0, CR0_PE | CR0_WP | CR0_PG)
        plane.set(layout.CR4, CR4_VECTORS | (CR4_PSE if self.kind == "32-bit" else CR4_PAE)
                  | (CR4_LA57 if self.kind == "5-level" else 0))
        plane.set(layout.EFER, {"pae": EFER_NXE, "32-bit": 0}.get(self.kind, EFER_LME | EFER_LMA | EFER_NXE))
        if self.kind == "pae":
            for number in range(4):
                plane.set(layout.PDPTE + 8 * number, self.read(self.root + 8 * number))
        plane.flush()
        plane.update_mode()
