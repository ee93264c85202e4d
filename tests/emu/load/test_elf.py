"""Plain ELF files: what is loaded where, the starting states, and every rule of elf_file.py and elf.py."""

import struct

import pytest

from emu.load.model import Segment
from tests.emu.load.build import elf, patch
from tests.emu.load.help import load, ram, refused, walk


def test_elf64_segments_go_to_physical_addresses_with_zeroed_tail() -> None:
    data = elf(loads=[{"data": b"abcd", "vaddr": 0xFFFF800000200000, "paddr": 0x200000, "memsz": 0x10}],
               entry=0xFFFF800000200002)
    image = load("elf", data)
    assert Segment(0x200000, b"abcd", 16) in image.segments
    assert image.boot.registers["rip"] == 0x200002


def test_elf64_starts_in_long_mode() -> None:
    boot = load("elf", elf()).boot
    r = boot.registers
    assert r["cr0"] & 0x80000001 == 0x80000001 and r["cr4"] == 0x20 and r["efer"] == 0x500 and r["rflags"] == 2
    assert r["rip"] == 0x200000 and r["rsp"] % 16 == 0
    assert boot.segments["cs"].attributes == 0xA09B and boot.segments["ss"].attributes == 0xC093


@pytest.mark.parametrize("address", [0, 0x1FFFFF, 0x200000, 0xB8000, 0xFEE00000, 0xFFFFFFFF])
def test_identity_tables_map_the_low_4_gib(address: int) -> None:
    assert walk(load("elf", elf()), address) == address


def test_identity_tables_reach_ram_above_4_gib_and_no_further() -> None:
    image = load("elf", elf(), memory=5 << 30)  # 3 GiB below the device hole, 2 GiB from 4 GiB on
    assert walk(image, (6 << 30) - 1) == (6 << 30) - 1
    assert walk(image, 6 << 30) is None


def test_gdt_holds_the_descriptors_that_the_registers_were_loaded_from() -> None:
    for bits in (32, 64):
        image = load("elf", elf(bits))
        base, limit = image.boot.gdtr
        for name in ("cs", "ds", "ss"):
            register = image.boot.segments[name]
            assert register.selector + 7 <= limit
            low, high = struct.unpack("<2I", ram(image, base + register.selector, 8))
            assert high >> 8 & 0xF0FF == register.attributes
            assert (low >> 16 | (high & 0xFF) << 16 | high & 0xFF000000) == register.base == 0
            assert ((high & 0xF0000 | low & 0xFFFF) << 12 | 0xFFF) == register.limit == 0xFFFFFFFF


def test_elf32_starts_in_flat_protected_mode() -> None:
    boot = load("elf", elf(32)).boot
    assert boot.registers["cr0"] == 0x11 and "cr3" not in boot.registers
    assert boot.segments["cs"].attributes == 0xC09B


def test_stack_is_zeroed_ram() -> None:
    image = load("elf", elf())
    assert ram(image, image.boot.registers["rsp"] - 0x1000, 0x1000 + 64) == bytes(0x1040)


def test_loader_structures_avoid_an_image_in_conventional_memory() -> None:
    load("elf", elf(loads=[{"data": b"\xf4", "vaddr": 0x1000, "memsz": 0x9E000}], entry=0x1000))


def test_no_room_for_the_loader_is_refused() -> None:
    refused("elf", elf(loads=[{"data": b"\xf4", "vaddr": 0x1000, "memsz": 0xE000}], entry=0x1000), "", "are free",
            memory=0x10000)


def test_position_independent_file_moves() -> None:
    image = load("elf", elf(kind=3, symbols=[("f", 0x200004, 4, 2)]), load_address=0x400000)
    assert image.boot.registers["rip"] == 0x400000
    assert image.symbols[0].address == 0x400004
    refused("elf", elf(kind=3), "load", "alignment", load_address=0x400010)
    refused("elf", elf(), "load", "ET_DYN", load_address=0x400000)


def test_dynamic_section() -> None:
    def dyn(*pairs: tuple[int, int]) -> bytes:
        entries = b"".join(struct.pack("<2Q", *p) for p in (*pairs, (0, 0), (8, 24)))
        return elf(kind=3, extra=[{"type": 2, "data": entries}])
    load("elf", dyn((8, 0)))  # entries behind DT_NULL do not count
    refused("elf", dyn((8, 24)), "dynamic section", "DT_RELASZ")
    refused("elf", dyn((35, 8)), "dynamic section", "DT_RELRSZ")
    refused("elf", dyn((1, 1)), "dynamic section", "shared libraries")
    refused("elf", elf(extra=[{"type": 3, "data": b"/lib/ld.so\0"}]), "p_type", "dynamic linker")


