"""The Linux boot protocol: boot_params is read back at the offsets of boot.rst and zero-page.rst."""

import struct

import pytest

from emu.load.model import Module
from emu.load.sniff import sniff
from tests.emu.load.build import MEMORY, linux, patch
from tests.emu.load.help import load, ram, refused, string, uint, walk


def test_64_bit_entry_state() -> None:
    image = load("linux", linux())
    r, s = image.boot.registers, image.boot.segments
    assert r["rip"] == 0x1000200 and r["rflags"] == 2 and r["efer"] == 0x500
    assert (s["cs"].selector, s["cs"].attributes) == (0x10, 0xA09B)
    assert {(s[n].selector, s[n].attributes) for n in ("ds", "es", "ss")} == {(0x18, 0xC093)}
    assert walk(image, r["rsi"]) == r["rsi"]


@pytest.mark.parametrize(("data", "mode"), [(linux(), 32), (linux(xloadflags=0), None), (linux(version=0x20B), None)])
def test_32_bit_entry_state(data: bytes, mode: int | None) -> None:
    image = load("linux", data, mode=mode)
    r, s = image.boot.registers, image.boot.segments
    assert r["rip"] == 0x1000000 and r["cr0"] == 0x11 and r["rsi"]
    assert not any(r.get(name) for name in ("rbp", "rdi", "rbx"))
    assert (s["cs"].selector, s["cs"].attributes) == (0x10, 0xC09B) and s["ds"].selector == 0x18


def test_boot_params() -> None:
    data = linux(kernel=b"\xf4" * 0x3F8)
    image = load("linux", data, append="console=ttyS0,115200")
    params = image.boot.registers["rsi"]
    assert params % 4096 == 0
    assert ram(image, params, 0x1E0).strip(b"\0") == struct.pack("<H", (MEMORY >> 10) - 1024).strip(b"\0")
    assert uint(image, params + 0x1E0, 4) == (MEMORY >> 10) - 1024
    assert uint(image, params + 0x1EF, 1) == 0, "the sentinel"
    header = bytearray(data[0x1F1:0x26C])
    header[0x210 - 0x1F1] = 0xFF
    header[0x214 - 0x1F1:0x218 - 0x1F1] = (0x1000000).to_bytes(4, "little")
    header[0x228 - 0x1F1:0x22C - 0x1F1] = ram(image, params + 0x228, 4)
    assert ram(image, params + 0x1F1, len(header)) == header
    assert string(image, uint(image, params + 0x228, 4)) == b"console=ttyS0,115200"
    count = uint(image, params + 0x1E8, 1)
    assert list(struct.iter_unpack("<QQI", ram(image, params + 0x2D0, 20 * count))) == [
        (0, 0x9FC00, 1), (0x9FC00, 0x400, 2), (0xF0000, 0x10000, 2), (0x100000, MEMORY - 0x100000, 1)]


def test_kernel_bytes_start_after_the_setup_sectors() -> None:
    for sectors in (0, 4, 27):  # 0 means 4
        image = load("linux", linux(setup_sects=sectors, kernel=b"K" * 0x400))
        assert ram(image, 0x1000000, 0x400) == b"K" * 0x400


def test_bytes_behind_syssize_are_not_loaded() -> None:
    image = load("linux", linux() + b"signature")
    assert next(s for s in image.segments if s.gpa == 0x1000000).size == 0x400


def test_initrd_goes_high_but_under_its_limit() -> None:
    rd = (Module("rd", b"R" * 5000, "rd"),)
    for limit, expected_end in ((0x7FFFFFFF, MEMORY), (0x2FFFFFF, 0x3000000)):
        image = load("linux", linux(initrd_max=limit), modules=rd)
        params = image.boot.registers["rsi"]
        at, size = struct.unpack("<2I", ram(image, params + 0x218, 8))
        assert ram(image, at, size) == rd[0].data
        assert at % 4096 == 0 and at + size <= expected_end < at + size + 4096
    refused("linux", linux(initrd_max=0xFFFFF), "initrd (rd)", "free", modules=rd)
    refused("linux", linux(), "initrd", "takes one", modules=rd * 2)
    refused("linux", linux(), "initrd (e)", "empty", modules=(Module("e", b"", "e"),))


def test_initrd_stays_out_of_the_room_that_the_kernel_unpacks_into() -> None:
    data = linux(init_size=MEMORY - 0x1000000 - 0x2000)
    image = load("linux", data, modules=(Module("rd", b"R" * 0x2000, "rd"),))
    assert uint(image, image.boot.registers["rsi"] + 0x218, 4) == MEMORY - 0x2000
    image = load("linux", data, modules=(Module("rd", b"R" * 0x2001, "rd"),))
    assert uint(image, image.boot.registers["rsi"] + 0x218, 4) < 0x1000000


def test_command_line_limit() -> None:
    load("linux", linux(cmdline_size=10), append="x" * 10)
    refused("linux", linux(cmdline_size=10), "append", "takes 10", append="x" * 11)
    refused("linux", linux(version=0x205, cmdline_size=9999), "append", "takes 255", append="x" * 256)
    refused("linux", linux(), "append", "NUL", append="a\0b")


@pytest.mark.parametrize(("data", "field"), [
    (linux(version=0x201), "version"), (linux(loadflags=0), "loadflags"), (linux(syssize=0), "syssize"),
    (linux(syssize=0x41), "syssize"), (linux(syssize=0xFFFFFFFF), "syssize"), (linux(kernel=b"x" * 0x200), "syssize"),
    (linux(address=0x8000), "pref_address"), (linux(address=1 << 63), "pref_address"),
    (linux(address=0x1000200), "pref_address"), (linux(alignment=0), "kernel_alignment"),
    (linux(alignment=3), "kernel_alignment"), (linux(init_size=MEMORY), "init_size"),
    (linux(init_size=0xFFFFFFFF), "init_size"), (patch(linux(), 0x201, 0x10, 1), "jump"),
    (patch(linux(), 0x1FE, 0, 2), "boot_flag"), (patch(linux(), 0x202, 0, 4), "header"),
    (linux()[:0x250], "jump"), (linux()[:0x800], "syssize"), (linux()[:100], "boot_flag")])
def test_header_rules(data: bytes, field: str) -> None:
    refused("linux", data, field)


def test_mode_and_load_rules() -> None:
    refused("linux", linux(xloadflags=0), "xloadflags", mode=64)
    refused("linux", linux(), "mode", mode=16)
    refused("linux", linux(), "load", load_address=0x100000)


def test_unaligned_address_is_fine_for_a_kernel_that_does_not_relocate() -> None:
    assert load("linux", linux(address=0x100000, relocatable=0, alignment=0)).boot.registers["rip"] == 0x100200


def test_sniffed_before_anything_else() -> None:
    assert sniff("f", linux()) == "linux"
