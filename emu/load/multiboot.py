"""Multiboot 0.6.96, the first version: header, image and information structure (its sections 3.1 to 3.3)."""

import struct
from dataclasses import dataclass

from emu.load import ram, start
from emu.load.elf_file import MAGIC, ElfFile
from emu.load.layout import Layout
from emu.load.model import Image, Request, Symbol, c_string
from emu.load.reader import Reader
from emu.load.symbols import elf_symbols

HEADER_MAGIC = 0x1BADB002
LOADER_MAGIC = 0x2BADB002  # in EAX at entry
LOADER_NAME = "strata"
_SEARCH = 8192  # the header lies wholly within these first bytes, 4-byte aligned
_MEMORY_INFO_ETC, _VIDEO, _ADDRESSES = 0x3, 1 << 2, 1 << 16
_REQUIRED = 0xFFFF  # bits that a loader must refuse if it does not know them

# Flags of the information structure (section 3.3).
_INFO_MEMORY, _INFO_CMDLINE, _INFO_MODULES, _INFO_MAP, _INFO_NAME = 1 << 0, 1 << 2, 1 << 3, 1 << 6, 1 << 9
_INFO_SIZE = 116  # up to framebuffer_addr and color_info


def find_header(data: bytes) -> int | None:
    """Offset of the Multiboot header: the first with a right checksum, else the first magic number, else None."""
    candidates = [at for at in range(0, min(len(data), _SEARCH) - 11, 4)
                  if data[at:at + 4] == HEADER_MAGIC.to_bytes(4, "little")]
    for at in candidates:
        if sum(struct.unpack_from("<3I", data, at)) & 0xFFFFFFFF == 0:
            return at
    return candidates[0] if candidates else None


@dataclass(frozen=True)
class Addresses:
    """Where an image that carries its own addresses goes ("a.out kludge"): file bytes, memory, entry."""

    offset: int
    load: int
    data_size: int
    memory_size: int
    entry: int


def check_addresses(reader: Reader, at: int, header: int, load: int, load_end: int, bss_end: int,
                    entry: int) -> Addresses:
    """Check the address fields of a header at file offset ``at`` (section 3.1.3). A zero end means: to the file's end
    (``load_end``), no bss (``bss_end``)."""
    if load > header:
        raise reader.error("load_addr", f"is {load:#x}, above header_addr {header:#x}")
    offset = at - (header - load)
    if offset < 0:
        raise reader.error("load_addr", f"{load:#x} is {header - load:#x} before the header, which is at {at:#x}")
    size = load_end - load if load_end else len(reader.data) - offset
    if size < 0:
        raise reader.error("load_end_addr", f"is {load_end:#x}, below load_addr {load:#x}")
    reader.span(offset, size, "load_end_addr")
    memory_size = bss_end - load if bss_end else size
    if memory_size < size:
        raise reader.error("bss_end_addr", f"is {bss_end:#x}, below the end of the loaded data {load + size:#x}")
    if not load <= entry < load + memory_size:
        raise reader.error("entry_addr", f"{entry:#x} is not in the image, {load:#x}-{load + memory_size:#x}")
    return Addresses(offset, load, size, memory_size, entry)


def put_elf(reader: Reader, layout: Layout, protocol: str, bits: tuple[int, ...]) -> tuple[int, tuple[Symbol, ...]]:
    """Load the ELF container of a ``protocol`` image; its physical entry and symbols. ``bits``: classes allowed."""
    if reader.data[:4] != MAGIC:
        raise reader.error("flags", f"a {protocol} image that is not ELF must give its load addresses in the header")
    elf = ElfFile(reader.path, reader.data)
    if elf.bits not in bits:
        rule = f"is {elf.bits}-bit, {protocol} asks for a 32-bit executable (objcopy -O elf32-i386 makes one)"
        raise reader.error("e_ident[EI_CLASS]", rule)
    elf.put_segments(layout)
    entry = elf.physical_entry()
    if entry >= ram.FOUR_GIB:
        raise reader.error("e_entry", f"{entry:#x} is not below 4 GiB, where a 32-bit entry must be")
    return entry, elf_symbols(elf)


