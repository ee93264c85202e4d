"""IGVM files for SEV-SNP (crate igvm_defs): what becomes of each header, and every rule that a file can break."""

import struct
import zlib
from pathlib import Path

import pytest

from emu.load.image import load_bytes
from emu.load.model import ImageError, Request
from emu.load.sniff import sniff
from emu.machine import Machine
from emu.planes.snp.launch import PageType
from tests.emu.load.build import MEMORY
from tests.emu.load.build_igvm import CODE_GPA, VMSA_GPA, every_header, patched, sealed, small, vmsa
from tests.emu.load.help import load, ram, refused
from tools.igvm.writer import IgvmWriter


def rebuilt(*headers: tuple[int, bytes], policy: int | None = 0x30000) -> bytes:
    """A file with these headers between the platform's and a VMSA; "@@@@" in one stands for a page of ones."""
    file = IgvmWriter(policy)
    for kind, body in headers:
        file.header(kind, body, b"\x01" * 4096 if b"@@@@" in body else None)
    file.vmsa(VMSA_GPA, vmsa())
    return bytes(file)


def test_a_small_file_starts_at_its_vmsa() -> None:
    assert sniff("f", small()) == "igvm"
    image = load("igvm", small())
    assert ram(image, CODE_GPA, 2) == b"\xf4\0" and image.launch is not None
    assert [(page.gpa, page.type) for page in image.launch.pages] == [
        (CODE_GPA, PageType.NORMAL), (VMSA_GPA, PageType.VMSA)]
    assert image.boot.registers["rip"] == CODE_GPA and image.boot.registers["efer"] == 0
    assert image.boot.segments["cs"].attributes == 0xC09B and image.boot.segments["cs"].selector == 8


def test_every_header_has_its_effect() -> None:
    image = load_bytes("igvm", Request("f", every_header(), MEMORY, append="quiet", vcpus=3))
    launch = image.launch
    assert launch is not None
    assert [(page.gpa, page.type) for page in launch.pages] == [
        (0x201000, PageType.NORMAL), (0x202000, PageType.NORMAL), (0x204000, PageType.UNMEASURED),
        (0x206000, PageType.SECRETS), (0x207000, PageType.CPUID), (0x208000, PageType.UNMEASURED),
        (0x209000, PageType.UNMEASURED), (0x203000, PageType.VMSA)]
    assert launch.policy == 0x30000 and launch.errors_at == ((0x20B000, 0x1000),)
    assert [(gpa, data[:6]) for gpa, data in launch.shared] == [(0x205000, b"shared"), (0x20B000, bytes(6))]
    assert launch.id_block is not None and launch.id_block.launch_digest == b"D" * 48
    assert launch.id_block.guest_svn == 2 and launch.id_block.author_key_enabled
    area = ram(image, 0x208000, 0x2000)
    assert struct.unpack_from("<I", area) == (3,)
    assert [area[0x300 * n:0x300 * n + 4] for n in (1, 2, 6, 7)] == [b"SRAT", b"APIC", b"SLIT", b"PPTT"]
    assert struct.unpack_from("<4Q", area, 0x900) == (0xC0000, 0x40000, 0, 0)
    assert area[0xF00:0xF06] == b"quiet\0" and struct.unpack_from("<I", area, 0x1800) == (1,)
    first = struct.unpack_from("<QQHHI", area, 0xC00)
    assert first == (0, 0xA0, 0, 0, 0)


def test_acpi_tables_have_checksums_that_hold() -> None:
    image = load_bytes("igvm", Request("f", every_header(), MEMORY, vcpus=2))
    area = ram(image, 0x208000, 0x2000)
    for at in (0x300, 0x600, 0x1200, 0x1500):
        length, = struct.unpack_from("<I", area, at + 4)
        assert sum(area[at:at + length]) & 0xFF == 0 and length > 36


def test_a_large_page_is_512_small_ones() -> None:
    file = IgvmWriter()
    file.header(0x302, struct.pack("<QI4sIHH", 2 << 20, 1, b"@@@@", 1, 0, 0), b"\x05" * (2 << 20))
    file.vmsa(0x401000, vmsa(x178=2 << 20))
    launch = load("igvm", bytes(file)).launch
    assert launch is not None and len(launch.pages) == 513
    assert launch.pages[511].gpa == 0x3FF000 and launch.pages[511].data == b"\x05" * 4096


