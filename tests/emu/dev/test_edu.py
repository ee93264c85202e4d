"""The educational device by QEMU's docs/specs/edu."""

import pytest

from emu.dev.edu import Edu
from tests.fakes.ram import Ram


class Rig(Ram):
    def __init__(self) -> None:
        super().__init__(0x10000)
        self.line, self.messages, self.reports = False, list[tuple[int, int]](), list[str]()
        self.dev = Edu(self.read, self.write, self._drive, lambda at, data: self.messages.append((at, data)),
                       self.reports.append)
        self.dev.write(0x04, 2, 0x6)                    # memory, bus master

    def _drive(self, level: bool) -> None:
        self.line = level

    def dma(self, source: int, target: int, count: int, command: int) -> None:
        for at, value in ((0x80, source), (0x88, target), (0x90, count)):
            self.dev.mmio_write(at, 8, value)
        self.dev.mmio_write(0x98, 4, command)


@pytest.fixture
def r() -> Rig:
    return Rig()


def test_identification_and_liveness(r: Rig) -> None:
    assert r.dev.read(0, 4) == 0x11E81234 and r.dev.mmio_read(0, 4) == 0x010000ED
    r.dev.mmio_write(4, 4, 0x12345678)
    assert r.dev.mmio_read(4, 4) == 0xEDCBA987
    assert r.dev.mmio_read(4, 2) == 0xFFFF and r.dev.mmio_read(4, 8) == (1 << 64) - 1


@pytest.mark.parametrize(("number", "factorial"), ((0, 1), (5, 120), (13, 6227020800 & 0xFFFFFFFF), (1 << 31, 0)))
def test_factorial(r: Rig, number: int, factorial: int) -> None:
    r.dev.mmio_write(8, 4, number)
    assert r.dev.mmio_read(8, 4) == factorial and not r.line
    r.dev.mmio_write(0x20, 4, 0x80)
    r.dev.mmio_write(8, 4, number)
    assert r.line and r.dev.mmio_read(0x24, 4) == 1 and r.dev.mmio_read(0x20, 4) == 0x80


def test_interrupts_by_pin_and_by_message(r: Rig) -> None:
    r.dev.mmio_write(0x60, 4, 0x30)
    r.dev.mmio_write(0x64, 4, 0x10)
    assert r.line and r.dev.mmio_read(0x24, 4) == 0x20
    r.dev.mmio_write(0x64, 4, 0x20)
    assert not r.line
    assert r.dev.read(0x34, 1) == 0x40 and r.dev.read(0x40, 2) == 5 and r.dev.read(0x42, 2) == 0x80
    for at, size, value in ((0x44, 4, 0xFEE00003), (0x48, 4, 1), (0x4C, 2, 0x41), (0x42, 2, 1)):
        r.dev.write(at, size, value)
    r.dev.mmio_write(0x60, 4, 1)
    assert r.messages == [(0x1_FEE00000, 0x41)] and not r.line


def test_dma_both_ways(r: Rig) -> None:
    r.ram[0x100:0x104] = b"abcd"
    r.dma(0x100, 0x40010, 4, 1)
    r.dma(0x40010, 0x200, 4, 3 | 4)
    assert r.ram[0x200:0x204] == b"abcd" and r.dev.mmio_read(0x24, 4) == 0x100 and r.dev.mmio_read(0x98, 4) == 6
    other = Rig()
    other.dev.load(r.dev.save())
    other.dma(0x40010, 0x300, 4, 3)
    assert other.ram[0x300:0x304] == b"abcd" and other.line


@pytest.mark.parametrize(("source", "target", "count", "command"), (
    (0x100, 0x40FFE, 4, 1), (0x100, 0x3FFFF, 4, 1), (0xFFFE, 0x40000, 4, 1), (0x40000, 0x20000, 4, 3),
    (0x100, 0x40000, 1 << 63, 1)))
def test_dma_that_cannot_be_is_reported(r: Rig, source: int, target: int, count: int, command: int) -> None:
    r.dma(source, target, count, command)
    assert r.reports and not any(r.ram) and r.dev.mmio_read(0x98, 4) & 1 == 0


def test_dma_wants_bus_mastering(r: Rig) -> None:
    r.dev.write(0x04, 2, 2)
    r.ram[0] = 1
    r.dma(0, 0x40000, 4, 1)
    assert "bus mastering" in r.reports[0]
