"""The machine's physical memory: RAM around the PC's holes, ROM, and the chipset's shadow RAM."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from emu.load.ram import FOUR_GIB, SHADOW_START, loadable
from emu.mem.ram import PAGE, HostBlock, PhysicalMemory
from jit import pmap

if TYPE_CHECKING:
    from emu.dev.i440fx import ShadowSegment
    from emu.load.model import Image

READ_WRITE = pmap.READ | pmap.WRITE


class GuestMap:
    """RAM of a PC of `size` bytes, and what overlays it.

    `copies` of it follow each other, `space` bytes apart, where a hypervisor backs guest memory in several ways, and
    then `extra` bytes of its own.
    """

    def __init__(self, size: int, copies: int = 1, extra: int = 0) -> None:
        ranges = loadable(size)
        self.space = max(FOUR_GIB, ranges[-1].base + ranges[-1].size)
        self.memory = PhysicalMemory(copies * self.space + extra)
        self._ram = [self.memory.add_ram(copy * self.space + part.base, part.size)
                     for copy in range(copies) for part in ranges]
        if extra:
            self._ram.append(self.memory.add_ram(copies * self.space, extra))
        self._shadow_words: dict[int, int] = {}         # page -> word of its RAM, where ROM may cover it
        for page in range(SHADOW_START // PAGE, min(0x100000, size) // PAGE):
            self._shadow_words[page] = self.memory.map[page]
        self._rom_words: dict[int, int] = {}
        self._roms: list[HostBlock] = []

    def load(self, image: Image) -> None:
        """Put an image's bytes in place; its ROMs cover RAM."""
        for segment in image.segments:
            self.memory.write(segment.gpa, segment.data)
        for rom in image.roms:
            block = HostBlock((len(rom.data) + PAGE - 1) // PAGE * PAGE)
            block.view[:len(rom.data)] = rom.data
            self._roms.append(block)
            self.memory.add(rom.gpa, block, pmap.READ)
            for page in range(rom.gpa // PAGE, (rom.gpa + block.size) // PAGE):
                self._rom_words[page] = self.memory.map[page]

    def clear(self) -> None:
        """Zero all RAM. Decoded code, if any, is the caller's to invalidate."""
        for block in self._ram:
            ctypes.memset(block.address, 0, block.size)
        self.memory.note_written()

    def shadow(self, segments: list[ShadowSegment]) -> list[int]:
        """Apply the host bridge's PAM registers (82441FX 3.2.13) where firmware is present; gives the pages changed.

        Pages that read ROM but write RAM are backed by neither: such accesses go through `mixed_read`.
        """
        if not self._roms:
            return []
        changed = []
        for segment in segments:
            for page in range(segment.base // PAGE, (segment.base + segment.size) // PAGE):
                word = self._shadow_words.get(page, 0) & ~pmap.FLAGS_MASK
                if segment.read_ram:
                    new = word | (READ_WRITE if segment.write_ram else pmap.READ)
                else:
                    new = 0 if segment.write_ram else self._rom_words.get(page, 0)
                if new | pmap.CODE != self.memory.map[page] | pmap.CODE:
                    self.memory.map[page] = new
                    changed.append(page * PAGE)
        return changed

    def mixed_read(self, gpa: int, size: int) -> int | None:
        """A read from ROM under write-only shadow RAM, or None where there is none."""
        word = self._rom_words.get(gpa // PAGE)
        if word is None or gpa // PAGE not in self._shadow_words:
            return None
        return int.from_bytes(ctypes.string_at((word & ~pmap.FLAGS_MASK) + gpa % PAGE, size), "little")

    def mixed_write(self, gpa: int, data: bytes) -> bool:
        """A write to write-only shadow RAM; False where there is none."""
        word = self._shadow_words.get(gpa // PAGE)
        if word is None or not self._roms:
            return False
        ctypes.memmove((word & ~pmap.FLAGS_MASK) + gpa % PAGE, data, len(data))
        return True
