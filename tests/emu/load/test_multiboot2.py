"""Multiboot2: the boot information's tags are read back as its section 3.6 lays them out."""

import struct

import pytest

from emu.firmware_state import tables_to_come
from emu.load.image import load_bytes
from emu.load.model import Image, Module, Request
from emu.machine import Machine
from tests.emu.load.build import MEMORY, elf, multiboot2_elf, multiboot2_header
from tests.emu.load.help import load, ram, refused, uint


def tags(image: Image) -> dict[int, list[bytes]]:
    info = image.boot.registers["rbx"]
    assert info % 8 == 0
    total = uint(image, info, 4)
    found: dict[int, list[bytes]] = {}
    at = info + 8
    while at < info + total:
        kind, size = struct.unpack("<2I", ram(image, at, 8))
        found.setdefault(kind, []).append(ram(image, at + 8, size - 8))
        at += (size + 7) & -8
    assert at == info + total and kind == 0, "the end tag is last"
    return found


@pytest.mark.parametrize("bits", [32, 64])
def test_boot_information(bits: int) -> None:
    image = load("multiboot2", multiboot2_elf(bits=bits), append="a b", modules=(Module("m", b"MOD", "m arg"),))
    assert image.boot.registers["rax"] == 0x36D76289 and image.boot.registers["rip"] == 0x100000
    found = tags(image)
    assert found[1] == [b"f a b\0"] and found[2] == [b"strata\0"]
    start, end = struct.unpack("<2I", found[3][0][:8])
    assert ram(image, start, end - start) == b"MOD" and found[3][0][8:] == b"m arg\0"
    assert struct.unpack("<2I", found[4][0]) == (639, (MEMORY >> 10) - 1024)
    assert struct.unpack("<2I", found[6][0][:8]) == (24, 0)
    assert list(struct.iter_unpack("<QQII", found[6][0][8:])) == [
        (0, 0x9FC00, 1, 0), (0x9FC00, 0x400, 2, 0), (0xF0000, 0x10000, 2, 0), (0x100000, MEMORY - 0x100000, 1, 0)]
    assert 21 not in found


def relocatable(lowest: int, highest: int, align: int, preference: int) -> tuple[int, int, bytes]:
    return 10, 0, struct.pack("<4I", lowest, highest, align, preference)


@pytest.mark.parametrize(("wish", "base"), [
    ((0, 0xFFFFFFFF, 1, 0), 0x100000), ((0x100000, 0x100FFF, 0x1000, 0), 0x100000),
    ((0x200000, 0xFFFFFFFF, 0x10000, 0), 0x200000), ((0, 0xFFFFFFFF, 0x200000, 0), 0x200000),
    ((0, 0xFFFFFFFF, 0x1000, 1), 0x100000), ((0, 0x2FFFFFF, 0x100000, 2), 0x2F00000)])
def test_entry_and_relocatable_tags(wish: tuple[int, int, int, int], base: int) -> None:
    """3.1.11: the image goes where it may, lowest (1) or highest (2) where it prefers that; its entry goes with it."""
    image = load("multiboot2", multiboot2_elf((3, 0, struct.pack("<I", 0x100008)), relocatable(*wish)))
    assert image.boot.registers["rip"] == base + 8
    assert tags(image)[21] == [struct.pack("<I", base)]
    assert ram(image, base, 4) == b"\xd6\x50\x52\xe8"


def test_relocatable_rules() -> None:
    refused("multiboot2", multiboot2_elf(relocatable(0x200000, 0x200007, 1, 0)), "relocatable", "do not fit")
    refused("multiboot2", multiboot2_elf(relocatable(0, 0xFFFFFFFF, 0x3000, 0)), "relocatable", "power of two")
    refused("multiboot2", multiboot2_elf((10, 0, bytes(12))), "relocatable", "at least 24")
    moved = load("multiboot2", address_image_with(relocatable(0x300000, 0xFFFFFFFF, 0x1000, 0)))
    assert moved.boot.registers["rip"] == 0x300040


def test_acpi_tags() -> None:
    """3.6.14 and 3.6.15: copies of the RSDP, of version 1.0 (20 bytes) and later ones (36)."""
    machine = Machine(memory=MEMORY, engine="interp")
    tables = tables_to_come(machine.pc, 1)
    image = load_bytes("multiboot2", Request("f", multiboot2_elf(), MEMORY, tables=tables))
    found = tags(image)
    (old,), (new,) = found[14], found[15]
    assert (len(old), old[:8], old[15], sum(old) & 0xFF) == (20, b"RSD PTR ", 0, 0)
    assert (len(new), new[:8], new[15], sum(new) & 0xFF) == (36, b"RSD PTR ", 2, 0)
    assert old[16:20] == new[16:20]
    beside = elf(loads=[{"data": multiboot2_header(), "vaddr": 0x100000, "align": 8},
                        {"data": b"x", "vaddr": tables.base + 0x40}], entry=0x100000)
    image = load_bytes("multiboot2", Request("f", beside, MEMORY, tables=tables))
    assert not {14, 15} & set(tags(image))              # the machine will have no tables then


