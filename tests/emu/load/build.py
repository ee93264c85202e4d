"""Small valid images of every kind, built from the specifications' layouts, for tests to load and to damage."""

import struct

MEMORY = 64 << 20


def elf(bits: int = 64, *, loads: list[dict] | None = None, entry: int = 0x200000,
        machine: int | None = None, kind: int = 2, extra: list[dict] | None = None,
        symbols: list[tuple[str, int, int, int]] | None = None) -> bytes:
    """An ELF executable. ``loads``, ``extra``: program headers as dicts with ``data`` and p_ fields to override.

    ``symbols``: (name, address, size, st_info), all in section 1.
    """
    word = "I" if bits == 32 else "Q"
    headers = [{"type": 1, **h} for h in (loads or [{"data": b"\xf4" * 16, "vaddr": 0x200000}])] + (extra or [])
    ehsize, phsize, shsize = (52, 32, 40) if bits == 32 else (64, 56, 64)
    at = ehsize + phsize * len(headers)
    table, body = b"", b""
    for h in headers:
        align = h.get("align", 4)
        pad = -(at + len(body)) % max(align, 4)
        body += bytes(pad)
        data = h["data"]
        offset = h.get("offset", at + len(body))
        vaddr = h.get("vaddr", 0)
        values = {"type": h["type"], "flags": h.get("flags", 7), "offset": offset, "vaddr": vaddr,
                  "paddr": h.get("paddr", vaddr), "filesz": h.get("filesz", len(data)),
                  "memsz": h.get("memsz", len(data)), "align": align}
        if bits == 32:
            table += struct.pack("<8I", *(values[k] for k in
                                          ("type", "offset", "vaddr", "paddr", "filesz", "memsz", "flags", "align")))
        else:
            table += struct.pack("<2I6Q", *(values[k] for k in
                                            ("type", "flags", "offset", "vaddr", "paddr", "filesz", "memsz", "align")))
        body += data
    shoff, shnum, tail = 0, 0, b""
    if symbols is not None:
        names, table2 = b"\0", bytes(16 if bits == 32 else 24)
        for name, address, size, info in symbols:
            if bits == 32:
                table2 += struct.pack("<3I2BH", len(names), address, size, info, 0, 1)
            else:
                table2 += struct.pack("<I2BH2Q", len(names), info, 0, 1, address, size)
            names += name.encode() + b"\0"
        start = at + len(body)
        tail = table2 + names
        tail += bytes(-len(tail) % 8)
        shoff, shnum = start + len(tail), 3
        for kind_, offset, size, link, entsize in ((0, 0, 0, 0, 0), (2, start, len(table2), 2, len(table2) // (
                len(symbols) + 1)), (3, start + len(table2), len(names), 0, 0)):
            tail += struct.pack(f"<2I4{word}2I2{word}", 0, kind_, 0, 0, offset, size, link, 0, 1, entsize)
    machine = machine if machine is not None else 3 if bits == 32 else 62
    ident = b"\x7fELF" + bytes([1 if bits == 32 else 2, 1, 1]) + bytes(9)
    head = struct.pack(f"<2HI3{word}I6H", kind, machine, 1, entry, ehsize, shoff, 0, ehsize, phsize, len(headers),
                       shsize, shnum, 0)
    return ident + head + table + body + tail


def patch(data: bytes, offset: int, value: int, size: int) -> bytes:
    """``data`` with an unsigned field replaced."""
    return data[:offset] + value.to_bytes(size, "little") + data[offset + size:]


def multiboot_header(flags: int = 3, *fields: int, checksum: int | None = None) -> bytes:
    checksum = -(0x1BADB002 + flags) & 0xFFFFFFFF if checksum is None else checksum
    return struct.pack(f"<{3 + len(fields)}I", 0x1BADB002, flags, checksum, *fields)


def multiboot_elf(bits: int = 32, **header: int) -> bytes:
    data = multiboot_header(**header) + b"\xf4" * 20
    return elf(bits, loads=[{"data": data, "vaddr": 0x100000, "memsz": 0x3000}], entry=0x10000C,
               symbols=[("start", 0x10000C, 20, 0x12)])


def multiboot_flat(load_end: int = 0, bss_end: int = 0x109000, entry: int = 0x100030, load: int = 0x100000,
                   header_addr: int = 0x100010) -> bytes:
    """A file with address fields, its header 16 bytes in."""
    head = multiboot_header(0x10003, header_addr, load, load_end, bss_end, entry)
    return (b"\x90" * 16 + head).ljust(0x40, b"\xf4")


def multiboot2_header(*tags: tuple[int, int, bytes], architecture: int = 0, checksum: int | None = None) -> bytes:
    body = b""
    for kind, flags, payload in (*tags, (0, 0, b"")):
        body += struct.pack("<2HI", kind, flags, 8 + len(payload)) + payload
        body += bytes(-len(body) % 8)
    words = (0xE85250D6, architecture, 16 + len(body))
    return struct.pack("<4I", *words, -sum(words) & 0xFFFFFFFF if checksum is None else checksum) + body


def multiboot2_elf(*tags: tuple[int, int, bytes], bits: int = 64,
                   symbols: list[tuple[str, int, int, int]] | None = None, **header: int) -> bytes:
    data = multiboot2_header(*tags, **header)
    return elf(bits, loads=[{"data": data + b"\xf4" * 16, "vaddr": 0x100000, "align": 8}], entry=0x100000,
               symbols=symbols)


def note(name: bytes, kind: int, descriptor: bytes) -> bytes:
    pad = bytes(-len(name) % 4)
    return struct.pack("<3I", len(name), len(descriptor), kind) + name + pad + descriptor + bytes(-len(descriptor) % 4)


def pvh(entry: int = 0x200000, bits: int = 64, descriptor_size: int = 4) -> bytes:
    notes = note(b"Linux\0", 6, b"abc") + note(b"Xen\0", 18, entry.to_bytes(descriptor_size, "little"))
    return elf(bits, extra=[{"type": 4, "data": notes, "flags": 4}])


def linux(*, version: int = 0x20F, kernel: bytes = b"\xf4" * 0x400, syssize: int | None = None, loadflags: int = 1,
          xloadflags: int = 1, address: int = 0x1000000, init_size: int = 0x100000, initrd_max: int = 0x7FFFFFFF,
          cmdline_size: int = 255, setup_sects: int = 4, alignment: int = 0x200000, relocatable: int = 1) -> bytes:
    """A bzImage, fields at the offsets of boot.rst."""
    setup = bytearray(((setup_sects or 4) + 1) * 512)
    def put(offset: int, form: str, value: int) -> None:
        struct.pack_into("<" + form, setup, offset, value)
    put(0x1F1, "B", setup_sects)
    put(0x1F4, "I", (len(kernel) + 15) // 16 if syssize is None else syssize)
    put(0x1FE, "H", 0xAA55)
    put(0x200, "H", 0x6AEB)  # jmp to 0x26c
    setup[0x202:0x206] = b"HdrS"
    put(0x206, "H", version)
    put(0x211, "B", loadflags)
    put(0x214, "I", 0x100000)
    put(0x22C, "I", initrd_max)
    put(0x230, "I", alignment)
    put(0x234, "B", relocatable)
    put(0x236, "H", xloadflags)
    put(0x238, "I", cmdline_size)
    put(0x258, "Q", address)
    put(0x260, "I", init_size)
    return bytes(setup) + kernel
