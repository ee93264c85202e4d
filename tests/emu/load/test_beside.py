"""Images of higher planes: where they go, how they start, what the guest's own image is told, and what is refused."""

import struct
from pathlib import Path

import pytest

from emu.load.beside import load_beside
from emu.load.image import load_image
from emu.load.model import ImageError
from emu.load.ram import address_map
from tests.emu.load.build import MEMORY, elf, multiboot_elf
from tests.emu.load.help import check_sane, ram, uint, walk

MIB = 1 << 20
CODE = [{"data": b"\xf4" * 16, "vaddr": 0x1000, "memsz": 0x3000, "align": 0x1000}]


def beside(tmp_path: Path, data: bytes, memory: int = MEMORY):
    path = tmp_path / "f"
    path.write_bytes(data)
    image, reserved = load_beside(path, memory)
    check_sane(image, memory)
    return image, reserved


def test_a_position_independent_image_has_the_end_of_ram(tmp_path):
    image, reserved = beside(tmp_path, elf(kind=3, loads=CODE, entry=0x1008))
    base = MEMORY - reserved
    assert reserved == 2 * MIB and image.boot.registers["rip"] == base + 8
    assert ram(image, base, 17) == b"\xf4" * 16 + b"\0"
    assert all(base <= s.gpa and s.gpa + s.size <= MEMORY for s in image.segments)


def test_it_ends_below_the_device_hole(tmp_path):
    image, reserved = beside(tmp_path, elf(kind=3, loads=CODE, entry=0x1000), 5 << 30)
    assert image.boot.registers["rip"] == 0xC0000000 - reserved
    assert walk(image, (6 << 30) - 1) == (6 << 30) - 1


def test_any_other_has_all_from_where_it_was_linked(tmp_path):
    image, reserved = beside(tmp_path, elf(loads=[{"data": b"\xf4", "vaddr": 0x2345000}], entry=0x2345000))
    assert reserved == MEMORY - 0x2200000 and image.boot.registers["rip"] == 0x2345000
    assert all(s.gpa >= 0x2200000 for s in image.segments)


def test_the_stack_says_which_ram_it_has(tmp_path):
    image, reserved = beside(tmp_path, elf(kind=3, loads=CODE, entry=0x1000))
    rsp = image.boot.registers["rsp"]
    assert struct.unpack("<3Q", ram(image, rsp, 24)) == (0, MEMORY - reserved, reserved)
    assert rsp % 16 == 0 and ram(image, rsp - 0x1000, 0x1000) == bytes(0x1000)
    assert set(image.boot.registers) == {"rip", "rsp", "rflags", "cr0", "cr3", "cr4", "efer"}


@pytest.mark.parametrize(("data", "field", "rule"), [
    (elf(32), "e_ident", "64-bit"),
    (elf(loads=2 * [{"data": b"\xf4", "vaddr": 0x2345000}], entry=0x2345000), "p_paddr", "overlaps"),
    (elf(loads=[{"data": b"\xf4", "vaddr": 0x100000}], entry=0x100000), "p_paddr", "is the guest's"),
    (elf(kind=3, loads=[{"data": b"\xf4", "vaddr": 0, "memsz": MEMORY}], entry=0), "p_paddr", "do not fit"),
    (elf(loads=[{"data": b"\xf4", "vaddr": MEMORY}], entry=MEMORY), "p_paddr", "not in one piece of RAM"),
    (b"MZ" * 100, "magic", "")])
def test_refused(tmp_path, data, field, rule):
    with pytest.raises(ImageError) as caught:
        beside(tmp_path, data)
    assert field in str(caught.value) and rule in str(caught.value) and "\n" not in str(caught.value)


def test_the_guests_image_is_told_what_is_reserved(tmp_path):
    path = tmp_path / "kernel"
    path.write_bytes(multiboot_elf())
    image = load_image(path, memory=MEMORY, reserved=4 * MIB)
    info = image.boot.registers["rbx"]
    assert uint(image, info + 8, 4) == (MEMORY - 5 * MIB) >> 10             # mem_upper
    entries = uint(image, info + 44, 4) // 24
    map_at = uint(image, info + 48, 4)
    found = [struct.unpack("<QQI", ram(image, map_at + 24 * i + 4, 20)) for i in range(entries)]
    assert found[-2:] == [(MIB, MEMORY - 5 * MIB, 1), (MEMORY - 4 * MIB, 4 * MIB, 2)]


def test_the_map_has_a_reserved_range_below_4_gib():
    assert [(r.base, r.size, r.type) for r in address_map(5 << 30, 2 * MIB)][-3:] == [
        (MIB, 0xC0000000 - 3 * MIB, 1), (0xC0000000 - 2 * MIB, 2 * MIB, 2), (1 << 32, 2 << 30, 1)]


def test_the_guests_image_may_not_lie_there(tmp_path):
    path = tmp_path / "kernel"
    path.write_bytes(elf(loads=[{"data": b"\xf4", "vaddr": MEMORY - MIB}], entry=MEMORY - MIB))
    with pytest.raises(ImageError, match="overlaps the RAM of another privilege plane"):
        load_image(path, memory=MEMORY, reserved=2 * MIB)


def test_firmware_cannot_be_told(tmp_path):
    path = tmp_path / "rom"
    path.write_bytes(bytes(0x10000))
    with pytest.raises(ImageError, match="reserved"):
        load_image(None, bios=path, memory=MEMORY, reserved=2 * MIB)
