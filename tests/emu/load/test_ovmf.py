"""OVMF's table before the reset vector and its SNP metadata (edk2, OvmfPkg/ResetVector)."""

import struct
from uuid import UUID

import pytest

from emu.load import ovmf
from emu.load.model import ImageError
from emu.planes.snp.launch import PageType

SIZE = 0x10000
FOOTER = UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
METADATA = UUID("dc886566-984a-4798-a75e-5585a7bf67cc").bytes_le
RESET = UUID("00f771de-1a7e-4fcb-890e-68c77e2fb44e").bytes_le
SECTIONS = ((0x800000, 0x9000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3), (0x80F000, 0x1000, 4),
            (0x810000, 0x1000, 0x10))


def entry(data: bytes, guid: bytes) -> bytes:
    return data + struct.pack("<H", len(data) + 18) + guid


def rom(sections=SECTIONS, *, version=1, signature=b"ASEV", count=None, extra=b"", offset=0x1000, length=None) -> bytes:
    """A ROM of 64 KiB with the metadata `offset` bytes before its end."""
    image = bytearray(b"\x90" * SIZE)
    count = len(sections) if count is None else count
    metadata = signature + struct.pack("<III", 16 + 12 * len(sections) if length is None else length, version, count)
    metadata += b"".join(struct.pack("<III", *section) for section in sections)
    image[SIZE - 0x1000:SIZE - 0x1000 + len(metadata)] = metadata
    table = extra + entry(struct.pack("<I", offset), METADATA) + entry(struct.pack("<I", 0x80B004), RESET)
    table += struct.pack("<H", len(table) + 18) + FOOTER
    image[SIZE - 32 - len(table):SIZE - 32] = table
    return bytes(image)


def refused(data: bytes, field: str, rule: str, memory: int = 64 << 20) -> None:
    with pytest.raises(ImageError) as caught:
        ovmf.snp_launch("f", data, memory=memory, vcpus=1, signature=0, features=1)
    assert field in caught.value.field and rule in caught.value.rule, caught.value


def test_entries_of_the_table() -> None:
    found = ovmf.table("f", rom(extra=entry(b"abc", bytes(16))))
    assert found[UUID(int=0)] == b"abc" and found[ovmf.METADATA] == b"\0\x10\0\0" and len(found) == 3
    assert ovmf.ap_start("f", rom()) == 0x80B004
    assert ovmf.table("f", bytes(SIZE)) == {} and ovmf.ap_start("f", bytes(SIZE)) == 0xFFFFFFF0


def test_the_launch_is_rom_then_metadata_then_vmsas() -> None:
    pages = ovmf.snp_launch("f", rom(), memory=64 << 20, vcpus=2, signature=0xA10F11, features=1).pages
    assert [page.gpa for page in pages[:16]] == [0xFFFF0000 + 0x1000 * n for n in range(16)]
    assert [page.type for page in pages[16:]] == [PageType.ZERO] * 9 + [
        PageType.SECRETS, PageType.CPUID, PageType.ZERO, PageType.ZERO, PageType.VMSA, PageType.VMSA]
    first, second = pages[-2:]
    assert (first.gpa, first.vcpu, second.vcpu) == (0xFFFFFFFFF000, 0, 1)
    assert first.data[0x178:0x17A] == b"\xf0\xff" and second.data[0x178:0x17A] == b"\x04\xb0"
    assert second.data[0x18:0x20] == struct.pack("<Q", 0x800000)                # CS base


@pytest.mark.parametrize("data, field, rule", [
    (bytes(SIZE), "SEV metadata", "has none"), (rom(signature=b"ASEX"), "SEV metadata", "ASEV"),
    (rom(version=2), "version", "known is 1"), (rom(count=100), "length", "too little"),
    (rom(count=1 << 31, length=0xFFFFFFFF), "length", "too little"), (rom(offset=2), "SEV metadata", "inside"),
    (rom(offset=SIZE + 4), "SEV metadata", "ASEV"), (rom([(0x800000, 0x1000, 9)]), "descriptor 0: type", "known are"),
    (rom([(0x800010, 0x1000, 1)]), "descriptor 0", "whole pages"), (rom([(0x800000, 0, 1)]), "descriptor 0", "whole"),
    (rom([(0xFFFFF000, 0x2000, 1)]), "descriptor 0", "below 4 GiB"),
    (rom([(0xA0000, 0x1000, 1)]), "descriptor 0", "not RAM"), (rom([(0x70000000, 0x1000, 1)]), "descriptor 0", "RAM"),
    (rom([(0x800000, 0x2000, 1), (0x801000, 0x1000, 2)]), "descriptor 1", "overlap"),
    (rom(extra=b"\x7f\0" + bytes(16)), "GUIDed table", "fit"),
])
def test_what_is_refused(data: bytes, field: str, rule: str) -> None:
    refused(data, field, rule)


def test_damaged_tables_are_refused_or_harmless() -> None:
    import random
    rng = random.Random("strata ovmf")
    for _ in range(1500):
        data = bytearray(rom())
        for _ in range(rng.randint(1, 3)):
            at = rng.choice((rng.randrange(SIZE - 0xA0, SIZE), SIZE - 0x1000 + rng.randrange(76)))
            data[at] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        try:
            pages = ovmf.snp_launch("f", bytes(data), memory=64 << 20, vcpus=1, signature=0, features=1).pages
        except ImageError as error:
            assert str(error).isprintable()
        else:
            assert len(pages) <= 16 + (64 << 20) // 4096 + 1
