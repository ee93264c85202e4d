"""The 8259A pair by its datasheet."""

import pytest

from emu.irq.pic import PicPair


class Rig:
    def __init__(self) -> None:
        self.int = False
        self.reports: list[str] = []
        self.pic = PicPair(self._output, self.reports.append)

    def _output(self, level: bool) -> None:
        self.int = level

    def out(self, port: int, *values: int) -> None:
        for value in values:
            self.pic.port_write(port, 1, value)

    def inb(self, port: int) -> int:
        return self.pic.port_read(port, 1)

    def initialise(self, master_icw4: int = 1, slave_icw4: int = 1) -> None:
        self.out(0x20, 0x11)
        self.out(0x21, 0x20, 0x04, master_icw4)
        self.out(0xA0, 0x11)
        self.out(0xA1, 0x28, 0x02, slave_icw4)

    def pulse(self, line: int) -> None:
        self.pic.set_irq(line, False)
        self.pic.set_irq(line, True)

    def status(self, port: int, ocw3: int) -> int:
        self.out(port, ocw3)
        return self.inb(port)

    def isr(self) -> int:
        return self.status(0x20, 0x0B) | self.status(0xA0, 0x0B) << 8

    def irr(self) -> int:
        return self.status(0x20, 0x0A) | self.status(0xA0, 0x0A) << 8


@pytest.fixture
def p() -> Rig:
    rig = Rig()
    rig.initialise()
    return rig


def test_silent_until_initialised() -> None:
    rig = Rig()
    rig.pulse(3)
    assert not rig.int
    rig.out(0x21, 0xFB)
    assert rig.inb(0x21) == 0xFB, "the mask register works before"


def test_vector_isr_and_eoi(p: Rig) -> None:
    p.pulse(4)
    assert p.int and p.irr() == 0x10
    assert p.pic.acknowledge() == 0x24
    assert not p.int and p.isr() == 0x10 and p.irr() == 0
    p.out(0x20, 0x20)
    assert p.isr() == 0 and not p.int, "an edge is served once"


def test_slave_goes_through_the_cascade(p: Rig) -> None:
    p.pulse(12)
    assert p.int and p.pic.acknowledge() == 0x2C
    assert p.isr() == 0x1004
    p.out(0xA0, 0x20)
    p.out(0x20, 0x20)
    assert p.isr() == 0


def test_priority_and_nesting(p: Rig) -> None:
    p.pulse(5)
    p.pulse(3)
    assert p.pic.acknowledge() == 0x23
    assert not p.int, "5 is below 3 in service"
    p.pulse(0)
    assert p.int and p.pic.acknowledge() == 0x20
    p.out(0x20, 0x20)
    assert p.isr() == 0x08, "non-specific EOI ends the highest"
    p.out(0x20, 0x20)
    assert p.int and p.pic.acknowledge() == 0x25


def test_mask(p: Rig) -> None:
    p.out(0x21, 0x10)
    p.pulse(4)
    assert not p.int and p.irr() == 0x10
    p.out(0x21, 0x00)
    assert p.int


def test_spurious_master_sets_no_isr(p: Rig) -> None:
    p.pulse(4)
    p.pic.set_irq(4, False)
    assert not p.int
    assert p.pic.acknowledge() == 0x27 and p.isr() == 0


def test_spurious_slave_sets_the_cascade_isr_only() -> None:
    # The request is withdrawn in the middle of the sequence: only the slave can tell.
    p = Rig()
    p.initialise()
    p.pulse(10)
    p.pic._slave.set_line(2, False)
    assert p.pic.acknowledge() == 0x2F
    assert p.isr() == 0x0004


def test_level_triggered_by_elcr(p: Rig) -> None:
    p.out(0x4D0, 0xFF)
    p.out(0x4D1, 0xFF)
    assert (p.inb(0x4D0), p.inb(0x4D1)) == (0xF8, 0xDE)
    p.pic.set_irq(10, True)
    assert p.pic.acknowledge() == 0x2A
    p.out(0xA0, 0x20)
    p.out(0x20, 0x20)
    assert p.int, "still asserted"
    p.pic.set_irq(10, False)
    assert not p.int


