"""ACPI fixed hardware, APM control, SMBus without devices."""

import pytest

from emu.clock import Clock
from emu.dev.acpipm import PM_TIMER_HZ, AcpiPm, ApmControl
from emu.dev.smbus import SmbusHost

BASE = 0x600


class Rig:
    def __init__(self) -> None:
        self.clock = Clock()
        self.sci = False
        self.off = 0
        self.reports: list[str] = []
        self.pm = AcpiPm(self.clock, self._sci, self._off, self.reports.append)
        self.pm.base = BASE

    def _sci(self, level: bool) -> None:
        self.sci = level

    def _off(self) -> None:
        self.off += 1


@pytest.fixture
def r() -> Rig:
    return Rig()


def test_timer_rate_and_width(r: Rig) -> None:
    r.clock.skip_to(10**9)
    assert r.pm.port_read(BASE + 8, 4) == PM_TIMER_HZ
    r.clock.skip_to(5 * 10**9)
    assert r.pm.port_read(BASE + 8, 4) == 5 * PM_TIMER_HZ % (1 << 24)
    assert r.pm.port_read(BASE + 9, 1) == (5 * PM_TIMER_HZ >> 8) & 0xFF


def test_timer_carry_sets_status_and_raises_the_sci(r: Rig) -> None:
    r.pm.port_write(BASE + 2, 2, 0x0001)
    assert r.clock.next_deadline() is None, "SCI_EN is clear"
    r.pm.port_write(BASE + 4, 2, 0x0001)
    deadline = r.clock.next_deadline()
    assert deadline is not None and deadline * PM_TIMER_HZ // 10**9 == 1 << 23
    r.clock.skip_to(deadline)
    r.clock.run_due()
    assert r.sci and r.pm.port_read(BASE, 2) == 1
    r.pm.port_write(BASE, 2, 1)
    assert not r.sci and r.pm.port_read(BASE, 2) == 0


def test_power_button(r: Rig) -> None:
    r.pm.enable_acpi(True)
    r.pm.port_write(BASE + 2, 2, 0x0100)
    r.pm.press_power_button()
    assert r.sci and r.pm.port_read(BASE, 4) == 0x01000100
    r.pm.port_write(BASE, 2, 0x0100)
    assert not r.sci


def test_soft_off_by_word_and_by_byte(r: Rig) -> None:
    r.pm.port_write(BASE + 4, 2, 0x2000)
    r.pm.port_write(BASE + 5, 1, 0x20)
    assert r.off == 2 and r.pm.port_read(BASE + 4, 2) & 0x2000 == 0
    r.pm.port_write(BASE + 4, 2, 0x2800)
    assert r.off == 2 and "sleep type 2" in r.reports[0]


def test_the_edge_of_the_rtcs_interrupt_sets_its_status(r: Rig) -> None:
    r.pm.enable_acpi(True)
    r.pm.rtc_line(True)
    assert r.pm.port_read(BASE, 2) == 0x0400 and not r.sci
    r.pm.port_write(BASE, 2, 0x0400)
    r.pm.rtc_line(True)
    assert r.pm.port_read(BASE, 2) == 0
    r.pm.port_write(BASE + 2, 2, 0x0400)
    r.pm.rtc_line(False)
    r.pm.rtc_line(True)
    assert r.sci


def test_s3_that_does_not_happen_is_over_at_once(r: Rig) -> None:
    r.pm.port_write(BASE + 4, 2, 0x2400)
    r.clock.run_due()
    assert not r.pm.asleep and r.pm.port_read(BASE, 2) == 0x8000
    r.pm.port_write(BASE, 2, 0x8000)
    assert r.pm.port_read(BASE, 2) == 0


def test_s3_begins_and_ends_between_instructions(r: Rig) -> None:
    happened: list[str] = []
    r.pm = AcpiPm(r.clock, r._sci, r._off, r.reports.append, lambda: not happened.append("sleeps"),
                  lambda: (happened.append("wakes"), r.pm.reset()))
    r.pm.port_write(4, 2, 0x2400)
    assert not happened and r.clock.next_deadline() == 0
    r.clock.run_due()
    assert happened == ["sleeps"] and r.pm.asleep
    r.pm.press_power_button()
    r.clock.run_due()
    assert happened == ["sleeps"], "the button is not enabled"
    r.pm.port_write(2, 2, 0x0100)
    r.clock.run_due()
    assert happened == ["sleeps", "wakes"] and not r.pm.asleep and r.pm.port_read(0, 2) == 0x8100


def test_pm_save_and_load(r: Rig) -> None:
    r.pm.port_write(BASE + 2, 2, 0x0101)
    r.pm.enable_acpi(True)
    other = Rig()
    other.clock.load(r.clock.save())
    other.pm.load(r.pm.save())
    assert other.pm.save() == r.pm.save() and other.clock.next_deadline() == r.clock.next_deadline()


def test_apm_commands() -> None:
    enabled: list[bool] = []
    reports: list[str] = []
    apm = ApmControl(enabled.append, lambda: False, reports.append)
    apm.port_write(0xB3, 1, 0x01)
    apm.port_write(0xB2, 1, 0xF1)
    apm.port_write(0xB2, 1, 0xF0)
    apm.port_write(0xB2, 1, 0x00)
    apm.port_write(0xB2, 1, 0x00)
    assert enabled == [True, False] and len(reports) == 1
    assert (apm.port_read(0xB2, 1), apm.port_read(0xB3, 1)) == (0, 1)


def test_smbus_transfer_ends_in_device_error() -> None:
    bus = SmbusHost()
    bus.base = 0x700
    bus.port_write(0x704, 1, 0xA1)
    bus.port_write(0x702, 1, 0x48)
    assert bus.port_read(0x700, 1) == 0x04 and bus.port_read(0x702, 1) == 0x08
    bus.port_write(0x700, 1, 0xFF)
    assert bus.port_read(0x700, 1) == 0