@pytest.mark.parametrize(("offset", "value", "size", "field"), [
    (0, 0, 1, "e_ident"), (4, 3, 1, "EI_CLASS"), (5, 2, 1, "EI_DATA"), (6, 0, 1, "EI_VERSION"), (16, 1, 2, "e_type"),
    (18, 3, 2, "e_machine"), (18, 183, 2, "e_machine"), (20, 2, 4, "e_version"), (24, 0x123, 8, "e_entry"),
    (32, 1 << 63, 8, "e_phoff"), (40, 1 << 63, 8, "e_shoff"), (40, 64, 8, "e_shoff"), (52, 52, 2, "e_ehsize"),
    (54, 32, 2, "e_phentsize"), (56, 0, 2, "e_phnum"), (56, 0xFFFF, 2, "e_phnum"), (56, 5000, 2, "e_phoff"),
    (58, 1, 2, "e_shentsize")])
def test_header_rules(offset: int, value: int, size: int, field: str) -> None:
    data = elf(symbols=[("a", 1, 0, 0)])
    if (offset, value) == (40, 64):
        data = patch(data, 60, 0xFFFF, 2)  # e_shnum far beyond the file
    refused("elf", patch(data, offset, value, size), field)


@pytest.mark.parametrize(("load_fields", "field", "rule"), [
    ({"filesz": 17, "memsz": 16}, "p_filesz", "more than p_memsz"),
    ({"filesz": 1 << 63, "memsz": 1 << 63, "vaddr": 0}, "p_offset", "not all inside"),
    ({"memsz": (1 << 64) - 1}, "p_memsz", "address space"),
    ({"memsz": 1 << 63}, "p_paddr", "not in one piece of RAM"),
    ({"align": 3}, "p_align", "power of two"),
    ({"align": 0x1000, "offset": 0x80}, "p_vaddr", "modulo"),
    ({"paddr": 0x4000000}, "p_paddr", "RAM"),
    ({"paddr": 0x9FFF8}, "p_paddr", "RAM"),
    ({"paddr": 0xB8000}, "p_paddr", "RAM"),
    ({"flags": 6}, "e_entry", "executable"),
    ({"memsz": 0, "filesz": 0}, "program headers", "nothing to load")])
def test_segment_rules(load_fields: dict, field: str, rule: str) -> None:
    refused("elf", elf(loads=[{"data": b"\xf4" * 16, "vaddr": 0x200000} | load_fields]), field, rule)


def test_headers_in_a_segment_of_their_own_just_below_1_mib() -> None:
    """What GNU ld makes of -Ttext=0x100000: a read-only segment with the ELF headers at 0xFF000."""
    loads = [{"data": b"headers", "vaddr": 0xFF000, "flags": 4}, {"data": b"\xf4", "vaddr": 0x100000}]
    image = load("elf", elf(loads=loads, entry=0x100000))
    assert ram(image, 0xFF000, 7) == b"headers"


def test_overlapping_segments_are_refused() -> None:
    loads = [{"data": b"\xf4" * 16, "vaddr": 0x200000, "memsz": 0x1000}, {"data": b"1234", "vaddr": 0x200FFC}]
    refused("elf", elf(loads=loads), "program header 1: p_paddr", "overlaps program header 0")


def test_headers_that_share_file_bytes_cannot_multiply_them() -> None:
    loads = [{"data": b"\xf4" * 4096, "vaddr": 0x200000}]
    loads += [{"data": b"", "offset": 512, "filesz": 4096, "memsz": 4096, "vaddr": 0x200000 + i * 4096}
              for i in range(1, 100)]
    refused("elf", elf(loads=loads), "program headers", "of a file of")


def test_truncation_anywhere_is_refused() -> None:
    data = elf(loads=[{"data": b"\xf4" * 16, "vaddr": 0x200000}], symbols=[("a", 1, 0, 0)])
    for size in range(len(data)):
        refused("elf", data[:size], "")


def test_options_that_mean_nothing_to_a_plain_elf_are_refused() -> None:
    refused("elf", elf(), "append", append="x")
    refused("elf", elf(), "mode", mode=32)
    refused("elf", elf(), "memory", memory=4095)
    refused("elf", elf(), "memory", memory=1 << 62)