def test_elf_sections() -> None:
    """3.6.7: the table, with addresses of what is not part of the loaded image."""
    image = load("multiboot2", multiboot2_elf(symbols=[("start", 0x100000, 4, 0x12)]))
    number, size, names = struct.unpack("<3I", tags(image)[9][0][:12])
    headers = [struct.unpack("<2I4Q2I2Q", tags(image)[9][0][12 + size * n:12 + size * (n + 1)]) for n in range(number)]
    assert (number, size, names) == (3, 64, 0) and [header[1] for header in headers] == [0, 2, 3]
    _, _, _, address, _, length, *_ = headers[2]
    assert ram(image, address, length) == b"\0start\0"
    assert 9 not in tags(load("multiboot2", multiboot2_elf()))


@pytest.mark.parametrize(("tag", "told"), [
    ((5, 0, bytes(12)), True), ((5, 1, struct.pack("<3I", 1024, 768, 32)), True), ((4, 0, b"\3\0\0\0"), True),
    ((4, 0, b"\0\0\0\0"), False), ((1, 0, struct.pack("<I", 8)), True), ((1, 0, struct.pack("<I", 6)), False)])
def test_who_asks_is_told_of_the_text_screen(tag: tuple[int, int, bytes], told: bool) -> None:
    found = tags(load("multiboot2", multiboot2_elf(tag)))
    assert found.get(8) == ([struct.pack("<Q3I2BH", 0xB8000, 160, 80, 25, 16, 2, 0)] if told else None)


def address_image_with(tag: tuple[int, int, bytes]) -> bytes:
    wanted = ((2, 0, struct.pack("<4I", 0x100000, 0x100000, 0, 0)), (3, 0, struct.pack("<I", 0x100040)), tag)
    return multiboot2_header(*wanted).ljust(0x80, b"\xf4")


def address_image(header: int = 0x100000, start: int = 0x100000, entry: int | None = 0x100040, bss: int = 0) -> bytes:
    wanted = [(2, 0, struct.pack("<4I", header, start, 0, bss))]
    if entry is not None:
        wanted.append((3, 0, struct.pack("<I", entry)))
    return multiboot2_header(*wanted).ljust(0x80, b"\xf4")


def test_address_tag() -> None:
    data = address_image(bss=0x102000)
    image = load("multiboot2", data)
    assert image.boot.registers["rip"] == 0x100040
    assert ram(image, 0x100000, 0x2000) == data.ljust(0x2000, b"\0")
    assert load("multiboot2", address_image(start=0xFFFFFFFF)).boot.registers["rip"] == 0x100040
    refused("multiboot2", address_image(entry=None), "header tags", "entry address tag")
    refused("multiboot2", address_image(entry=0x100080), "entry_addr")
    refused("multiboot2", bytes(8) + address_image(header=4, start=0xFFFFFFFF), "header_addr")


@pytest.mark.parametrize(("tag", "field"), [
    ((1, 0, struct.pack("<2I", 6, 22)), "information request"),
    ((5, 0, struct.pack("<3I", 640, 480, 32)), "framebuffer"),
    ((4, 0, b"\1\0\0\0"), "console flags"), ((77, 0, b""), "header tags"), ((3, 0, b"\1"), "entry address"),
    ((3, 0, struct.pack("<I", 0x300000)), "entry_addr"), ((2, 0, b""), "address")])
def test_requirements_that_cannot_be_met(tag: tuple[int, int, bytes], field: str) -> None:
    refused("multiboot2", multiboot2_elf(tag), field)


@pytest.mark.parametrize("tag", [
    (1, 1, struct.pack("<2I", 6, 22)), (1, 0, struct.pack("<2I", 6, 21)), (5, 1, bytes(12)), (4, 0, b"\2\0\0\0"),
    (77, 1, b""), (6, 0, b""), (7, 0, b"")])
def test_optional_or_met_wishes(tag: tuple[int, int, bytes]) -> None:
    load("multiboot2", multiboot2_elf(tag))


def test_header_rules() -> None:
    refused("multiboot2", multiboot2_elf(checksum=0), "checksum")
    refused("multiboot2", multiboot2_elf(architecture=4), "architecture")
    refused("multiboot2", elf(), "header")
    refused("multiboot2", multiboot2_elf(), "mode", mode=64)
    refused("multiboot2", multiboot2_header(), "flags", "load addresses")
    words = (0xE85250D6, 0, 16)
    no_end = struct.pack("<4I", *words, -sum(words) & 0xFFFFFFFF)
    refused("multiboot2", no_end, "header tags", "end tag")
    words = (0xE85250D6, 0, 0x80000000)
    refused("multiboot2", struct.pack("<4I", *words, -sum(words) & 0xFFFFFFFF), "header_length")
