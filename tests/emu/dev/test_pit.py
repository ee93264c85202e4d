"""8254 by its datasheet: modes, gates, latches, BCD, exact frequency."""

import pytest

from emu.clock import Clock
from emu.dev.pit import PIT_HZ, Pit


class Rig:
    def __init__(self) -> None:
        self.clock = Clock()
        self.edges: list[tuple[int, bool]] = []
        self.pit = Pit(self.clock, lambda level: self.edges.append((self.clock.now, level)))
        self.edges.clear()

    def program(self, channel: int, mode: int, count: int, bcd: bool = False) -> None:
        self.pit.port_write(0x43, 1, channel << 6 | 0x30 | mode << 1 | bcd)
        self.write(channel, count)

    def write(self, channel: int, count: int) -> None:
        self.pit.port_write(0x40 + channel, 1, count & 0xFF)
        self.pit.port_write(0x40 + channel, 1, count >> 8)

    def tick(self, ticks: int = 1) -> None:
        target = self.pit.tick + ticks
        at = -(-target * 10**9 // PIT_HZ)
        while (deadline := self.clock.next_deadline()) is not None and deadline <= at:
            self.clock.skip_to(deadline)
            self.clock.run_due()
        self.clock.skip_to(at)

    def read(self, channel: int) -> int:
        low = self.pit.port_read(0x40 + channel, 1)
        return low | self.pit.port_read(0x40 + channel, 1) << 8

    def outs(self, channel: int, ticks: int) -> str:
        levels = ""
        for _ in range(ticks):
            self.tick()
            levels += "1" if self.pit.out(channel) else "0"
        return levels

    def counts(self, channel: int, ticks: int) -> list[int]:
        values = []
        for _ in range(ticks):
            self.tick()
            values.append(self.read(channel))
        return values


@pytest.fixture
def r() -> Rig:
    rig = Rig()
    rig.pit.set_gate(2, True)
    rig.tick(5)
    return rig


def test_mode_0_rises_n_plus_1_clocks_after_the_write(r: Rig) -> None:
    r.program(2, 0, 4)
    assert not r.pit.out(2)
    assert r.outs(2, 7) == "0000111"


def test_mode_0_counts_down_and_wraps(r: Rig) -> None:
    r.program(2, 0, 3)
    assert r.counts(2, 6) == [3, 2, 1, 0, 0xFFFF, 0xFFFE]


def test_mode_0_gate_pauses(r: Rig) -> None:
    r.program(2, 0, 4)
    r.tick(2)
    r.pit.set_gate(2, False)
    r.tick(10)
    assert r.read(2) == 3 and not r.pit.out(2)
    r.pit.set_gate(2, True)
    assert r.outs(2, 3) == "001"


def test_mode_0_first_byte_stops_counting_and_lowers_out(r: Rig) -> None:
    r.program(2, 0, 2)
    r.tick(10)
    assert r.pit.out(2)
    r.pit.port_write(0x42, 1, 5)
    assert not r.pit.out(2)
    r.pit.port_write(0x42, 1, 0)
    assert r.outs(2, 7) == "0000011"


def test_mode_1_one_shot_is_triggered_and_retriggered_by_the_gate(r: Rig) -> None:
    r.pit.set_gate(2, False)
    r.program(2, 1, 3)
    assert r.outs(2, 3) == "111"
    r.pit.set_gate(2, True)
    assert r.outs(2, 5) == "00011"
    r.pit.set_gate(2, False)
    r.pit.set_gate(2, True)
    r.tick(2)
    r.pit.set_gate(2, False)
    r.pit.set_gate(2, True)
    assert r.outs(2, 5) == "00011"


def test_mode_2_divides_by_n(r: Rig) -> None:
    r.program(2, 2, 3)
    assert r.outs(2, 9) == "110110110"


def test_mode_2_counts(r: Rig) -> None:
    r.program(2, 2, 3)
    assert r.counts(2, 5) == [3, 2, 1, 3, 2]


def test_mode_2_new_count_waits_for_the_end_of_the_period(r: Rig) -> None:
    r.program(2, 2, 4)
    r.tick(2)
    r.write(2, 3)
    assert r.counts(2, 6) == [2, 1, 3, 2, 1, 3]


def test_mode_2_gate_stops_with_out_high_and_restarts(r: Rig) -> None:
    r.program(2, 2, 3)
    r.tick(3)
    assert not r.pit.out(2)
    r.pit.set_gate(2, False)
    assert r.pit.out(2)
    r.tick(7)
    r.pit.set_gate(2, True)
    assert r.outs(2, 6) == "110110"


def test_mode_3_even_and_odd(r: Rig) -> None:
    r.program(2, 3, 4)
    assert r.outs(2, 8) == "11001100"
    r.program(2, 3, 5)
    assert r.outs(2, 10) == "1110011100"


def test_mode_3_counts_by_two(r: Rig) -> None:
    r.program(2, 3, 4)
    assert r.counts(2, 6) == [4, 2, 4, 2, 4, 2]
    r.program(2, 3, 5)
    assert r.counts(2, 6) == [4, 2, 0, 4, 2, 4]


def test_mode_3_new_count_takes_effect_at_the_half_cycle(r: Rig) -> None:
    r.program(2, 3, 8)
    r.tick(1)
    r.write(2, 4)
    assert r.outs(2, 9) == "111001100"


def test_mode_4_strobe(r: Rig) -> None:
    r.program(2, 4, 3)
    assert r.outs(2, 6) == "111011"


def test_mode_5_strobe_on_trigger(r: Rig) -> None:
    r.pit.set_gate(2, False)
    r.program(2, 5, 3)
    assert r.outs(2, 5) == "11111"
    r.pit.set_gate(2, True)
    assert r.outs(2, 6) == "111011"


def test_count_zero_is_65536_and_10000_in_bcd(r: Rig) -> None:
    r.program(2, 2, 0)
    r.tick(2)
    assert r.read(2) == 0xFFFF
    r.program(2, 2, 0, bcd=True)
    r.tick(2)
    assert r.read(2) == 0x9999


def test_bcd_count(r: Rig) -> None:
    r.program(2, 0, 0x0100, bcd=True)
    r.tick(2)
    assert r.read(2) == 0x0099
    r.tick(100)
    assert r.read(2) == 0x9999


def test_single_byte_access(r: Rig) -> None:
    r.pit.port_write(0x43, 1, 0x90)
    r.pit.port_write(0x42, 1, 0x10)
    r.tick(3)
    assert [r.pit.port_read(0x42, 1) for _ in range(2)] == [0x0E, 0x0E]
    r.pit.port_write(0x43, 1, 0xA0)
    r.pit.port_write(0x42, 1, 0x10)
    r.tick(3)
    assert r.pit.port_read(0x42, 1) == 0x0F


def test_latch_holds_until_both_bytes_are_read(r: Rig) -> None:
    r.program(2, 0, 0x1234)
    r.tick(1)
    r.pit.port_write(0x43, 1, 0x80)
    r.tick(100)
    r.pit.port_write(0x43, 1, 0x80)
    assert r.read(2) == 0x1234
    assert r.read(2) == 0x1234 - 100


def test_read_back_status_then_count(r: Rig) -> None:
    r.pit.port_write(0x43, 1, 0xB4)
    r.pit.port_write(0x43, 1, 0xE8)
    assert r.pit.port_read(0x42, 1) == 0xF4, "OUT high, null count, word access, mode 2"
    r.write(2, 0x20)
    r.tick(2)
    r.pit.port_write(0x43, 1, 0xC8)
    r.tick(5)
    assert r.pit.port_read(0x42, 1) == 0xB4
    assert r.read(2) == 0x1F


def test_modes_6_and_7_are_2_and_3(r: Rig) -> None:
    r.program(2, 7, 4)
    assert r.outs(2, 4) == "1100"


def test_counter_0_interrupts_at_the_exact_rate(r: Rig) -> None:
    r.program(0, 2, 1193)
    start = r.clock.now
    r.edges.clear()
    r.tick(PIT_HZ + 2)
    rises = [ns for ns, level in r.edges if level]
    assert len(rises) == PIT_HZ // 1193
    assert abs(rises[-1] - start - 1000 * 1193 * 10**9 // PIT_HZ) < 1700


def test_counter_0_square_wave_gives_one_rise_a_period(r: Rig) -> None:
    r.program(0, 3, 100)
    r.edges.clear()
    r.tick(1001)
    assert [level for _, level in r.edges] == [False, True] * 10


def test_counter_0_one_shot(r: Rig) -> None:
    r.program(0, 0, 50)
    assert [level for _, level in r.edges] == [False]
    r.tick(50)
    assert len(r.edges) == 1
    r.tick(1)
    assert [level for _, level in r.edges] == [False, True]
    r.tick(200_000)
    assert len(r.edges) == 2 and r.clock.next_deadline() is None


def test_save_and_load(r: Rig) -> None:
    r.program(0, 2, 1000)
    r.program(2, 3, 77)
    r.tick(33)
    other = Rig()
    other.clock.load(r.clock.save())
    other.pit.load(r.pit.save())
    assert other.clock.next_deadline() == r.clock.next_deadline()
    assert other.read(2) == r.read(2)
    assert other.pit.save() == r.pit.save()
