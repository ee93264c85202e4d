"""Multiboot 0.6.96: the information structure is read back field by field at the offsets of its section 3.3."""

import struct

import pytest

from emu.load.model import Module, Segment
from emu.load.sniff import sniff
from tests.emu.load.build import MEMORY, elf, multiboot_elf, multiboot_flat, multiboot_header, patch
from tests.emu.load.help import load, ram, refused, string, uint

MODULES = (Module("a", b"A" * 5000, "a one two"), Module("b", b"B", "b"))


def test_machine_state() -> None:
    boot = load("multiboot", multiboot_elf()).boot
    assert boot.registers["rax"] == 0x2BADB002 and boot.registers["rip"] == 0x10000C
    assert boot.registers["cr0"] & 0x80000001 == 1 and boot.registers["rflags"] == 2
    assert boot.segments["cs"].attributes == 0xC09B
    for name in ("ds", "es", "fs", "gs", "ss"):
        register = boot.segments[name]
        assert (register.base, register.limit, register.attributes) == (0, 0xFFFFFFFF, 0xC093)


def test_information_structure() -> None:
    image = load("multiboot", multiboot_elf(), append="x=1 y", modules=MODULES)
    info = image.boot.registers["rbx"]
    flags, lower, upper = struct.unpack("<3I", ram(image, info, 12))
    assert flags == 1 << 0 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 9
    number, size, table, names = struct.unpack("<4I", ram(image, info + 28, 16))        # syms: the ELF sections
    headers = [struct.unpack("<10I", ram(image, table + size * n, size)) for n in range(number)]
    assert ([header[1] for header in headers], names) == ([0, 2, 3], 0)
    assert ram(image, headers[2][3], headers[2][5]) == b"\0start\0"
    assert (lower, upper) == (639, (MEMORY >> 10) - 1024)
    assert string(image, uint(image, info + 16, 4)) == b"f x=1 y"
    assert string(image, uint(image, info + 64, 4)) == b"strata"
    assert uint(image, info + 20, 4) == 2
    modules = uint(image, info + 24, 4)
    for number, module in enumerate(MODULES):
        start, end, text, reserved = struct.unpack("<4I", ram(image, modules + 16 * number, 16))
        assert start % 4096 == 0 and start >= 0x103000, "page aligned, above the kernel's bss"
        assert ram(image, start, end - start) == module.data
        assert string(image, text) == module.text.encode() and reserved == 0


def test_memory_map() -> None:
    image = load("multiboot", multiboot_elf(), memory=4 << 30)
    info = image.boot.registers["rbx"]
    length, at = struct.unpack("<2I", ram(image, info + 44, 8))
    entries, end = [], at + length
    while at < end:
        size, base, bytes_, kind = struct.unpack("<IQQI", ram(image, at, 24))
        entries.append((base, bytes_, kind))
        at += size + 4
    assert entries == [(0, 0x9FC00, 1), (0x9FC00, 0x400, 2), (0xF0000, 0x10000, 2), (0x100000, 0xBFF00000, 1),
                       (1 << 32, 1 << 30, 1)]


def test_no_modules_no_flag() -> None:
    image = load("multiboot", multiboot_elf())
    info = image.boot.registers["rbx"]
    assert uint(image, info, 4) & 8 == 0 and uint(image, info + 20, 8) == 0


def test_information_is_not_overlapped_by_an_image_in_conventional_memory() -> None:
    data = elf(32, loads=[{"data": multiboot_header() + b"\xf4" * 8, "vaddr": 0x1000, "memsz": 0x9E000}], entry=0x100C)
    assert load("multiboot", data).boot.registers["rbx"] >= 0x100000


def test_symbols() -> None:
    assert [s.name for s in load("multiboot", multiboot_elf()).symbols] == ["start"]


@pytest.mark.parametrize(("load_end", "bss_end", "data_size", "size"), [
    (0, 0x109000, 0x40, 0x9000), (0x100038, 0x109000, 0x38, 0x9000), (0, 0, 0x40, 0x40)])