def test_memory_below_4g_that_is_not_ram_becomes_rom() -> None:
    file = IgvmWriter()
    file.pages(0xFFFF0000, b"\x90" * 0x10000)
    file.vmsa(0xFFFFFFFFF000, vmsa())
    image = load("igvm", bytes(file))
    assert [(rom.gpa, len(rom.data)) for rom in image.roms] == [(0xFFFF0000, 0x10000)] and not image.segments


def test_headers_for_other_platforms_are_left_out() -> None:
    file = IgvmWriter()
    file._headers.insert(1, (0x1, struct.pack("<IBBHQ", 2, 0, 3, 1, 0), None))      # TDX
    file.header(0x302, struct.pack("<QIIIHH", 0x300000, 2, 0, 0, 0, 0))
    file.page(CODE_GPA, b"\xf4")
    file.vmsa(VMSA_GPA, vmsa())
    launch = load("igvm", bytes(file)).launch
    assert launch is not None and [page.gpa for page in launch.pages] == [CODE_GPA, VMSA_GPA]


def test_format_version_2() -> None:
    old = small()
    size, = struct.unpack_from("<I", old, 12)
    new = bytearray(b"IGVM" + struct.pack("<IIIIIII", 2, 32, size, len(old) + 8, 0, 0, 4096) + old[24:])
    for at in range(32, 32 + size - 24, 8):             # file offsets move by 8
        if struct.unpack_from("<II", new, at) in ((0x302, 24), (0x304, 20)):
            offset, = struct.unpack_from("<I", new, at + 8 + 12)
            struct.pack_into("<I", new, at + 8 + 12, offset + 8)
    struct.pack_into("<I", new, 20, zlib.crc32(new[32:32 + size], zlib.crc32(new[:32])))
    launch = load("igvm", bytes(new)).launch
    assert launch is not None and launch.pages[0].data[:1] == b"\xf4"
    refused("igvm", bytes(new[:24]) + b"\1" + bytes(new[25:]), "architecture", "x86-64")
    refused("igvm", bytes(new[:28]) + b"\0\0\1\0" + bytes(new[32:]), "page_size", "4096")


@pytest.mark.parametrize("at, value, field, rule", [
    (4, b"\3\0\0\0", "format_version", "known are 1 and 2"), (8, b"\x1c\0\0\0", "variable_header_offset", "8"),
    (8, b"\x10\0\0\0", "variable_header_offset", "at least"),
    (12, b"\xff\xff\xff\x7f", "variable_header_size", "inside"),
    (24, b"\x77\0\0\0", "header 0", "must not be ignored"), (24, b"\0\0\0\0", "header 0", "no section"),
    (28, b"\x0f\0\0\0", "SUPPORTED_PLATFORM", "must have 16"), (28, b"\xff\xff\xff\xff", "header 0", "beyond"),
    (32, b"\3\0\0\0", "compatibility_mask", "one bit"), (37, b"\3", "SUPPORTED_PLATFORM", "not for SEV-SNP"),
    (38, b"\2\0", "platform_version", "known is 1"), (68, b"\1\0\0\0", "GUEST_POLICY", "reserved"),
    (64, b"\2\0\0\0", "compatibility_mask", "no platform"), (56, bytes(8), "policy", "bit 17"),
    (56, struct.pack("<Q", 0x4030000), "policy", "reserved"), (56, struct.pack("<Q", 0x302FF), "policy", "ABI 2.255"),
])
def test_fixed_header_platform_and_policy(at: int, value: bytes, field: str, rule: str) -> None:
    refused("igvm", patched(small(), at, value), field, rule)


def test_checksum_and_size() -> None:
    broken = bytearray(small())
    broken[60] ^= 1
    refused("igvm", bytes(broken), "checksum", "CRC-32")
    refused("igvm", small() + b"x", "total_file_size", "bytes")
    refused("igvm", small()[:20], "total_file_size")
    refused("igvm", sealed(small()[:-1]), "file_offset", "inside")
    refused("igvm", b"MVGI" + small()[4:], "magic")


def page(gpa: int = 0x300000, mask: int = 1, offset: bytes = bytes(4), flags: int = 0, kind: int = 0) -> bytes:
    return struct.pack("<QI4sIHH", gpa, mask, offset, flags, kind, 0)


