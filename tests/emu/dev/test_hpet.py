"""The event timers by the IA-PC HPET specification 1.0a."""

import pytest

from emu.clock import Clock
from emu.dev.hpet import Hpet

CONFIGURATION, STATUS, COUNTER = 0x10, 0x20, 0xF0
T0, T1, T2 = 0x100, 0x120, 0x140
ENABLE, LEGACY = 1, 2
LEVEL, INTERRUPTS, PERIODIC, SET_VALUE, NARROW = 2, 4, 8, 0x40, 0x100


class Rig:
    """A block on a clock of its own, and the levels that its lines took."""

    def __init__(self) -> None:
        self.clock, self.events = Clock(), []
        def line(name):
            return lambda level: self.events.append((name, level))
        self.hpet = Hpet(self.clock, lambda pin, level: self.events.append((pin, level)), line("irq0"), line("irq8"))

    def write(self, offset: int, value: int, size: int = 8) -> None:
        self.hpet.mmio_write(offset, size, value)

    def read(self, offset: int, size: int = 8) -> int:
        return self.hpet.mmio_read(offset, size)

    def pass_ns(self, ns: int) -> None:
        end = self.clock.now + ns
        while (deadline := self.clock.next_deadline()) is not None and deadline <= end:
            self.clock.skip_to(deadline)
            self.clock.run_due()
        self.clock.skip_to(end)

    def taken(self) -> list:
        events, self.events = self.events, []
        return events


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_capabilities(rig):
    value = rig.read(0)
    assert value >> 32 == 10_000_000                            # femtoseconds
    assert value >> 8 & 0x1F == 2 and value >> 13 & 1 and value >> 15 & 1 and value >> 16 & 0xFFFF == 0x8086
    assert rig.read(4, 4) == 10_000_000
    assert rig.read(T0) & 0x30 == 0x30                          # periodic and 64 bits


def test_the_counter_runs_only_while_enabled(rig):
    rig.pass_ns(1000)
    assert rig.read(COUNTER) == 0
    rig.write(COUNTER, 5)
    rig.write(CONFIGURATION, ENABLE)
    rig.pass_ns(1000)
    assert rig.read(COUNTER) == 105
    rig.write(COUNTER, 0)                                       # no effect while it runs
    rig.write(CONFIGURATION, 0)
    rig.pass_ns(1000)
    assert rig.read(COUNTER) == 105


def test_one_shot_goes_to_its_route(rig):
    rig.write(T2, INTERRUPTS | 21 << 9)
    rig.write(T2 + 8, 100)
    rig.write(CONFIGURATION, ENABLE)
    rig.pass_ns(999)
    assert rig.taken() == []
    rig.pass_ns(1)
    assert rig.taken() == [(21, True), (21, False)]


def test_a_route_that_is_not_offered_goes_nowhere(rig):
    rig.write(T2, INTERRUPTS | 3 << 9)
    rig.write(T2 + 8, 1)
    rig.write(CONFIGURATION, ENABLE)
    rig.pass_ns(100)
    assert rig.taken() == []


def test_level_interrupts_stay_until_acknowledged(rig):
    rig.write(T0, INTERRUPTS | LEVEL | 20 << 9)
    rig.write(T0 + 8, 10)
    rig.write(CONFIGURATION, ENABLE)
    rig.pass_ns(100)
    assert rig.taken() == [(20, True)] and rig.read(STATUS) == 1
    rig.write(STATUS, 1)
    assert rig.taken() == [(20, False)] and rig.read(STATUS) == 0


def test_periodic_as_linux_sets_it_up(rig):
    rig.write(CONFIGURATION, ENABLE | LEGACY)
    rig.taken()
    rig.write(T0, INTERRUPTS | PERIODIC | SET_VALUE | NARROW, 4)
    rig.write(T0 + 8, 1000, 4)                                  # first match
    rig.write(T0 + 8, 400, 4)                                   # period
    rig.pass_ns(9_999)
    assert rig.taken() == []
    rig.pass_ns(1)
    assert rig.taken() == [("irq0", True), ("irq0", False)]
    rig.pass_ns(8_000)
    assert len(rig.taken()) == 4
    assert rig.read(T0 + 8, 4) == 2200


def test_legacy_replacement_takes_the_lines_over_and_gives_them_back(rig):
    rig.hpet.pit_line(True)
    assert rig.taken() == [("irq0", True)]
    rig.write(CONFIGURATION, ENABLE | LEGACY)
    assert rig.taken() == [("irq0", False), ("irq8", False)]
    rig.hpet.pit_line(False)
    rig.hpet.rtc_line(True)
    assert rig.taken() == []
    rig.write(T1, INTERRUPTS)
    rig.write(T1 + 8, 50)
    rig.pass_ns(500)
    assert rig.taken() == [("irq8", True), ("irq8", False)]
    rig.write(CONFIGURATION, ENABLE)
    assert rig.taken() == [("irq0", False), ("irq8", True)]


def test_halting_disarms(rig):
    rig.write(T0, INTERRUPTS | 20 << 9)
    rig.write(T0 + 8, 10)
    rig.write(CONFIGURATION, ENABLE)
    rig.write(CONFIGURATION, 0)
    rig.pass_ns(1000)
    assert rig.taken() == []


def test_narrow_accesses_are_dropped(rig):
    rig.write(CONFIGURATION, ENABLE, 1)
    assert rig.read(CONFIGURATION) == 0


def test_state_survives_saving(rig):
    rig.write(T0, INTERRUPTS | 20 << 9)
    rig.write(T0 + 8, 100)
    rig.write(CONFIGURATION, ENABLE)
    rig.pass_ns(500)
    other = Rig()
    other.clock.skip_to(500)
    other.hpet.load(rig.hpet.save())
    assert other.read(COUNTER) == 50
    other.pass_ns(500)
    assert other.taken() == [(20, True), (20, False)]
