"""load_image: finding the kind, reading files, and failures that are the user's to mend."""

import gzip
import os
from pathlib import Path

import pytest

from emu.load import ImageError, load_image
from emu.load.files import read_modules, unpacked
from emu.load.sniff import sniff
from tests.emu.load import build


@pytest.mark.parametrize(("data", "kind"), [
    (build.elf(), "elf"), (build.elf(32), "elf"), (build.multiboot_elf(), "multiboot"),
    (build.multiboot_flat(), "multiboot"), (build.multiboot2_elf(), "multiboot2"), (build.pvh(), "pvh"),
    (build.linux(), "linux")])
def test_kind_is_found(tmp_path: Path, data: bytes, kind: str) -> None:
    (tmp_path / "f").write_bytes(data)
    assert sniff("f", data) == kind
    assert load_image(tmp_path / "f", memory=build.MEMORY).kind == kind


def test_a_gzip_file_is_what_it_holds(tmp_path: Path) -> None:
    """As GRUB takes Debian's Xen (RFC 1952)."""
    packed = gzip.compress(build.multiboot2_elf())
    (tmp_path / "f").write_bytes(packed)
    assert load_image(tmp_path / "f", memory=build.MEMORY).kind == "multiboot2"
    for damaged, rule in ((packed[:-9], "end early"), (packed[:10] + b"\xff" * 40, "damaged"),
                          (packed[:-6] + bytes(6), "damaged")):
        (tmp_path / "f").write_bytes(damaged)
        with pytest.raises(ImageError, match=f"gzip: .*{rule}"):
            load_image(tmp_path / "f", memory=build.MEMORY)
    with pytest.raises(ImageError, match="gzip: unpacks to more than 1000 bytes"):
        unpacked("f", gzip.compress(bytes(1001)), 1000)


def test_kind_can_be_forced(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(build.multiboot_elf())
    assert load_image(tmp_path / "f", kind="elf", memory=build.MEMORY).kind == "elf"
    with pytest.raises(ImageError, match="kind: 'coff' is not one of"):
        load_image(tmp_path / "f", kind="coff", memory=build.MEMORY)


def test_a_load_address_means_flat_or_a_movable_elf(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(build.linux())
    assert load_image(tmp_path / "f", load_address=0x7C00, mode=16, memory=build.MEMORY).kind == "flat"
    (tmp_path / "e").write_bytes(build.elf(kind=3))
    assert load_image(tmp_path / "e", load_address=0x400000, memory=build.MEMORY).boot.registers["rip"] == 0x400000


def test_unknown_kind_says_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello")
    with pytest.raises(ImageError, match="f: kind: .*--load and --mode"):
        load_image(tmp_path / "f", memory=build.MEMORY)


def test_firmware_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "rom").write_bytes(bytes(0x10000))
    assert load_image(None, bios=tmp_path / "rom", memory=build.MEMORY).kind == "bios"
    with pytest.raises(ImageError, match="bios: "):
        load_image(tmp_path / "rom", bios=tmp_path / "rom", memory=build.MEMORY)
    with pytest.raises(ImageError, match="none given"):
        load_image(None, memory=build.MEMORY)


def test_unreadable_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in (tmp_path, tmp_path / "none", tmp_path / "fifo", "/dev/zero", "a\0b", "x" * 5000, "a\nb\x1b[31m", ""):
        with pytest.raises(ImageError) as caught:
            load_image(name, memory=build.MEMORY)
        assert caught.value.field == "file" and str(caught.value).isprintable()


def test_a_huge_sparse_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ImageError, match="at most"):
        load_image(tmp_path / "huge", memory=build.MEMORY)
    (tmp_path / "k").write_bytes(build.linux())
    with pytest.raises(ImageError, match="huge: initrd: .*at most"):
        load_image(tmp_path / "k", initrd=tmp_path / "huge", memory=build.MEMORY)


def test_modules_are_comma_separated_with_arguments(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"A")
    (tmp_path / "b,c").write_bytes(b"BC")
    first, second = read_modules(f"{tmp_path}/a x=1 y,{tmp_path}/b,,c", build.MEMORY)
    assert (first.data, first.text) == (b"A", f"{tmp_path}/a x=1 y")
    assert (second.data, second.path) == (b"BC", f"{tmp_path}/b,c")
    with pytest.raises(ImageError, match="initrd"):
        read_modules(f"{tmp_path}/b,,c", 1)


def test_a_linux_initrd_is_one_file_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(build.linux())
    (tmp_path / "a b,c").write_bytes(b"RD")
    image = load_image(tmp_path / "k", initrd=tmp_path / "a b,c", memory=build.MEMORY)
    assert any(s.data == b"RD" for s in image.segments)


def test_bytes_that_are_not_unicode_reach_the_guest_unchanged(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(build.linux())
    image = load_image(tmp_path / "k", append=os.fsdecode(b"x=\xff"), memory=build.MEMORY)
    assert any(s.data == b"x=\xff\0" for s in image.segments)
