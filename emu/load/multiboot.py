"""Multiboot 0.6.96, the first version: header, image and information structure (its sections 3.1 to 3.3)."""

import struct
from dataclasses import dataclass

from emu.load import ram, start
from emu.load.elf_file import MAGIC, ElfFile
from emu.load.elf_sections import put_sections
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
_MODE_TYPE, _TEXT = 32, 1  # where the header has its preferred video mode, and text for it (section 3.1.4)

# Flags of the information structure (section 3.3).
_INFO_MEMORY, _INFO_CMDLINE, _INFO_MODULES, _INFO_SECTIONS, _INFO_MAP, _INFO_NAME, _INFO_FRAMEBUFFER = (
    1 << n for n in (0, 2, 3, 5, 6, 9, 12))
_INFO_SIZE = 116  # up to framebuffer_addr and color_info

# The screen that there is: address, bytes a row, columns, rows, bits a character, type 2 (text as EGA has it).
TEXT_SCREEN = struct.pack("<Q3I2B", 0xB8000, 160, 80, 25, 16, 2)


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


def read_elf(reader: Reader, protocol: str, bits: tuple[int, ...]) -> ElfFile:
    """The ELF container of a ``protocol`` image. ``bits``: classes allowed."""
    if reader.data[:4] != MAGIC:
        raise reader.error("flags", f"a {protocol} image that is not ELF must give its load addresses in the header")
    elf = ElfFile(reader.path, reader.data)
    if elf.bits not in bits:
        rule = f"is {elf.bits}-bit, {protocol} asks for a 32-bit executable (objcopy -O elf32-i386 makes one)"
        raise reader.error("e_ident[EI_CLASS]", rule)
    return elf


def entry_of(elf: ElfFile) -> int:
    """Its physical entry, where 32-bit code can begin."""
    entry = elf.physical_entry()
    if entry >= ram.FOUR_GIB:
        raise elf.reader.error("e_entry", f"{entry:#x} is not below 4 GiB, where a 32-bit entry must be")
    return entry


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
    if flags & _VIDEO and reader.uint(at + _MODE_TYPE, 4, "mode_type") != _TEXT:
        raise request.error("flags", "bit 2 requires a video mode, and mode_type one of graphics, which this machine "
                            "has no way to set")
    unknown = flags & _REQUIRED & ~(_MEMORY_INFO_ETC | _VIDEO)
    if unknown:
        raise request.error("flags", f"required bits {unknown:#x} are not defined by Multiboot 0.6.96")
    if request.mode not in (None, 32):
        raise request.error("mode", f"is {request.mode}, Multiboot enters in 32-bit mode")

    layout = Layout(request.path, request.memory, request.reserved)
    symbols: tuple[Symbol, ...] = ()
    elf = None
    if flags & _ADDRESSES:
        fields = [reader.uint(at + 12 + 4 * i, 4, name) for i, name in
                  enumerate(("header_addr", "load_addr", "load_end_addr", "bss_end_addr", "entry_addr"))]
        where = check_addresses(reader, at, *fields)
        layout.put(where.load, reader.span(where.offset, where.data_size, "load_addr"), "load_addr", where.memory_size)
        entry = where.entry
    else:
        elf = read_elf(reader, "Multiboot", (32,))
        elf.put_segments(layout)
        entry, symbols = entry_of(elf), elf_symbols(elf)
    info = _put_information(request, layout, elf, bool(flags & _VIDEO))
    boot = start.protected_mode(layout, {"rip": entry, "rax": LOADER_MAGIC, "rbx": info})
    return Image("multiboot", request.path, layout.segments(), boot, symbols)


def _put_information(request: Request, layout: Layout, elf: ElfFile | None, screen: bool) -> int:
    """Build the information structure and what it points to; its address. `screen`: say what there is to see."""
    places = put_modules(request, layout)
    sections = put_sections(elf, layout) if elf else None
    memory_map = b"".join(struct.pack("<IQQI", 20, r.base, r.size, r.type)
                          for r in ram.address_map(request.memory, request.reserved))
    strings = [command_line(request), LOADER_NAME] + [m.text for m in request.modules]
    encoded = [c_string(s) for s in strings]
    modules_at = _INFO_SIZE
    map_at = modules_at + 16 * len(places)
    sections_at = map_at + len(memory_map)
    headers = sections.headers if sections else b""
    strings_at = sections_at + len(headers)
    base = layout.find_low(strings_at + sum(map(len, encoded)), "multiboot information")

    addresses, position = [], base + strings_at
    for text in encoded:
        addresses.append(position)
        position += len(text)
    modules = b"".join(struct.pack("<4I", first, end, text, 0)
                       for (first, end), text in zip(places, addresses[2:], strict=True))
    flags = _INFO_MEMORY | _INFO_CMDLINE | _INFO_MAP | _INFO_NAME | (_INFO_MODULES if places else 0)
    flags |= (_INFO_SECTIONS if sections else 0) | (_INFO_FRAMEBUFFER if screen else 0)
    info = struct.pack("<6I", flags, ram.lower_kib(request.memory), ram.upper_kib(request.memory, request.reserved), 0,
                       addresses[0], len(places))
    info += struct.pack("<I", base + modules_at if places else 0)
    info += struct.pack("<4I", sections.number, sections.entry, base + sections_at, sections.names) if sections else (
        bytes(16))
    info += struct.pack("<2I", len(memory_map), base + map_at) + bytes(12)  # mmap, drives, config_table
    info += struct.pack("<I", addresses[1])  # boot_loader_name
    info += bytes(20) + (TEXT_SCREEN if screen else b"")    # apm_table, vbe
    info = info.ljust(_INFO_SIZE, b"\0")
    layout.put(base, info + modules + memory_map + headers + b"".join(encoded), "multiboot information")
    return base
