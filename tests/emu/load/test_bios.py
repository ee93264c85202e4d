"""Firmware ROMs: where they are mapped and the processor's reset state (SDM Vol. 3A, table 9-1)."""

import pytest

from emu.load.model import Rom, SegmentRegister
from tests.emu.load.help import load, refused


def test_mapping() -> None:
    data = bytes(range(256)) * 1024  # 256 KiB
    image = load("bios", data)
    assert image.roms == (Rom(0xE0000, data[-0x20000:]), Rom(0xFFFC0000, data))
    assert image.segments == ()
    assert load("bios", bytes(0x10000)).roms == (Rom(0xF0000, bytes(0x10000)), Rom(0xFFFF0000, bytes(0x10000)))


def test_reset_state() -> None:
    boot = load("bios", bytes(0x10000)).boot
    assert boot.registers["rip"] == 0xFFF0 and boot.registers["rflags"] == 2 and boot.registers["cr0"] == 0x60000010
    assert boot.at_reset and "rdx" not in boot.registers
    assert boot.segments["cs"] == SegmentRegister(0xF000, 0xFFFF0000, 0xFFFF, 0x9B)
    for name in ("ds", "es", "fs", "gs", "ss"):
        assert boot.segments[name] == SegmentRegister(0, 0, 0xFFFF, 0x93)
    assert boot.segments["ldtr"] == SegmentRegister(0, 0, 0xFFFF, 0x82)
    assert boot.segments["tr"] == SegmentRegister(0, 0, 0xFFFF, 0x8B)
    assert boot.gdtr == boot.idtr == (0, 0xFFFF)


@pytest.mark.parametrize("size", [0, 1, 0xFFFF, 0x18000, 0x1010000])
def test_size_rules(size: int) -> None:
    refused("bios", bytes(size), "size", "64 KiB")


def test_options() -> None:
    refused("bios", bytes(0x10000), "mode", mode=16)
    refused("bios", bytes(0x10000), "load", load_address=0)
    refused("bios", bytes(0x10000), "append", append="x")
