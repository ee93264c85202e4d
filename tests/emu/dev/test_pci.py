"""PCI configuration, the host bridge, the south bridge."""

import pytest

from emu.dev.i440fx import HostBridge, ShadowSegment
from emu.dev.pci import PciBus
from emu.dev.pci_function import PciFunction
from emu.dev.piix import IsaBridge, PowerManagement


class Rig:
    def __init__(self) -> None:
        self.resets = 0
        self.shadow: list[list[ShadowSegment]] = []
        self.smram: list[int] = []
        self.pm: list[int | None] = []
        self.smbus: list[int | None] = []
        self.pci = PciBus(self._reset)
        self.pci.add(0, 0, HostBridge(self.shadow.append, self.smram.append))
        self.pci.add(1, 0, IsaBridge())
        self.pci.add(1, 3, PowerManagement(self.pm.append, self.smbus.append))
        self.extra = PciFunction(0x1234, 0x5678, 0x020000)
        self.extra.add_bar(0, 0x1000)
        self.extra.add_bar(1, 0x20, 1)
        self.pci.add(5, 0, self.extra)
        self.pci.reset()

    def _reset(self) -> None:
        self.resets += 1

    def address(self, dev: int, fn: int, offset: int) -> None:
        self.pci.port_write(0xCF8, 4, 1 << 31 | dev << 11 | fn << 8 | offset & 0xFC)

    def read(self, dev: int, fn: int, offset: int, size: int) -> int:
        self.address(dev, fn, offset)
        return self.pci.port_read(0xCFC + (offset & 3), size)

    def write(self, dev: int, fn: int, offset: int, size: int, value: int) -> None:
        self.address(dev, fn, offset)
        self.pci.port_write(0xCFC + (offset & 3), size, value)


@pytest.fixture
def r() -> Rig:
    return Rig()


def test_ids_and_empty_places(r: Rig) -> None:
    assert r.read(0, 0, 0, 4) == 0x12378086
    assert r.read(1, 0, 0, 4) == 0x70008086 and r.read(1, 0, 0x0E, 1) == 0x80
    assert r.read(1, 3, 2, 2) == 0x7113
    assert r.read(2, 0, 0, 4) == 0xFFFFFFFF and r.read(1, 1, 0, 2) == 0xFFFF
    assert r.read(0, 0, 0x2C, 4) == 0x11001AF4


def test_the_addresss_low_bits_choose_bytes_too(r: Rig) -> None:
    """They read as 0; QEMU takes them all the same, and so does software that ran on nothing else."""
    r.pci.port_write(0xCF8, 4, 1 << 31 | 1 << 11 | 2)
    assert r.pci.port_read(0xCF8, 4) == 1 << 31 | 1 << 11
    assert r.pci.port_read(0xCFC, 2) == 0x7000 and r.pci.port_read(0xCFE, 2) == 0x7000
    assert r.pci.port_read(0xCFC, 4) == 0xFFFFFFFF, "across the doubleword's end"


def test_address_register(r: Rig) -> None:
    r.pci.port_write(0xCF8, 4, 0xFFFFFFFF)
    assert r.pci.port_read(0xCF8, 4) == 0x80FFFFFC
    r.pci.port_write(0xCF8, 4, 0)
    assert r.pci.port_read(0xCFC, 4) == 0xFFFFFFFF, "not enabled"
    r.pci.port_write(0xCF8, 4, 1 << 31 | 1 << 16)
    assert r.pci.port_read(0xCFC, 4) == 0xFFFFFFFF, "bus 1"


def test_ids_are_read_only_and_bars_size(r: Rig) -> None:
    r.write(5, 0, 0, 4, 0)
    assert r.read(5, 0, 0, 4) == 0x56781234
    r.write(5, 0, 0x10, 4, 0xFFFFFFFF)
    r.write(5, 0, 0x14, 4, 0xFFFFFFFF)
    r.write(5, 0, 0x18, 4, 0xFFFFFFFF)
    assert [r.read(5, 0, 0x10 + 4 * i, 4) for i in range(3)] == [0xFFFFF000, 0xFFFFFFE1, 0]


def test_bar_is_decoded_when_the_command_register_says_so() -> None:
    fn = PciFunction(1, 2, 0)
    fn.add_bar(0, 0x1000)
    fn.set_register(0x04, 2, 0, 7)
    fn.write(0x10, 4, 0xFEB00000)
    assert fn.bar(0) is None
    fn.write(0x04, 2, 2)
    assert fn.bar(0) == 0xFEB00000
    with pytest.raises(ValueError):
        fn.add_bar(1, 0x1001)


def test_places_are_checked(r: Rig) -> None:
    with pytest.raises(ValueError, match="taken"):
        r.pci.add(0, 0, PciFunction(1, 2, 0))
    with pytest.raises(ValueError, match="no such place"):
        r.pci.add(32, 0, PciFunction(1, 2, 0))


def test_pam_maps_shadow_ram(r: Rig) -> None:
    assert not any(s.read_ram or s.write_ram for s in r.shadow[-1])
    assert sum(s.size for s in r.shadow[-1]) == 0x40000 and r.shadow[-1][0].base == 0xC0000
    r.write(0, 0, 0x59, 1, 0x30)
    assert r.shadow[-1][12] == ShadowSegment(0xF0000, 0x10000, True, True)
    r.write(0, 0, 0x5A, 1, 0x21)
    assert r.shadow[-1][0] == ShadowSegment(0xC0000, 0x4000, True, False)
    assert r.shadow[-1][1] == ShadowSegment(0xC4000, 0x4000, False, True)
    count = len(r.shadow)
    r.write(0, 0, 0x50, 1, 0x30)
    assert len(r.shadow) == count


def test_smram_lock(r: Rig) -> None:
    r.write(0, 0, 0x72, 1, 0x4A)
    assert r.read(0, 0, 0x72, 1) == 0x4A and r.smram[-1] == 0x4A
    r.write(0, 0, 0x72, 1, 0x1A)
    r.write(0, 0, 0x72, 1, 0x4A)
    assert r.read(0, 0, 0x72, 1) == 0x1A
    r.pci.reset()
    assert r.read(0, 0, 0x72, 1) == 0x02


def test_pirq_routing_registers() -> None:
    bridge = IsaBridge()
    assert bridge.pirq_route(0) is None
    bridge.write(0x60, 1, 0x0B)
    assert bridge.pirq_route(0) == 11


def test_power_management_base(r: Rig) -> None:
    r.write(1, 3, 0x40, 4, 0x601)
    assert r.pm[-1] is None
    r.write(1, 3, 0x80, 1, 1)
    assert r.pm[-1] == 0x600
    r.write(1, 3, 0x90, 4, 0x701)
    r.write(1, 3, 0xD2, 1, 0x09)
    assert r.smbus[-1] == 0x700
    assert not r.read(1, 3, 0x5B, 1) & 0x02, "SMIs are for firmware to enable"


def test_reset_control_register(r: Rig) -> None:
    r.pci.port_write(0xCF9, 1, 0x02)
    assert r.resets == 0
    r.pci.port_write(0xCF9, 1, 0x06)
    assert r.resets == 1 and r.pci.port_read(0xCF9, 1) == 0x06


def test_save_and_load(r: Rig) -> None:
    r.write(0, 0, 0x59, 1, 0x30)
    r.write(1, 3, 0x40, 4, 0x601)
    r.write(1, 3, 0x80, 1, 1)
    other = Rig()
    other.pci.load(r.pci.save())
    assert other.pci.save() == r.pci.save()
    assert other.shadow[-1] == r.shadow[-1] and other.pm[-1] == 0x600