def test_edge_needs_a_new_edge_after_icw1(p: Rig) -> None:
    p.pulse(4)
    p.initialise()
    assert not p.int and p.irr() == 0
    p.pulse(4)
    assert p.int


def test_icw1_clears_mask_and_isr(p: Rig) -> None:
    p.out(0x21, 0x55)
    p.pulse(1)
    p.pic.acknowledge()
    p.initialise()
    assert p.inb(0x21) == 0 and p.isr() == 0


def test_automatic_eoi_and_rotation_in_it() -> None:
    p = Rig()
    p.initialise(master_icw4=3)
    p.pulse(3)
    p.pic.acknowledge()
    assert p.isr() == 0
    p.out(0x20, 0x80)
    p.pulse(3)
    p.pic.acknowledge()
    p.pulse(3)
    p.pulse(5)
    assert p.pic.acknowledge() == 0x25, "3 became the lowest"


def test_second_slave_request_under_slave_aeoi() -> None:
    p = Rig()
    p.initialise(slave_icw4=3)
    p.pulse(9)
    p.pulse(11)
    assert p.pic.acknowledge() == 0x29
    assert not p.int
    p.out(0x20, 0x20)
    assert p.int and p.pic.acknowledge() == 0x2B


def test_specific_eoi_and_rotation(p: Rig) -> None:
    for line in (1, 0):
        p.pulse(line)
        p.pic.acknowledge()
    p.out(0x20, 0x61)
    assert p.isr() == 0x01
    p.out(0x20, 0xA0)
    assert p.isr() == 0
    p.pulse(0)
    p.pulse(7)
    assert p.pic.acknowledge() == 0x27, "rotate on non-specific EOI made 0 the lowest"


def test_set_priority(p: Rig) -> None:
    p.out(0x20, 0xC0 | 4)
    p.pulse(0)
    p.pulse(5)
    assert p.pic.acknowledge() == 0x25


def test_rotate_on_specific_eoi(p: Rig) -> None:
    p.pulse(2 + 1)
    p.pic.acknowledge()
    p.out(0x20, 0xE0 | 3)
    p.pulse(3)
    p.pulse(4)
    assert p.isr() == 0 and p.pic.acknowledge() == 0x24


def test_special_mask_mode(p: Rig) -> None:
    p.pulse(1)
    p.pic.acknowledge()
    p.pulse(6)
    assert not p.int
    p.out(0x21, 0x02)
    p.out(0x20, 0x68)
    assert p.int and p.pic.acknowledge() == 0x26
    p.out(0x20, 0x20)
    assert p.isr() == 0x02, "the masked level is not ended by a non-specific EOI"


def test_special_fully_nested_mode() -> None:
    p = Rig()
    p.initialise(master_icw4=0x11)
    p.pulse(12)
    p.pic.acknowledge()
    p.pulse(9)
    assert p.int and p.pic.acknowledge() == 0x29


def test_without_it_a_higher_slave_request_waits(p: Rig) -> None:
    p.pulse(12)
    p.pic.acknowledge()
    p.pulse(9)
    assert not p.int


def test_poll(p: Rig) -> None:
    p.pulse(6)
    assert p.status(0x20, 0x0C) == 0x86
    assert p.isr() == 0x40
    p.out(0x20, 0x20)
    assert p.status(0x20, 0x0C) == 0


def test_bad_line(p: Rig) -> None:
    with pytest.raises(ValueError):
        p.pic.set_irq(2, True)


def test_8085_mode_is_reported(p: Rig) -> None:
    p.initialise(master_icw4=0)
    assert len(p.reports) == 1


def test_save_and_load(p: Rig) -> None:
    p.pulse(3)
    p.pic.acknowledge()
    p.pulse(9)
    p.pulse(1)
    other = Rig()
    other.pic.load(p.pic.save())
    assert other.int and other.pic.acknowledge() == 0x21
    assert other.pic.save()["slave"] == p.pic.save()["slave"]