@pytest.mark.parametrize("headers, field, rule", [
    ([(0x302, page(0x300010))], "gpa", "aligned"),
    ([(0x302, page()), (0x302, page())], "gpa", "loaded before"),
    ([(0x302, page(VMSA_GPA))], "gpa", "loaded before"),
    ([(0x302, page(flags=8))], "flags", "reserved"), ([(0x302, page(flags=6))], "flags", "shared"),
    ([(0x302, page(0x301000, flags=1))], "gpa", "aligned"),
    ([(0x302, page(0x400000, flags=1, kind=1))], "flags", "4 KiB"),
    ([(0x302, page(kind=4))], "data_type", "known"), ([(0x302, page(offset=b"@@@@", kind=2))], "CPUID page", "64"),
    ([(0x302, page(offset=b"\xff\xff\xff\x7f"))], "file_offset", "inside"),
    ([(0x302, page(1 << 45))], "pages at", "RAM"), ([(0x302, page(0xB8000))], "pages at", "RAM"),
    ([(0x304, struct.pack("<QI4sHH", 0x300000, 1, b"@@@@", 0, 0))], "vp_index", "already"),
    ([(0x304, struct.pack("<QI4sHH", 0x300000, 1, b"@@@@", 1, 0))], "vp_index", "vCPUs"),
    ([(0x304, struct.pack("<QI4sHH", 0x300000, 1, bytes(4), 0, 0))], "file_offset", "zeros"),
    ([(0x301, struct.pack("<QII", 0x1001, 0, 0))], "number_of_bytes", "pages"),
    ([(0x301, struct.pack("<QII", 1 << 40, 0, 0))], "number_of_bytes", "pages"),
    ([(0x301, struct.pack("<QII", 0x1000, 0, 0))] * 2, "parameter_area_index", "before"),
    ([(0x307, struct.pack("<II", 5, 0))], "parameter_area_index", "does not exist"),
    ([(0x301, struct.pack("<QII", 0x1000, 0, 0)), (0x307, struct.pack("<II", 0, 0xFFD))], "byte_offset", "fit"),
    ([(0x301, struct.pack("<QII", 0x1000, 0, 0)), (0x312, struct.pack("<II", 0, 0))], "DEVICE_TREE", "cannot"),
    ([(0x301, struct.pack("<QII", 0x1000, 0, 0)), (0x303, struct.pack("<QII", 0x300000, 1, 0)),
      (0x303, struct.pack("<QII", 0x310000, 1, 0))], "parameter_area_index", "inserted"),
    ([(0x305, struct.pack("<QIIII", 0, 1, 0x80000000, 0, 0))], "REQUIRED_MEMORY", "too small"),
    ([(0x305, struct.pack("<QIIII", 1, 1, 0x1000, 0, 0))], "REQUIRED_MEMORY", "whole pages"),
    ([(0x30D, struct.pack("<QII", 0x300000, 1, 0xFFFFF000))], "ERROR_RANGE", "at most"),
    ([(0x311, struct.pack("<7I", 1, 0, 0, 0, 0, 0, 0) + bytes(836))], "VBS_MEASUREMENT", "not for SEV-SNP"),
    ([(0x302, page()), (0x101, struct.pack("<QII", 0x30000, 1, 0))], "header 3", "have begun"),
    ([(0x302, page(0x400000 + 0x200000 * n, flags=1)) for n in range(200)], "gpa", "more pages"),
])
def test_directives_that_break_a_rule(headers: list[tuple[int, bytes]], field: str, rule: str) -> None:
    refused("igvm", rebuilt(*headers), field, rule)


def test_a_file_without_a_vmsa_and_options_that_it_cannot_take() -> None:
    refused("igvm", bytes(IgvmWriter()), "VP_CONTEXT", "nothing to start")
    refused("igvm", small(), "load", "says itself", load_address=0)
    refused("igvm", small(), "mode", "says itself", mode=64)


def test_a_machine_without_snp_refuses_the_file(tmp_path: Path) -> None:
    (tmp_path / "f.igvm").write_bytes(small())
    machine = Machine(memory=MEMORY)
    with pytest.raises(ImageError, match="--planes snp"):
        machine.load(str(tmp_path / "f.igvm"))
    assert machine.image is None
