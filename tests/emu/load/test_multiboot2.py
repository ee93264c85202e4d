"""Multiboot2: the boot information's tags are read back as its section 3.6 lays them out."""

import struct

import pytest

from emu.load.model import Image, Module
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


def test_entry_and_relocatable_tags() -> None:
    image = load("multiboot2", multiboot2_elf((3, 0, struct.pack("<I", 0x100008)), (10, 0, bytes(16))))
    assert image.boot.registers["rip"] == 0x100008
    assert tags(image)[21] == [struct.pack("<I", 0x100000)]


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
    ((1, 0, struct.pack("<2I", 6, 8)), "information request"), ((5, 0, bytes(12)), "framebuffer"),
    ((4, 0, b"\1\0\0\0"), "console flags"), ((77, 0, b""), "header tags"), ((3, 0, b"\1"), "entry address"),
    ((3, 0, struct.pack("<I", 0x300000)), "entry_addr"), ((2, 0, b""), "address")])
def test_requirements_that_cannot_be_met(tag: tuple[int, int, bytes], field: str) -> None:
    refused("multiboot2", multiboot2_elf(tag), field)


@pytest.mark.parametrize("tag", [
    (1, 1, struct.pack("<2I", 6, 8)), (1, 0, struct.pack("<2I", 6, 3)), (5, 1, bytes(12)), (4, 0, b"\2\0\0\0"),
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
