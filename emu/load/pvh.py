"""PVH: an ELF file with a Xen note that names a 32-bit entry.

Sources: Xen's docs/misc/pvh.pandoc (machine state), public/elfnote.h, public/arch-x86/hvm/start_info.h.
"""

import struct

from emu.load import ram, start
from emu.load.elf_file import ElfFile
from emu.load.layout import Layout
from emu.load.model import Image, Request, c_string
from emu.load.multiboot import put_modules
from emu.load.symbols import elf_symbols

_NOTE_NAME = b"Xen"
_PHYS32_ENTRY = 18  # XEN_ELFNOTE_PHYS32_ENTRY
_START_MAGIC = 0x336EC578  # "xEn3" with bit 7 of the E set
_VERSION = 1  # the one that has a memory map
_INFO_SIZE = 56
_TSS_LIMIT = 0x67  # pvh.pandoc: "tr: must be a 32-bit TSS (active) with a base of '0' and a limit of '0x67'"


def find_entry(elf: ElfFile) -> int | None:
    """The entry point that the PHYS32_ENTRY note gives; None if there is no such note."""
    for name, kind, descriptor in elf.notes():
        if name == _NOTE_NAME and kind == _PHYS32_ENTRY:
            if len(descriptor) not in (4, 8):
                raise elf.reader.error("PHYS32_ENTRY note", f"has {len(descriptor)} bytes, must have 4 or 8")
            return int.from_bytes(descriptor, "little")
    return None


def load(request: Request) -> Image:
    """The image of a PVH kernel; ``request.modules`` become its modules, the first one Linux's initrd."""
    elf = ElfFile(request.path, request.data)
    entry = find_entry(elf)
    if entry is None:
        raise request.error("PT_NOTE", "no Xen note of type 18 (PHYS32_ENTRY): not a PVH kernel")
    if request.mode not in (None, 32):
        raise request.error("mode", f"is {request.mode}, PVH enters in 32-bit mode")
    layout = Layout(request.path, request.memory, request.reserved)
    elf.put_segments(layout)
    if entry >= ram.FOUR_GIB or not any(s.gpa <= entry < s.gpa + s.size for s in layout.segments()):
        raise request.error("PHYS32_ENTRY note", f"{entry:#x} is not in a segment below 4 GiB")
    info = _put_start_info(request, layout)
    boot = start.protected_mode(layout, {"rip": entry, "rbx": info}, tss_limit=_TSS_LIMIT)
    return Image("pvh", request.path, layout.segments(), boot, elf_symbols(elf))


def _put_start_info(request: Request, layout: Layout) -> int:
    """struct hvm_start_info with its lists and strings behind it; its address."""
    places = put_modules(request, layout)
    memory_map = ram.address_map(request.memory, request.reserved)
    entries = b"".join(struct.pack("<QQII", r.base, r.size, r.type, 0) for r in memory_map)
    strings = [request.command_line] + [c_string(m.text) for m in request.modules]
    modules_at = _INFO_SIZE
    map_at = modules_at + 32 * len(places)
    strings_at = map_at + len(entries)
    base = layout.find_low(strings_at + sum(map(len, strings)), "hvm_start_info")

    addresses, position = [], base + strings_at
    for text in strings:
        addresses.append(position)
        position += len(text)
    modules = b"".join(struct.pack("<4Q", first, end - first, text, 0)
                       for (first, end), text in zip(places, addresses[1:], strict=True))
    tables = request.tables
    rsdp = tables.base if tables and layout.untouched(tables.base, tables.size) else 0
    info = struct.pack("<4I4Q2I", _START_MAGIC, _VERSION, 0, len(places), base + modules_at if places else 0,
                       addresses[0], rsdp, base + map_at, len(memory_map), 0)
    layout.put(base, info + modules + entries + b"".join(strings), "hvm_start_info")
    return base
