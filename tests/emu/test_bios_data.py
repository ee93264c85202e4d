"""The BIOS data area that kernels find (IBM, "PS/2 and PC BIOS Interface Technical Reference", section 3)."""

from emu import bios_data
from emu.load.model import Segment
from emu.mem.ram import PhysicalMemory
from tests.emu.load import build
from tests.emu.test_firmware_state import started


def word(memory, at):
    return int.from_bytes(memory.read(at, 2), "little")


def test_kernels_find_the_top_of_conventional_memory_and_the_devices(tmp_path):
    machine, _ = started(tmp_path, build.linux())
    memory = machine.memory
    assert word(memory, 0x413) == 639 and word(memory, 0x40E) == 0x9FC0
    assert memory.read(0x9FC00, 1) == b"\x01"
    assert [word(memory, 0x400 + 2 * n) for n in range(4)] == [0x3F8, 0, 0, 0]
    assert word(memory, 0x410) >> 9 & 7 == 1                               # serial ports
    assert memory.read(0x449, 1) == b"\x03" and word(memory, 0x44A) == 80 and word(memory, 0x463) == 0x3D4
    assert word(memory, 0x41A) == word(memory, 0x41C) == word(memory, 0x480) == 0x1E and word(memory, 0x482) == 0x3E


def test_little_memory_is_told():
    assert int.from_bytes(bios_data.bios_data(256 << 10)[0x13:0x15], "little") == 256


def test_an_image_keeps_what_it_has_there():
    memory = PhysicalMemory(1 << 20)
    memory.add_ram(0, 1 << 20)
    bios_data.leave(memory, 1 << 20, (Segment(0, bytes(0x401), 0x401),))
    assert memory.read(0x400, 0x100) == bytes(0x100)
    assert memory.read(0x9FC00, 1) == b"\x01"
