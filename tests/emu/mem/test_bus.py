"""The bus: dispatch, ISA splitting of wide accesses, overlap errors, one report per unclaimed address."""

import pytest

from emu.mem.bus import Bus


class Recorder:
    def __init__(self, width: int = 1) -> None:
        self.port_width = width
        self.log: list[tuple] = []

    def port_read(self, port: int, size: int) -> int:
        self.log.append(("r", port, size))
        return int.from_bytes(bytes((port + i) & 0xFF for i in range(size)), "little")

    def port_write(self, port: int, size: int, value: int) -> None:
        self.log.append(("w", port, size, value))

    def mmio_read(self, offset: int, size: int) -> int:
        self.log.append(("r", offset, size))
        return int.from_bytes(bytes((offset + i) & 0xFF for i in range(size)), "little")

    def mmio_write(self, offset: int, size: int, value: int) -> None:
        self.log.append(("w", offset, size, value))


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def bus(reports: list[str]) -> Bus:
    return Bus(reports.append)


def test_wide_access_to_8_bit_device_is_split(bus: Bus) -> None:
    dev = Recorder()
    bus.add_ports(0x60, 4, dev, "dev")
    assert bus.port_read(0x60, 4) == 0x63626160
    bus.port_write(0x61, 2, 0x1234)
    assert dev.log[-2:] == [("w", 0x61, 1, 0x34), ("w", 0x62, 1, 0x12)]


def test_wide_device_gets_the_access_whole(bus: Bus) -> None:
    dev = Recorder(4)
    bus.add_ports(0xCF8, 4, dev, "pci")
    bus.port_write(0xCF8, 4, 0x1_8000_0000)
    assert dev.log == [("w", 0xCF8, 4, 0x8000_0000)]


def test_16_bit_device_takes_a_dword_as_two_words(bus: Bus) -> None:
    dev = Recorder(2)
    bus.add_ports(0x100, 4, dev, "dev")
    bus.port_read(0x100, 4)
    assert dev.log == [("r", 0x100, 2), ("r", 0x102, 2)]


def test_unclaimed_port_reads_ones_and_is_reported_once(bus: Bus, reports: list[str]) -> None:
    assert bus.port_read(0x1234, 1) == 0xFF
    assert bus.port_read(0x1234, 1) == 0xFF
    bus.port_write(0x1234, 1, 5)
    assert len(reports) == 1 and "0x1234" in reports[0]
    assert bus.port_read(0xFFFF, 4) == 0xFFFFFFFF


def test_overlap_is_an_error_and_claims_nothing(bus: Bus) -> None:
    bus.add_ports(0x20, 2, Recorder(), "pic")
    with pytest.raises(ValueError, match="0x20.*pic"):
        bus.add_ports(0x1F, 2, Recorder(), "other")
    assert bus.ports_free(0x1F, 1)
    with pytest.raises(ValueError):
        bus.add_ports(0xFFFF, 2, Recorder(), "beyond")


def test_removed_ports_can_be_claimed_again(bus: Bus) -> None:
    bus.add_ports(0x600, 64, Recorder(), "pm")
    bus.remove_ports(0x600, 64)
    bus.add_ports(0x620, 4, Recorder(), "new")


def test_mmio_dispatch_uses_offsets(bus: Bus) -> None:
    dev = Recorder()
    bus.add_mmio(0xFEE00000, 0x1000, dev, "lapic")
    assert bus.mmio_read(0xFEE00020, 4) == 0x23222120
    bus.mmio_write(0xFEE000B0, 8, (1 << 64) + 7)
    assert dev.log[-1] == ("w", 0xB0, 8, 7)


def test_mmio_access_across_a_window_edge_is_split(bus: Bus, reports: list[str]) -> None:
    bus.add_mmio(0x1000, 0x10, Recorder(), "dev")
    assert bus.mmio_read(0x100E, 4) == 0xFFFF0F0E
    assert bus.mmio_read(0x0FFE, 4) == 0x0100FFFF
    assert len(reports) == 2


@pytest.mark.parametrize("base,size", [(0x1800, 0x1000), (0x800, 0x1000), (0, 0x8000), (0x1FFF, 1)])
def test_mmio_overlap_is_an_error(bus: Bus, base: int, size: int) -> None:
    bus.add_mmio(0x1000, 0x1000, Recorder(), "dev")
    with pytest.raises(ValueError, match="overlaps dev"):
        bus.add_mmio(base, size, Recorder(), "other")


def test_unclaimed_mmio_is_reported_once_a_page(bus: Bus, reports: list[str]) -> None:
    assert bus.mmio_read(0xFED00000, 8) == (1 << 64) - 1
    bus.mmio_write(0xFED00010, 4, 1)
    assert len(reports) == 1
    bus.mmio_read(0xFED01000, 4)
    assert len(reports) == 2


def test_remove_mmio(bus: Bus, reports: list[str]) -> None:
    bus.add_mmio(0x1000, 0x1000, Recorder(), "dev")
    bus.remove_mmio(0x1000)
    assert bus.mmio_windows() == []
    with pytest.raises(KeyError):
        bus.remove_mmio(0x1000)


def test_a_guest_gone_astray_is_named_once(bus: Bus, reports: list[str]) -> None:
    for page in range(300):
        bus.mmio_read(0x8000_0000 + 0x1000 * page, 4)
    assert len(reports) == 101 and "seems lost" in reports[-1]
