"""MC146818 by its datasheet."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.clock import Clock
from emu.dev.rtc import Rtc
from emu.dev.rtc_calendar import Calendar, civil_from_days, days_from_civil, next_alarm

NS = 10**9
START = int(datetime.datetime(2023, 12, 31, 23, 59, 50, tzinfo=datetime.UTC).timestamp())


class Rig:
    def __init__(self, start: int = START) -> None:
        self.clock = Clock()
        self.line = False
        self.rises = 0
        self.rtc = Rtc(self.clock, self._irq, start)

    def _irq(self, level: bool) -> None:
        self.rises += level and not self.line
        self.line = level

    def __getitem__(self, index: int) -> int:
        self.rtc.port_write(0x70, 1, index)
        return self.rtc.port_read(0x71, 1)

    def __setitem__(self, index: int, value: int) -> None:
        self.rtc.port_write(0x70, 1, index)
        self.rtc.port_write(0x71, 1, value)

    def wait(self, ns: int) -> None:
        end = self.clock.now + ns
        while (deadline := self.clock.next_deadline()) is not None and deadline <= end:
            self.clock.skip_to(deadline)
            self.clock.run_due()
        self.clock.skip_to(end)


@pytest.fixture
def r() -> Rig:
    return Rig()


def test_time_in_bcd_24_hours_and_rollover(r: Rig) -> None:
    assert [r[i] for i in (0, 2, 4, 6, 7, 8, 9, 0x32)] == [0x50, 0x59, 0x23, 1, 0x31, 0x12, 0x23, 0x20]
    r.wait(10 * NS)
    assert [r[i] for i in (0, 2, 4, 6, 7, 8, 9, 0x32)] == [0, 0, 0, 2, 1, 1, 0x24, 0x20]


def test_binary_and_12_hours(r: Rig) -> None:
    r[0x0B] = 0x04
    assert (r[0], r[4]) == (50, 11 | 0x80)
    r.wait(10 * NS)
    assert r[4] == 12, "midnight is 12 AM"
    r.wait(12 * 3600 * NS)
    assert r[4] == 12 | 0x80


def test_setting_time_with_the_set_bit(r: Rig) -> None:
    r[0x0B] = 0x82
    for index, value in ((0, 0x58), (2, 0x59), (4, 0x23), (7, 0x28), (8, 0x02), (9, 0x00), (0x32, 0x20), (6, 3)):
        r[index] = value
    r.wait(5 * NS)
    assert r[0] == 0x58, "updates are held"
    r[0x0B] = 0x02
    r.wait(2 * NS)
    assert (r[7], r[8], r[6]) == (0x29, 0x02, 4), "2000 was a leap year; the day of the week counts on"


def test_uip_leads_the_update(r: Rig) -> None:
    assert r[0x0A] == 0x26
    r.wait(NS - 200_000)
    assert r[0x0A] == 0xA6
    r.wait(200_000)
    assert r[0x0A] == 0x26 and r[0] == 0x51
    r.wait(NS - 2_300_000)
    assert r[0x0A] == 0x26


def test_update_interrupt(r: Rig) -> None:
    r[0x0A] = 0x20
    r[0x0B] = 0x12
    r.wait(NS)
    assert r.line and r[0x0C] == 0x90 and not r.line
    assert r[0x0C] == 0
    r[0x0B] = 0x92
    assert r[0x0B] == 0x82, "SET clears UIE"


def test_flags_are_set_without_their_enables(r: Rig) -> None:
    r.wait(NS)
    assert not r.line and r[0x0C] == 0x50


def test_nonsense_time_is_carried_over_not_a_crash(r: Rig) -> None:
    for index in (0, 2, 4, 6, 7, 8, 9, 0x32):
        r[index] = 0xFF
    assert all(0 <= r[index] <= 0xFF for index in range(0x34))
    for index in (0, 2, 4, 6, 7, 8, 9, 0x32):
        r[index] = 0
    assert all(0 <= r[index] <= 0xFF for index in range(0x34))


@pytest.mark.parametrize("rate,hz", [(1, 256), (2, 128), (3, 8192), (6, 1024), (15, 2)])
def test_periodic_rate(r: Rig, rate: int, hz: int) -> None:
    r[0x0A] = 0x20 | rate
    r[0x0B] = 0x42
    r.rises = 0
    count = 0
    end = r.clock.now + NS
    while True:
        deadline = r.clock.next_deadline()
        assert deadline is not None
        if deadline > end:
            break
        r.clock.skip_to(deadline)
        r.clock.run_due()
        assert r[0x0C] & 0xC0 == 0xC0
        count += 1
    assert count == hz


def test_no_event_while_the_line_is_asserted(r: Rig) -> None:
    r[0x0B] = 0x42
    r.wait(NS)
    assert r.line and r.rises == 1 and r.clock.next_deadline() is None


def test_alarm_interrupt(r: Rig) -> None:
    r[0x0A] = 0x20
    r[1], r[3], r[5] = 0x55, 0x59, 0x23
    r[0x0B] = 0x22
    r.wait(5 * NS - 1)
    assert not r.line
    r.wait(1)
    assert r.line and r[0x0C] == 0xB0


def test_alarm_dont_care_every_minute(r: Rig) -> None:
    r[1], r[3], r[5] = 0x05, 0xFF, 0xC0
    r[0x0B] = 0x22
    r.wait(15 * NS)
    assert r[0x0C] & 0xA0 == 0xA0
    r.wait(59 * NS)
    assert not r.line
    r.wait(NS)
    assert r.line


def test_divider_reset_stops_and_restarts_half_a_second_before_an_update(r: Rig) -> None:
    r[0x0A] = 0x70
    r.wait(10 * NS)
    assert r[0] == 0x50
    r[0x0A] = 0x26
    r.wait(NS // 2 - 1)
    assert r[0] == 0x50
    r.wait(1)
    assert r[0] == 0x51


def test_cmos_and_registers_c_d_are_read_only(r: Rig) -> None:
    r[0x40] = 0x5A
    assert r[0x40] == 0x5A
    r[0x0D] = 0
    assert r[0x0D] == 0x80
    r.rtc.set_cmos(0x15, 0x80)
    assert r[0x15] == 0x80
    with pytest.raises(ValueError):
        r.rtc.set_cmos(0x0B, 0)


def test_index_bit_7_masks_nmi(r: Rig) -> None:
    r.rtc.port_write(0x70, 1, 0x8F)
    assert r.rtc.nmi_masked and r.rtc.port_read(0x70, 1) == 0xFF


def test_reset_keeps_time_and_clears_enables(r: Rig) -> None:
    r[0x0B] = 0x72
    r[0x50] = 7
    r.rtc.reset()
    assert r[0x0B] == 0x02 and r[0x50] == 7 and not r.line


def test_save_and_load(r: Rig) -> None:
    r[0x0B] = 0x72
    r.wait(1234567)
    other = Rig(0)
    other.clock.load(r.clock.save())
    other.rtc.load(r.rtc.save())
    assert other.rtc.save() == r.rtc.save()
    assert other.clock.next_deadline() == r.clock.next_deadline() and other.line == r.line


@given(st.dates())
def test_calendar_agrees_with_python(date: datetime.date) -> None:
    days = (date - datetime.date(1970, 1, 1)).days
    assert days_from_civil(date.year, date.month, date.day) == days
    assert civil_from_days(days) == (date.year, date.month, date.day)


@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_next_alarm_is_the_first_match(after: int, h: int, m: int, s: int) -> None:
    form = Calendar(True, True)

    def matches(t: int) -> bool:
        fields = ((h, t // 3600 % 24), (m, t // 60 % 60), (s, t % 60))
        return all(raw >= 0xC0 or raw == value for raw, value in fields)

    found = next_alarm(after, h, m, s, form)
    if found is None:
        assert not (h < 24 or h >= 0xC0) or not (m < 60 or m >= 0xC0) or not (s < 60 or s >= 0xC0)
    else:
        assert found > after and matches(found)
        assert not any(matches(t) for t in range(max(after + 1, found - 200), found))


def test_bad_start_is_refused() -> None:
    with pytest.raises(ValueError, match="RTC start"):
        Rtc(Clock(), lambda _: None, -1)
