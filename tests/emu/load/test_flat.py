"""Flat binaries in each mode."""

import pytest

from emu.load.model import Segment
from tests.emu.load.help import load, refused, walk


@pytest.mark.parametrize(("address", "cs", "ip"), [(0x7C00, 0, 0x7C00), (0x10000, 0x1000, 0), (0x12345, 0x1234, 5)])
def test_real_mode(address: int, cs: int, ip: int) -> None:
    image = load("flat", b"\xf4" * 512, load_address=address, mode=16)
    boot = image.boot
    assert Segment(address, b"\xf4" * 512, 512) in image.segments
    assert boot.registers["rip"] == ip and boot.registers["cr0"] & 1 == 0
    register = boot.segments["cs"]
    assert (register.selector, register.base, register.limit, register.attributes) == (cs, cs << 4, 0xFFFF, 0x9B)
    assert boot.segments["ds"].base == cs << 4
    stack = boot.segments["ss"].base + boot.registers["rsp"]
    assert boot.segments["ss"].base == boot.segments["ss"].selector << 4 and stack <= 0xA0000
    assert boot.idtr == (0, 0xFFFF)


def test_protected_and_long_mode() -> None:
    for mode, attributes in ((32, 0xC09B), (64, 0xA09B)):
        image = load("flat", b"\xf4", load_address=0x100000, mode=mode)
        assert image.boot.registers["rip"] == 0x100000
        assert image.boot.segments["cs"].attributes == attributes
    assert walk(image, 0xFEE00000) == 0xFEE00000


def test_rules() -> None:
    refused("flat", b"x", "load", "--load", mode=16)
    refused("flat", b"x", "mode", "--mode", load_address=0)
    refused("flat", b"x", "mode", "--mode", load_address=0, mode=8)
    refused("flat", b"", "file", "empty", load_address=0, mode=16)
    refused("flat", b"x", "load", "1 MiB", load_address=0x100000, mode=16)
    refused("flat", b"x", "load", "RAM", load_address=-1, mode=32)
    refused("flat", b"xx", "load", "RAM", load_address=0x3FFFFFF, mode=64)
    refused("flat", b"x", "append", append="y", load_address=0, mode=16)
