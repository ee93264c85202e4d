"""82093AA by its datasheet."""

import pytest

from emu.irq.apicbus import ApicMessage
from emu.irq.ioapic import IoApic


class Rig:
    def __init__(self) -> None:
        self.sent: list[ApicMessage] = []
        self.accepts = 1
        self.dev = IoApic(self._send)

    def _send(self, message: ApicMessage) -> int:
        self.sent.append(message)
        return self.accepts

    def write(self, register: int, value: int) -> None:
        self.dev.mmio_write(0, 4, register)
        self.dev.mmio_write(0x10, 4, value)

    def read(self, register: int) -> int:
        self.dev.mmio_write(0, 4, register)
        return self.dev.mmio_read(0x10, 4)

    def entry(self, pin: int, low: int, high: int = 0) -> None:
        self.write(0x11 + 2 * pin, high)
        self.write(0x10 + 2 * pin, low)


@pytest.fixture
def r() -> Rig:
    return Rig()


def test_identification_and_reset(r: Rig) -> None:
    assert r.read(1) == 0x00170011
    r.write(0, 0xFF000000)
    assert r.read(0) == 0x0F000000
    assert r.read(0x10) == 0x10000 and r.read(0x3E) == 0x10000 and r.read(0x40) == 0


def test_edge_message(r: Rig) -> None:
    r.entry(4, 0x931, 0x03000000)
    r.dev.set_irq(4, True)
    r.dev.set_irq(4, True)
    assert r.sent == [ApicMessage(0x31, 1, 3, logical=True)]
    r.dev.set_irq(4, False)
    r.dev.set_irq(4, True)
    assert len(r.sent) == 2


def test_edge_on_a_masked_pin_is_lost(r: Rig) -> None:
    r.dev.set_irq(4, True)
    r.entry(4, 0x31)
    assert r.sent == []


def test_level_sets_remote_irr_until_eoi(r: Rig) -> None:
    r.entry(9, 0x8041)
    r.dev.set_irq(9, True)
    r.dev.set_irq(9, True)
    assert len(r.sent) == 1 and r.sent[0].level_triggered and r.read(0x22) == 0xC041
    r.dev.eoi(0x40)
    assert len(r.sent) == 1
    r.dev.eoi(0x41)
    assert len(r.sent) == 2, "still asserted"
    r.dev.set_irq(9, False)
    r.dev.eoi(0x41)
    assert r.read(0x22) == 0x8041 and len(r.sent) == 2


def test_level_on_a_masked_pin_is_delivered_when_unmasked(r: Rig) -> None:
    r.entry(9, 0x18041)
    r.dev.set_irq(9, True)
    assert r.sent == []
    r.entry(9, 0x8041)
    assert len(r.sent) == 1


def test_level_that_nobody_accepts_is_not_in_service(r: Rig) -> None:
    r.accepts = 0
    r.entry(9, 0x8041)
    r.dev.set_irq(9, True)
    assert r.read(0x22) == 0x8041


def test_read_only_bits_and_switch_to_edge_clears_remote_irr(r: Rig) -> None:
    r.entry(9, 0xFFFFFFFF, 0xFFFFFFFF)
    assert r.read(0x22) == 0x1AFFF and r.read(0x23) == 0xFF000000
    r.entry(9, 0x8041)
    r.dev.set_irq(9, True)
    r.entry(9, 0x41)
    assert r.read(0x22) == 0x41


def test_save_and_load(r: Rig) -> None:
    r.entry(9, 0x8041)
    r.dev.set_irq(9, True)
    other = Rig()
    other.dev.load(r.dev.save())
    other.dev.eoi(0x41)
    assert len(other.sent) == 1


def test_an_iommu_makes_or_refuses_an_entrys_message(r: Rig) -> None:
    other = ApicMessage(0x77, destination=9)
    seen: list[int] = []
    r.dev.remap = lambda entry: seen.append(entry) or (other if entry & 0xFF == 0x41 else None)
    r.entry(3, 0x41)
    r.dev.set_irq(3, True)
    r.entry(4, 0x8042)
    r.dev.set_irq(4, True)
    assert r.sent == [other] and seen == [0x41, 0x8042]
    assert r.read(0x18) == 0x8042, "no remote IRR for what nobody took"