def put_modules(request: Request, layout: Layout) -> list[tuple[int, int]]:
    """Put the boot modules above everything loaded so far, on pages of their own; (start, end) of each."""
    places = []
    for number, module in enumerate(request.modules):
        name = f"module {number} ({module.path})"
        gpa = layout.find(max(1, len(module.data)), name, low=layout.end_below_4g(), high=ram.FOUR_GIB)
        layout.put(gpa, module.data, name)
        places.append((gpa, gpa + len(module.data)))
    return places


def command_line(request: Request) -> str:
    """The image's name and the arguments, as GRUB Legacy and QEMU pass them."""
    return f"{request.path} {request.append}".rstrip()


def load(request: Request) -> Image:
    """The image of a Multiboot kernel; ``request.modules`` become its boot modules."""
    reader = Reader(request.path, request.data)
    at = find_header(request.data)
    if at is None:
        raise request.error("header", f"no Multiboot header in the first {_SEARCH} bytes")
    magic, flags, checksum = (reader.uint(at + 4 * i, 4, "header") for i in range(3))
    if (magic + flags + checksum) & 0xFFFFFFFF:
        raise request.error("checksum", f"is {checksum:#x}, must be {-(magic + flags) & 0xFFFFFFFF:#x}")
    if flags & _VIDEO:
        raise request.error("flags", "bit 2 requires a video mode, which this machine has no way to set")
    unknown = flags & _REQUIRED & ~_MEMORY_INFO_ETC
    if unknown:
        raise request.error("flags", f"required bits {unknown:#x} are not defined by Multiboot 0.6.96")
    if request.mode not in (None, 32):
        raise request.error("mode", f"is {request.mode}, Multiboot enters in 32-bit mode")

    layout = Layout(request.path, request.memory, request.reserved)
    symbols: tuple[Symbol, ...] = ()
    if flags & _ADDRESSES:
        fields = [reader.uint(at + 12 + 4 * i, 4, name) for i, name in
                  enumerate(("header_addr", "load_addr", "load_end_addr", "bss_end_addr", "entry_addr"))]
        where = check_addresses(reader, at, *fields)
        layout.put(where.load, reader.span(where.offset, where.data_size, "load_addr"), "load_addr", where.memory_size)
        entry = where.entry
    else:
        entry, symbols = put_elf(reader, layout, "Multiboot", (32,))
    info = _put_information(request, layout)
    boot = start.protected_mode(layout, {"rip": entry, "rax": LOADER_MAGIC, "rbx": info})
    return Image("multiboot", request.path, layout.segments(), boot, symbols)


def _put_information(request: Request, layout: Layout) -> int:
    """Build the information structure and what it points to; its address."""
    places = put_modules(request, layout)
    memory_map = b"".join(struct.pack("<IQQI", 20, r.base, r.size, r.type)
                          for r in ram.address_map(request.memory, request.reserved))
    strings = [command_line(request), LOADER_NAME] + [m.text for m in request.modules]
    encoded = [c_string(s) for s in strings]
    modules_at = _INFO_SIZE
    map_at = modules_at + 16 * len(places)
    strings_at = map_at + len(memory_map)
    base = layout.find_low(strings_at + sum(map(len, encoded)), "multiboot information")

    addresses, position = [], base + strings_at
    for text in encoded:
        addresses.append(position)
        position += len(text)
    modules = b"".join(struct.pack("<4I", first, end, text, 0)
                       for (first, end), text in zip(places, addresses[2:], strict=True))
    flags = _INFO_MEMORY | _INFO_CMDLINE | _INFO_MAP | _INFO_NAME | (_INFO_MODULES if places else 0)
    info = struct.pack("<6I", flags, ram.lower_kib(request.memory), ram.upper_kib(request.memory, request.reserved), 0,
                       addresses[0], len(places))
    info += struct.pack("<I", base + modules_at if places else 0) + bytes(16)  # mods_addr, syms
    info += struct.pack("<2I", len(memory_map), base + map_at) + bytes(12)  # mmap, drives, config_table
    info += struct.pack("<I", addresses[1])  # boot_loader_name
    info = info.ljust(_INFO_SIZE, b"\0")
    layout.put(base, info + modules + memory_map + b"".join(encoded), "multiboot information")
    return base
