"""Multiboot2 2.0: header tags, image and boot information (its sections 3.1, 3.3 and 3.6), i386 machine state."""

import struct
from collections.abc import Iterator

from emu.load import ram, start
from emu.load.layout import Layout
from emu.load.model import Image, Request, Symbol, c_string
from emu.load.multiboot import LOADER_NAME, check_addresses, command_line, put_elf, put_modules
from emu.load.reader import Reader

HEADER_MAGIC = 0xE85250D6
LOADER_MAGIC = 0x36D76289  # in EAX at entry
_SEARCH = 32768  # the header lies wholly within these first bytes, 8-byte aligned
_I386 = 0
_OPTIONAL = 1

# Header tags (3.1.4 to 3.1.13).
_END, _REQUEST, _ADDRESS, _ENTRY, _CONSOLE, _FRAMEBUFFER, _MODULE_ALIGN = range(7)
_EFI_TAGS = (7, 8, 9)  # of meaning only to EFI firmware, which this loader is not
_RELOCATABLE = 10  # allows a move; the linked address is always inside the allowed range or refused
_CONSOLE_REQUIRED = 1

# Boot information tags (3.6).
_INFO_CMDLINE, _INFO_NAME, _INFO_MODULE, _INFO_MEMORY, _INFO_MAP = 1, 2, 3, 4, 6
_PROVIDED = (_INFO_CMDLINE, _INFO_NAME, _INFO_MODULE, _INFO_MEMORY, _INFO_MAP)


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
        for kind, flags, payload, size in _tags(reader, at):
            required = not flags & _OPTIONAL
            if kind == _REQUEST and required:
                for wanted in _words(reader, "information request", payload, size, size // 4):
                    if wanted not in _PROVIDED:
                        raise reader.error("information request", f"tag type {wanted} is required, it is not provided")
            elif kind == _ADDRESS:
                self.addresses = _words(reader, "address", payload, size, 4)
            elif kind == _ENTRY:
                self.entry = _words(reader, "entry address", payload, size, 1)[0]
            elif kind == _CONSOLE and required:
                if _words(reader, "console flags", payload, size, 1)[0] & _CONSOLE_REQUIRED:
                    raise reader.error("console flags", "a text or graphics console is required, there is none")
            elif kind == _FRAMEBUFFER and required:
                raise reader.error("framebuffer", "a video mode is required, this machine has no way to set one")
            elif kind == _RELOCATABLE:
                self.relocatable = _words(reader, "relocatable", payload, size, 4)
            elif required and kind not in (_REQUEST, _CONSOLE, _MODULE_ALIGN, *_EFI_TAGS):
                raise reader.error("header tags", f"type {kind} is required and not known")


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
    if wishes.addresses is not None:
        entry = _put_addresses(reader, layout, at, wishes)
    else:
        entry, symbols = put_elf(reader, layout, "Multiboot2", (32, 64))
        if wishes.entry is not None:
            entry = wishes.entry
            if not any(s.gpa <= entry < s.gpa + s.size for s in layout.segments()):
                raise request.error("entry_addr", f"{entry:#x} is not in the image")
    base = min(s.gpa for s in layout.segments())
    info = _put_information(request, layout, base if wishes.relocatable else None)
    boot = start.protected_mode(layout, {"rip": entry, "rax": LOADER_MAGIC, "rbx": info})
    return Image("multiboot2", request.path, layout.segments(), boot, symbols)


def _put_addresses(reader: Reader, layout: Layout, at: int, wishes: _Wishes) -> int:
    header, load_at, load_end, bss_end = wishes.addresses or (0, 0, 0, 0)
    if wishes.entry is None:
        raise reader.error("header tags", "an address tag needs an entry address tag beside it")
    if load_at == 0xFFFFFFFF:  # "load from the beginning of the file" (3.1.5)
        load_at = header - at
        if load_at < 0:
            raise reader.error("header_addr", f"is {header:#x}, less than the header's file offset {at:#x}")
    where = check_addresses(reader, at, header, load_at, load_end, bss_end, wishes.entry)
    layout.put(where.load, reader.span(where.offset, where.data_size, "load_addr"), "load_addr", where.memory_size)
    return where.entry


def _tag(kind: int, payload: bytes) -> bytes:
    tag = struct.pack("<2I", kind, 8 + len(payload)) + payload
    return tag + bytes(-len(tag) % 8)


def _put_information(request: Request, layout: Layout, load_base: int | None) -> int:
    """Build the boot information; its address. ``load_base`` is told to relocatable images (3.6.23)."""
    memory = request.memory
    entries = b"".join(struct.pack("<QQII", r.base, r.size, r.type, 0)
                       for r in ram.address_map(memory, request.reserved))
    tags = [_tag(_INFO_CMDLINE, c_string(command_line(request))), _tag(_INFO_NAME, c_string(LOADER_NAME))]
    for (first, end), module in zip(put_modules(request, layout), request.modules, strict=True):
        tags.append(_tag(_INFO_MODULE, struct.pack("<2I", first, end) + c_string(module.text)))
    tags.append(_tag(_INFO_MEMORY, struct.pack("<2I", ram.lower_kib(memory), ram.upper_kib(memory, request.reserved))))
    tags.append(_tag(_INFO_MAP, struct.pack("<2I", 24, 0) + entries))
    if load_base is not None:
        tags.append(_tag(21, struct.pack("<I", load_base)))
    tags.append(_tag(_END, b""))
    body = b"".join(tags)
    return layout.put_low(struct.pack("<2I", 8 + len(body), 0) + body, "boot information")
