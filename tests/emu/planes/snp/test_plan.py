"""How images become launches: directly, by OVMF's metadata, or as an IGVM file says."""

import struct

import pytest

from emu.load.image import load_bytes
from emu.load.model import BootState, Image, ImageError, Request, Segment, Symbol
from emu.load.vmsa_state import boot_state, vmsa_page
from emu.planes.snp.launch import PageType
from emu.planes.snp.plan import plan
from emu.planes.snp.vmsa import Vmsa
from tests.emu.load.build import MEMORY, elf, multiboot_elf
from tests.emu.load.build_igvm import small
from tests.emu.load.test_ovmf import rom

OPTIONS = dict(memory=MEMORY, vcpus=1, signature=0xA10F11, features=1, c_bit=51)


def test_a_multiboot_program_starts_in_its_loaders_state():
    image = load_bytes("multiboot", Request("f", multiboot_elf(), MEMORY))
    pages = plan(image, **OPTIONS).pages
    assert {page.type for page in pages[:-1]} == {PageType.NORMAL} and pages[-1].gpa == 0xFFFFFFFFF000
    assert [page.gpa for page in pages] == sorted(page.gpa for page in pages)
    state = Vmsa(bytearray(pages[-1].data))
    assert state["rip"] == image.boot.registers["rip"] and state["rax"] == 0x2BADB002 and state["efer"] == 0x1000
    assert state["cs_attributes"] == 0xC9B and state["cs_limit"] == 0xFFFFFFFF and state["vmpl"] == 0
    by_gpa = {page.gpa: page.contents for page in pages}
    for segment in image.segments:
        start = segment.gpa & 0xFFF
        assert by_gpa[segment.gpa & ~0xFFF][start:start + 16] == segment.data[:min(16, 4096 - start)].ljust(
            min(16, 4096 - start), b"\0")


def test_page_tables_of_a_loader_get_the_c_bit():
    image = load_bytes("elf", Request("f", elf(), MEMORY))
    launch = plan(image, **OPTIONS)
    state = Vmsa(bytearray(launch.pages[-1].data))
    pages = {page.gpa: page.contents for page in launch.pages}
    assert state["cr3"] == image.boot.registers["cr3"] | 1 << 51 and not image.boot.registers["cr3"] >> 51
    entry = state["cr3"]
    for index in (0, 0, 1):
        table = pages[entry & 0xF_FFFF_FFFF_F000 & ~(1 << 51)]
        entry = struct.unpack_from("<Q", table, 8 * index)[0]
        assert entry >> 51 & 1 and entry & 1
    assert entry & 0x80 and entry & 0xFFFFFE00000 == 0x200000


def test_pages_with_symbols_are_special():
    symbols = tuple(Symbol(gpa, 0, name) for gpa, name in (
        (0x2000, "snp_secrets_page"), (0x3000, "snp_cpuid_page"), (0x4000, "snp_memory_map"), (0x2000, "other")))
    segments = (Segment(0x1FF0, b"x" * 0x20, 0x20), Segment(0x2F00, b"y", 0x2000))
    boot = boot_state(vmsa_page(BootState({}, boot_state(bytes(4096)).segments, (0, 0), (0, 0)), 1))
    pages = plan(Image("elf", "f", segments, boot, symbols), **OPTIONS).pages
    assert [(page.gpa, page.type) for page in pages[:-1]] == [
        (0x1000, PageType.NORMAL), (0x2000, PageType.SECRETS), (0x3000, PageType.CPUID), (0x4000, PageType.UNMEASURED)]
    assert pages[0].data.endswith(b"x" * 16) and pages[0].data.startswith(bytes(16))
    assert struct.unpack_from("<QQHHI", pages[3].data) == (0, 0xA0, 0, 0, 0)
    assert struct.unpack_from("<QQ", pages[3].data, 24)[0] == 0xC0 and not any(pages[3].data[48:72])


@pytest.mark.parametrize("address", [0x2800, 0x9000])
def test_special_pages_that_are_none(address):
    boot = boot_state(bytes(4096))
    image = Image("elf", "f", (Segment(0x2000, b"x", 0x1000),), boot, (Symbol(address, 0, "snp_cpuid_page"),))
    with pytest.raises(ImageError, match="not the beginning of a page"):
        plan(image, **OPTIONS)


def test_a_vmsa_and_its_state_say_the_same():
    image = load_bytes("multiboot", Request("f", multiboot_elf(), MEMORY))
    found = boot_state(vmsa_page(image.boot, 0x21))
    assert found.segments == image.boot.segments and found.gdtr == image.boot.gdtr
    assert {**dict.fromkeys(found.registers, 0), **image.boot.registers} == found.registers


def test_files_that_say_themselves_how():
    image = load_bytes("igvm", Request("f", small(), MEMORY))
    assert plan(image, **OPTIONS) is image.launch
    firmware = load_bytes("bios", Request("f", rom(), MEMORY))
    assert plan(firmware, **OPTIONS).pages[-1].type is PageType.VMSA
    with pytest.raises(ImageError, match="SEV metadata"):
        plan(load_bytes("bios", Request("f", bytes(0x10000), MEMORY)), **OPTIONS)
