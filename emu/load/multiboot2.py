"""Multiboot2 2.0: header tags, image and boot information (its sections 3.1, 3.3 and 3.6), i386 machine state.

Where the specification's text and its multiboot2.h differ (ELF sections), the latter counts: GRUB is built from it.
"""

import struct
from collections.abc import Iterator

from emu.load import ram, start
from emu.load.elf_file import ElfFile
from emu.load.elf_sections import put_sections
from emu.load.layout import Layout
from emu.load.model import Image, Request, Symbol, c_string
from emu.load.multiboot import (
    LOADER_NAME,
    TEXT_SCREEN,
    check_addresses,
    command_line,
    entry_of,
    put_modules,
    read_elf,
)
from emu.load.reader import Reader
from emu.load.symbols import elf_symbols

HEADER_MAGIC = 0xE85250D6
LOADER_MAGIC = 0x36D76289  # in EAX at entry
_SEARCH = 32768  # the header lies wholly within these first bytes, 8-byte aligned
_I386 = 0
_OPTIONAL = 1

# Header tags (3.1.4 to 3.1.13).
_END, _REQUEST, _ADDRESS, _ENTRY, _CONSOLE, _FRAMEBUFFER, _MODULE_ALIGN = range(7)
_EFI_TAGS = (7, 8, 9)  # "taken into account only on EFI platforms" (3.1.8 to 3.1.10)
_RELOCATABLE = 10
_CONSOLE_REQUIRED, _TEXT_SUPPORTED = 1, 2
_LOWEST, _HIGHEST = 1, 2  # preference of a relocatable image

# Boot information tags (3.6). A loader that knows a type may still have nothing to tell (3.1.4).
_INFO_CMDLINE, _INFO_NAME, _INFO_MODULE, _INFO_MEMORY, _INFO_MAP, _INFO_SCREEN, _INFO_SECTIONS = 1, 2, 3, 4, 6, 8, 9
_INFO_ACPI_OLD, _INFO_ACPI_NEW, _INFO_LOAD_BASE = 14, 15, 21
_LAST_INFO = 21


def find_header(data: bytes) -> int | None:
    """Offset of the Multiboot2 header: the first with a right checksum, else the first magic number, else None."""
    candidates = [at for at in range(0, min(len(data), _SEARCH) - 15, 8)
                  if data[at:at + 4] == HEADER_MAGIC.to_bytes(4, "little")]
    for at in candidates:
        if sum(struct.unpack_from("<4I", data, at)) & 0xFFFFFFFF == 0:
            return at
    return candidates[0] if candidates else None


def _tags(reader: Reader, at: int) -> Iterator[tuple[int, int, int, int]]:
    """(type, flags, offset of the payload, its size) of each header tag before the end tag."""
    length = reader.uint(at + 8, 4, "header_length")
    if at + length > min(_SEARCH, len(reader.data)):
        raise reader.error("header_length", f"is {length:#x}: the header must lie in the first {_SEARCH} bytes")
    position, end = at + 16, at + length
    while position + 8 <= end:
        kind, flags = reader.uint(position, 2, "tag type"), reader.uint(position + 2, 2, "tag flags")
        size = reader.uint(position + 4, 4, "tag size")
        if size < 8 or position + size > end:
            raise reader.error(f"header tag {kind}: size", f"is {size}, must be 8 to {end - position}")
        if kind == _END:
            return
        yield kind, flags, position + 8, size - 8
        position += (size + 7) & -8
    raise reader.error("header tags", "are not closed by an end tag (type 0, size 8)")


def _words(reader: Reader, field: str, at: int, size: int, count: int) -> tuple[int, ...]:
    if size < 4 * count:
        raise reader.error(f"header tag {field}: size", f"is {size + 8}, must be at least {8 + 4 * count}")
    return struct.unpack(f"<{count}I", reader.span(at, 4 * count, field))


