"""Host memory that compiled code touches: guest RAM between guard pages, and the physical map over it."""

import ctypes
import mmap
from array import array

from jit import pmap

PAGE = 4096
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
PROT_NONE, MAP_FLAGS = 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000      # MAP_NORESERVE


class HostBlock:
    """Zeroed, page-aligned host memory of `size` bytes (a multiple of 4096) with an inaccessible page on either side:
    `view` has its bytes, `words` its 64-bit words.

    MemoryError: the host has no room.
    """

    def __init__(self, size: int) -> None:
        assert size > 0 and size % PAGE == 0
        self.size = size
        self._mapped = size + 2 * PAGE
        start = _libc.mmap(None, self._mapped, PROT_NONE, MAP_FLAGS, -1, 0)
        if start in (None, ctypes.c_void_p(-1).value):
            raise MemoryError(f"no room for {size} bytes of guest memory")
        self._start = start
        self.address: int = start + PAGE
        if _libc.mprotect(self.address, size, mmap.PROT_READ | mmap.PROT_WRITE):
            raise MemoryError(f"no room for {size} bytes of guest memory")
        self.view = memoryview((ctypes.c_ubyte * size).from_address(self.address)).cast("B")
        self.words = self.view.cast("Q")

    def close(self) -> None:
        """Give the memory back. Nothing may use the address or the views afterwards."""
        if self._start:
            self.words.release()
            self.view.release()
            _libc.munmap(self._start, self._mapped)
            self._start = 0

    def __del__(self) -> None:
        try:
            self.close()
        except (BufferError, AttributeError):
            pass        # somebody still holds a view; the process's end frees it


class PhysicalMemory:
    """The guest-physical address space: which host page, if any, backs each 4 KiB page (jit/pmap.py).

    `top` is the first address beyond the map, a multiple of 4096; everything above is a device or nothing.
    """

    def __init__(self, top: int = 1 << 32) -> None:
        self.top = top
        self._blocks: list[tuple[int, HostBlock, int]] = []
        self.ram: list[tuple[int, HostBlock]] = []      # its RAM, by first address
        self.map_block = HostBlock((top // PAGE * 8 + PAGE - 1) // PAGE * PAGE)
        self.map = self.map_block.words

    def add(self, gpa: int, block: HostBlock, flags: int, offset: int = 0, size: int | None = None) -> None:
        """Back [gpa, gpa + size) with a host block from `offset` on. `flags` are those of jit/pmap.py."""
        size = block.size - offset if size is None else size
        assert gpa % PAGE == 0 and size % PAGE == 0 and offset % PAGE == 0 and gpa + size <= self.top
        self._blocks.append((gpa, block, size))
        first = (block.address + offset) | flags
        self.map[gpa // PAGE:(gpa + size) // PAGE] = array("Q", range(first, first + size, PAGE))

    def add_ram(self, gpa: int, size: int) -> HostBlock:
        """New RAM of `size` bytes at `gpa`."""
        block = HostBlock(size)
        self.ram.append((gpa, block))
        self.add(gpa, block, pmap.READ | pmap.WRITE | pmap.CLEAN)
        return block

    def note_written(self) -> None:
        """All RAM was written, not through `write`."""
        for gpa, block in self.ram:
            for page in range(gpa // PAGE, (gpa + block.size) // PAGE):
                self.map[page] &= ~pmap.CLEAN

    def protect(self, gpa: int, size: int, flags: int) -> None:
        """Change what backed pages are; their decoded code, if any, is the caller's to invalidate."""
        for page in range(gpa // PAGE, (gpa + size) // PAGE):
            host = self.map[page] & ~pmap.FLAGS_MASK
            if host:
                self.map[page] = host | flags

    def _pieces(self, gpa: int, size: int) -> "list[tuple[int, int]]":
        """Host address and length of each page-bounded piece; 0 where nothing backs it."""
        pieces = []
        while size:
            here = min(size, PAGE - gpa % PAGE)
            pieces.append((self.host(gpa), here))
            gpa += here
            size -= here
        return pieces

    def host(self, gpa: int) -> int:
        """Host address of one byte, good to its page's end; 0 where nothing backs it."""
        word = self.map[gpa // PAGE] if gpa < self.top else 0
        return (word & ~pmap.FLAGS_MASK) + gpa % PAGE if word else 0

    def backed(self, gpa: int, size: int) -> bool:
        """Whether memory (RAM or ROM) backs every byte."""
        return all(host for host, _ in self._pieces(gpa, size))

    def read(self, gpa: int, size: int) -> bytes:
        """`size` bytes from `gpa`; bytes that nothing backs read as FF."""
        host = self.host(gpa)
        if host and gpa % PAGE + size <= PAGE:
            return ctypes.string_at(host, size)
        return b"".join(ctypes.string_at(host, n) if host else b"\xff" * n for host, n in self._pieces(gpa, size))

    def write(self, gpa: int, data: bytes) -> None:
        """Write bytes, ROM included (a loader's view); bytes that nothing backs are dropped."""
        at = 0
        for host, n in self._pieces(gpa, len(data)):
            if host:
                self.map[(gpa + at) // PAGE] &= ~pmap.CLEAN
                ctypes.memmove(host, bytes(data[at:at + n]), n)
            at += n
