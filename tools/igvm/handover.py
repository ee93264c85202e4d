"""What an IGVM file has in place of firmware to start a kernel: firmware/snp/handover.S, which accepts the memory that
is not in the file, and writes the MTRRs."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

from emu.firmware_state import memory_types
from emu.load import ram
from emu.load.image import load_image
from emu.load.model import ImageError
from emu.planes.snp.launch import PAGE, Launch, LaunchPage, PageType
from emu.planes.snp.vmsa import Vmsa

CODE = Path(__file__).resolve().parents[2] / "firmware" / "build" / "snp_handover.elf"
_PAGES = 7                      # code, lists, GHCB, page tables from PML4 to PT
_PRESENT, _WRITE, _LARGE, _ENTRIES = 1, 2, 1 << 7, 512
_EFER_LMA = 1 << 10


def with_handover(launch: Launch, path: str, memory: int, c_bit: int) -> Launch:
    """The launch of a kernel at its 64-bit entry, to which it goes on in `memory` bytes of RAM. ImageError: that is not
    possible; `path` is the kernel's."""
    (start,) = launch.of_type(PageType.VMSA)
    state = Vmsa(bytearray(start.contents))
    if not state["efer"] & _EFER_LMA:
        raise ImageError(path, "mode", "without firmware, SEV-SNP guests start a kernel at its 64-bit entry")
    used = {page.gpa for page in launch.pages}
    code, lists, ghcb, pml4, pdpt, directory, table = _place(path, used, memory)
    image = load_image(CODE, kind="elf", memory=memory, load_address=code)
    symbols = {symbol.name: symbol.address for symbol in image.symbols}
    data = bytearray(next(segment.data for segment in image.segments if segment.gpa == code))
    gaps = _pairs(_gaps(used | {code + n * PAGE for n in range(_PAGES)}, memory))
    msrs = _pairs(memory_types())
    struct.pack_into("<5Q", data, symbols["parameters"] - code, ghcb, state["cr3"], state["rip"], lists,
                     lists + len(gaps))
    contents = {code: bytes(data), lists: gaps + msrs, ghcb: b"", **_tables(pml4, pdpt, directory, table, ghcb, c_bit)}
    if max(map(len, contents.values())) > PAGE:
        raise ImageError(path, "memory", "is in more pieces than one page can list")
    state["cr3"], state["rip"] = pml4 | c_bit, image.boot.registers["rip"]
    first = [LaunchPage(gpa, PageType.NORMAL, piece.ljust(PAGE, b"\0") if piece else b"")
             for gpa, piece in contents.items()]
    others = [page for page in launch.pages if page is not start]
    return replace(launch, pages=(*first, *others, replace(start, data=bytes(state))))


def _place(path: str, used: set[int], memory: int) -> list[int]:
    """Addresses of pages that nobody uses, in a row, in conventional memory."""
    end = ram.loadable(memory)[0].end
    for first in range(PAGE, end - _PAGES * PAGE + 1, PAGE):
        pages = [first + n * PAGE for n in range(_PAGES)]
        if not used.intersection(pages):
            return pages
    raise ImageError(path, "memory", f"no room below 640 KiB for {_PAGES} pages")


def _gaps(used: set[int], memory: int) -> list[tuple[int, int]]:
    """(begin, end) of RAM that has no page in the launch."""
    found = []
    for part in ram.loadable(memory):
        begin = part.base
        for page in sorted(page for page in used if part.base <= page < part.end):
            if begin < page:
                found.append((begin, page))
            begin = page + PAGE
        if begin < part.end:
            found.append((begin, part.end))
    return found


def _pairs(rows: list[tuple[int, int]]) -> bytes:
    """A list as the code wants it, with zeros at its end."""
    return b"".join(struct.pack("<QQ", *row) for row in (*rows, (0, 0)))


def _tables(pml4: int, pdpt: int, directory: int, table: int, ghcb: int, c_bit: int) -> dict[int, bytes]:
    """Every address mapped to itself and private, but for the GHCB, which is shared."""
    flags = _PRESENT | _WRITE | c_bit
    large = [flags | _LARGE] * (_ENTRIES - 1)
    return {
        pml4: struct.pack("<Q", pdpt | flags),
        pdpt: struct.pack(f"<{_ENTRIES}Q", directory | flags, *(n << 30 | f for n, f in enumerate(large, 1))),
        directory: struct.pack(f"<{_ENTRIES}Q", table | flags, *(n << 21 | f for n, f in enumerate(large, 1))),
        table: struct.pack(f"<{_ENTRIES}Q", *(n * PAGE | flags & ~(c_bit if n * PAGE == ghcb else 0)
                                              for n in range(_ENTRIES)))}