def test_address_fields(load_end: int, bss_end: int, data_size: int, size: int) -> None:
    data = multiboot_flat(load_end, bss_end)
    image = load("multiboot", data)
    assert Segment(0x100000, data[:data_size], size) in image.segments
    assert image.boot.registers["rip"] == 0x100030


def test_address_fields_win_over_the_elf_headers() -> None:
    header = multiboot_header(0x10003, 0x200010, 0x200010, 0, 0, 0x200030)
    data = elf(64, loads=[{"data": header + b"\xf4" * 0x40, "vaddr": 0x400000}], entry=0x400000)
    assert load("multiboot", data).boot.registers["rip"] == 0x200030


@pytest.mark.parametrize(("data", "field"), [
    (multiboot_flat(load=0x100014), "load_addr"), (multiboot_flat(load=0xFFFF0), "load_addr"),
    (multiboot_flat(load_end=0x200000), "load_end_addr"), (multiboot_flat(load_end=0xFFFFF), "load_end_addr"),
    (multiboot_flat(load_end=0x100040, bss_end=0x10003F), "bss_end_addr"),
    (multiboot_flat(entry=0x109000), "entry_addr"), (multiboot_flat(entry=0xFFFFF), "entry_addr"),
    (multiboot_flat(bss_end=0xFFFFFFFF), "load_addr")])
def test_address_field_rules(data: bytes, field: str) -> None:
    refused("multiboot", data, field)


@pytest.mark.parametrize("bit", range(3, 16))
def test_every_undefined_required_flag_is_refused(bit: int) -> None:
    refused("multiboot", multiboot_elf(flags=1 << bit), "flags", f"{1 << bit:#x}")


def test_flags() -> None:
    load("multiboot", multiboot_elf(flags=0xFFFE0000))  # optional bits may be ignored
    refused("multiboot", multiboot_elf(flags=4), "flags", "video")


def test_a_text_screen_is_what_there_is_to_see() -> None:
    """Header 3.1.4: mode_type 1 prefers text. Information, 3.3: framebuffer_addr to framebuffer_type, flag 12."""
    header = multiboot_header(0x10004, 0x100000, 0x100000, 0, 0, 0x100030, 1, 80, 25, 0)
    image = load("multiboot", header.ljust(0x40, b"\xf4"))
    info = image.boot.registers["rbx"]
    assert uint(image, info, 4) & 1 << 12
    assert struct.unpack("<Q3I2B", ram(image, info + 88, 22)) == (0xB8000, 160, 80, 25, 16, 2)


def test_wrong_checksum_is_refused_not_started_in_another_mode() -> None:
    data = multiboot_elf(checksum=1)
    assert sniff("f", data) == "multiboot"
    refused("multiboot", data, "checksum", "0xe4524ffb")


def test_header_must_be_aligned_and_in_the_first_8192_bytes() -> None:
    header = multiboot_header(0x10003, 0x100000, 0x100000, 0, 0, 0x100000)
    load("multiboot", bytes(8192 - 32) + multiboot_flat_header(8192 - 32))
    refused("multiboot", bytes(8192) + header, "header")
    refused("multiboot", b"\0\0" + header + b"\0\0", "header")
    # The magic number and checksum are inside, the address fields are not in the file.
    refused("multiboot", header[:20], "load_end_addr")


def multiboot_flat_header(at: int) -> bytes:
    return multiboot_header(0x10003, 0x100000 + at, 0x100000, 0, 0, 0x100000)


def test_container_rules() -> None:
    refused("multiboot", multiboot_elf(64), "EI_CLASS", "32-bit")
    refused("multiboot", multiboot_header(), "flags", "load addresses")
    refused("multiboot", patch(multiboot_elf(), 18, 62, 2), "e_machine")
    refused("multiboot", multiboot_elf(), "mode", mode=64)


def test_modules_that_do_not_fit() -> None:
    huge = Module("big", bytes(MEMORY - 0x200000), "big")
    refused("multiboot", multiboot_elf(), "module 1 (big)", modules=(huge, huge))
