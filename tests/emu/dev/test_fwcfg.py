"""fw_cfg by QEMU's specification."""

import struct

import pytest

from emu.dev.fwcfg import FwCfg, e820_table


class Rig:
    def __init__(self) -> None:
        self.ram = bytearray(0x20000)
        self.reports: list[str] = []
        self.dev = FwCfg(self._read, self._write, self.reports.append)

    def _read(self, gpa: int, size: int) -> bytes:
        if gpa + size > len(self.ram):
            raise ValueError("outside RAM")
        return bytes(self.ram[gpa : gpa + size])

    def _write(self, gpa: int, data: bytes) -> None:
        if gpa + len(data) > len(self.ram):
            raise ValueError("outside RAM")
        self.ram[gpa : gpa + len(data)] = data

    def item(self, key: int, size: int) -> bytes:
        self.dev.port_write(0x510, 2, key)
        return bytes(self.dev.port_read(0x511, 1) for _ in range(size))

    def dma(self, control: int, length: int, address: int) -> int:
        self.ram[0x100:0x110] = struct.pack(">IIQ", control, length, address)
        self.dev.port_write(0x514, 4, 0)
        self.dev.port_write(0x518, 4, int.from_bytes(struct.pack(">I", 0x100), "little"))
        return struct.unpack(">I", self.ram[0x100:0x104])[0]


@pytest.fixture
def f() -> Rig:
    return Rig()


def test_signature_and_id(f: Rig) -> None:
    assert f.item(0, 6) == b"QEMU\0\0", "zeros beyond the end"
    assert f.item(1, 4) == b"\3\0\0\0"
    assert f.item(0x7777, 2) == b"\0\0"


def test_integers_are_little_endian(f: Rig) -> None:
    f.dev.set_int(3, 0x1234, 8)
    assert f.item(3, 8) == struct.pack("<Q", 0x1234)


def test_file_directory(f: Rig) -> None:
    f.dev.add_file("etc/e820", e820_table([(0, 0x1000, 1)]))
    f.dev.add_file("bootorder", b"x")
    f.dev.add_file("etc/e820", e820_table([(0, 0x2000, 1)]))
    directory = f.item(0x19, 4 + 128)
    assert struct.unpack(">I", directory[:4])[0] == 2
    entries = [struct.unpack(">IHH56s", directory[4 + 64 * i : 68 + 64 * i]) for i in range(2)]
    assert [e[3].rstrip(b"\0") for e in entries] == [b"bootorder", b"etc/e820"]
    size, key, reserved, _ = entries[1]
    assert (size, reserved) == (20, 0) and f.item(key, 20) == struct.pack("<QQI", 0, 0x2000, 1)


def test_dma_signature(f: Rig) -> None:
    raw = f.dev.port_read(0x514, 4).to_bytes(4, "little") + f.dev.port_read(0x518, 4).to_bytes(4, "little")
    assert raw == b"QEMU CFG"


def test_dma_select_read_skip(f: Rig) -> None:
    f.dev.add_file("opt/x", bytes(range(64)))
    assert f.dma(0x20 << 16 | 8 | 2, 4, 0x1000) == 0
    assert f.ram[0x1000:0x1004] == bytes(range(4))
    assert f.dma(4, 10, 0) == 0
    assert f.dma(2, 100, 0x2000) == 0
    assert f.ram[0x2000:0x2064] == bytes(range(14, 64)) + bytes(50)


def test_dma_errors(f: Rig) -> None:
    assert f.dma(16, 4, 0x1000) == 1, "items are read-only"
    assert f.dma(2, 0xFFFFFFFF, 0x1000) == 1, "runs off the end of RAM"
    f.dev.port_write(0x518, 4, 0xFFFFFFFF)
    assert len(f.reports) == 1 and "0xffffffff" in f.reports[0]


def test_bad_items_are_refused(f: Rig) -> None:
    with pytest.raises(ValueError):
        f.dev.set_item(0x20, b"")
    with pytest.raises(ValueError):
        f.dev.add_file("x" * 56, b"")
    with pytest.raises(ValueError):
        f.dev.add_file("é", b"")


def test_save_and_load(f: Rig) -> None:
    f.item(0, 2)
    other = Rig()
    other.dev.load(f.dev.save())
    assert other.dev.port_read(0x511, 1) == ord("M")