class _Wishes:
    """What the header's tags ask for; ImageError for what is required and cannot be had."""

    def __init__(self, reader: Reader, at: int) -> None:
        self.addresses: tuple[int, ...] | None = None
        self.entry: int | None = None
        self.relocatable: tuple[int, ...] | None = None
        self.screen = False  # say what there is to see
        graphics, text, console = False, True, False
        for kind, flags, payload, size in _tags(reader, at):
            required = not flags & _OPTIONAL
            if kind == _REQUEST:
                wanted = _words(reader, "information request", payload, size, size // 4)
                unknown = [number for number in wanted if number > _LAST_INFO]
                if required and unknown:
                    raise reader.error("information request", f"tag type {unknown[0]} is required and not known")
                self.screen |= _INFO_SCREEN in wanted
            elif kind == _ADDRESS:
                self.addresses = _words(reader, "address", payload, size, 4)
            elif kind == _ENTRY:
                self.entry = _words(reader, "entry address", payload, size, 1)[0]
            elif kind == _CONSOLE:
                consoles = _words(reader, "console flags", payload, size, 1)[0]
                text = bool(consoles & _TEXT_SUPPORTED)
                console = required and bool(consoles & _CONSOLE_REQUIRED)
                self.screen = True
            elif kind == _FRAMEBUFFER:
                graphics = required and _words(reader, "framebuffer", payload, size, 3)[2] != 0
                self.screen = True
            elif kind == _RELOCATABLE:
                self.relocatable = _words(reader, "relocatable", payload, size, 4)
                if self.relocatable[2] & (self.relocatable[2] - 1):
                    raise reader.error("relocatable", f"align is {self.relocatable[2]:#x}, not a power of two")
            elif required and kind not in (_MODULE_ALIGN, *_EFI_TAGS):
                raise reader.error("header tags", f"type {kind} is required and not known")
        if graphics:
            raise reader.error("framebuffer", "a graphics mode is required, this machine has no way to set one")
        if console and not text:
            raise reader.error("console flags", "a console other than text is required, there is none")
        self.screen &= text


def load(request: Request) -> Image:
    """The image of a Multiboot2 kernel, 32-bit or 64-bit ELF or with an address tag, entered in 32-bit mode."""
    reader = Reader(request.path, request.data)
    at = find_header(request.data)
    if at is None:
        raise request.error("header", f"no Multiboot2 header in the first {_SEARCH} bytes")
    words = [reader.uint(at + 4 * i, 4, "header") for i in range(4)]
    if sum(words) & 0xFFFFFFFF:
        raise request.error("checksum", f"is {words[3]:#x}, must be {-sum(words[:3]) & 0xFFFFFFFF:#x}")
    if words[1] != _I386:
        raise request.error("architecture", f"is {words[1]}, must be 0 (i386)")
    if request.mode not in (None, 32):
        raise request.error("mode", f"is {request.mode}, Multiboot2 enters in 32-bit mode")
    wishes = _Wishes(reader, at)

    layout = Layout(request.path, request.memory, request.reserved)
    symbols: tuple[Symbol, ...] = ()
    elf = None
    if wishes.addresses is not None:
        entry, shift = _put_addresses(reader, layout, at, wishes)
    else:
        elf = read_elf(reader, "Multiboot2", (32, 64))
        first = min(h.paddr for h in elf.loads)
        shift = _shift(reader, layout, wishes, first, max(h.paddr + h.memsz for h in elf.loads))
        elf.put_segments(layout, shift)
        entry, symbols = entry_of(elf) + shift, elf_symbols(elf, shift)
        if wishes.entry is not None:
            entry = wishes.entry + shift
            if not any(s.gpa <= entry < s.gpa + s.size for s in layout.segments()):
                raise request.error("entry_addr", f"{wishes.entry:#x} is not in the image")
    base = min(s.gpa for s in layout.segments())
    info = _put_information(request, layout, elf, base if wishes.relocatable else None, wishes.screen)
    boot = start.protected_mode(layout, {"rip": entry, "rax": LOADER_MAGIC, "rbx": info})
    return Image("multiboot2", request.path, layout.segments(), boot, symbols)


def _shift(reader: Reader, layout: Layout, wishes: _Wishes, first: int, end: int) -> int:
    """How far a relocatable image (3.1.11), linked for ``first`` to ``end``, has to move: not at all where that is as
    good as another place."""
    if wishes.relocatable is None:
        return 0
    lowest, highest, align, preference = wishes.relocatable
    align = max(align, 1)
    allowed = lowest <= first and end - 1 <= highest and first % align == 0
    if allowed and preference not in (_LOWEST, _HIGHEST):
        return 0
    low, high = max(lowest, ram.HIGH_START), min(highest + 1, ram.FOUR_GIB)
    if high - low < end - first:
        raise reader.error("relocatable", f"{end - first:#x} bytes do not fit between {low:#x} and {high - 1:#x}")
    return layout.find(end - first, "relocatable", low=low, high=high, align=align, top=preference == _HIGHEST) - first


def _put_addresses(reader: Reader, layout: Layout, at: int, wishes: _Wishes) -> tuple[int, int]:
    """Put what the address tag names; the entry, and how far that was moved."""
    header, load_at, load_end, bss_end = wishes.addresses or (0, 0, 0, 0)
    if wishes.entry is None:
        raise reader.error("header tags", "an address tag needs an entry address tag beside it")
    if load_at == 0xFFFFFFFF:  # "load from the beginning of the file" (3.1.5)
        load_at = header - at
        if load_at < 0:
            raise reader.error("header_addr", f"is {header:#x}, less than the header's file offset {at:#x}")
    where = check_addresses(reader, at, header, load_at, load_end, bss_end, wishes.entry)
    shift = _shift(reader, layout, wishes, where.load, where.load + where.memory_size)
    data = reader.span(where.offset, where.data_size, "load_addr")
    layout.put(where.load + shift, data, "load_addr", where.memory_size)
    return where.entry + shift, shift


def _tag(kind: int, payload: bytes) -> bytes:
    tag = struct.pack("<2I", kind, 8 + len(payload)) + payload
    return tag + bytes(-len(tag) % 8)


def _put_information(request: Request, layout: Layout, elf: ElfFile | None, load_base: int | None,
                     screen: bool) -> int:
    """Build the boot information; its address. ``load_base`` is told to relocatable images (3.6.23); ``screen``: say
    what there is to see."""
    memory, tables = request.memory, request.tables
    entries = b"".join(struct.pack("<QQII", r.base, r.size, r.type, 0)
                       for r in ram.address_map(memory, request.reserved))
    tags = [_tag(_INFO_CMDLINE, c_string(command_line(request))), _tag(_INFO_NAME, c_string(LOADER_NAME))]
    for (first, end), module in zip(put_modules(request, layout), request.modules, strict=True):
        tags.append(_tag(_INFO_MODULE, struct.pack("<2I", first, end) + c_string(module.text)))
    tags.append(_tag(_INFO_MEMORY, struct.pack("<2I", ram.lower_kib(memory), ram.upper_kib(memory, request.reserved))))
    tags.append(_tag(_INFO_MAP, struct.pack("<2I", 24, 0) + entries))
    if screen:
        tags.append(_tag(_INFO_SCREEN, TEXT_SCREEN + bytes(2)))
    sections = put_sections(elf, layout) if elf else None
    if sections:
        numbers = struct.pack("<3I", sections.number, sections.entry, sections.names)
        tags.append(_tag(_INFO_SECTIONS, numbers + sections.headers))
    if tables and layout.untouched(tables.base, tables.size):
        tags += [_tag(_INFO_ACPI_OLD, tables.rsdp_1), _tag(_INFO_ACPI_NEW, tables.rsdp)]
    if load_base is not None:
        tags.append(_tag(_INFO_LOAD_BASE, struct.pack("<I", load_base)))
    tags.append(_tag(_END, b""))
    body = b"".join(tags)
    return layout.put_low(struct.pack("<2I", 8 + len(body), 0) + body, "boot information")
