"""Serial input from outside, and the time that passes while the guest waits for it."""

import threading

from emu.clock import SECOND, Clock
from emu.serial_input import SerialInput


def test_bytes_arrive_in_order_and_the_last_says_whether_more_come():
    got = bytearray()
    serial = SerialInput(got.extend)
    serial.put(b"one", True)
    serial.put(b"two", False)
    serial.receive()
    assert got == b"onetwo" and not serial.open


def test_idle_time_ends_at_the_deadline_or_with_input():
    serial, clock = SerialInput(lambda data: None), Clock()
    serial.idle(clock, 1_000_000)
    assert 0 < clock.now <= 1_000_000
    before = clock.now
    threading.Timer(0.01, serial.put, (b"x", True)).start()
    serial.idle(clock, before + 1000 * SECOND)
    assert before < clock.now < before + SECOND and serial.open
    before = clock.now
    serial.put(b"y", True)
    serial.idle(clock, None)
    assert clock.now == before
