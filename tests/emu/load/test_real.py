"""Images that others made, from the cache that `strata fetch` fills."""

from pathlib import Path

import pytest

from emu.load import load_image
from tests.emu.load.help import check_sane, ram, string, uint
from tools.fetch import find


def fetched(name: str) -> Path:
    path = find(name)
    if path is None:
        pytest.skip(f"{name} is not in the cache: run `strata fetch {name}`")
    return path


@pytest.mark.parametrize("mode", [32, 64])
def test_memtest86(mode: int) -> None:
    image = load_image(fetched("memtest86+"), memory=64 << 20, append="console=ttyS0,115200", mode=mode)
    check_sane(image, 64 << 20)
    assert image.boot.registers["rip"] == 0x100000 + (0x200 if mode == 64 else 0)
    assert string(image, uint(image, image.boot.registers["rsi"] + 0x228, 4)) == b"console=ttyS0,115200"


def test_linux_with_initrd() -> None:
    initrd = fetched("busybox")
    image = load_image(fetched("linux-cloud"), memory=256 << 20, append="console=ttyS0", initrd=initrd)
    check_sane(image, 256 << 20)
    at = uint(image, image.boot.registers["rsi"] + 0x218, 4)
    assert ram(image, at, initrd.stat().st_size) == initrd.read_bytes()


def test_seabios() -> None:
    image = load_image(None, bios=fetched("seabios"), memory=64 << 20)
    assert [(rom.gpa, len(rom.data)) for rom in image.roms] == [(0xE0000, 0x20000), (0xFFFC0000, 0x40000)]
    assert image.roms[1].data[-16] == 0xEA, "a far jump at the reset vector"
