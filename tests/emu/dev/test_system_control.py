"""Port 0x61, port 0x92, latches, absent devices."""

from emu.clock import Clock
from emu.dev.system_control import Absent, Latch, SpeakerControl, SystemControlA


def test_port_61_gate_output_and_refresh_toggle() -> None:
    clock, gates, out = Clock(), [], [False]
    dev = SpeakerControl(clock, gates.append, lambda: out[0])
    dev.port_write(0x61, 1, 0xF1)
    assert gates == [True] and dev.port_read(0x61, 1) == 0x01
    out[0] = True
    assert dev.port_read(0x61, 1) == 0x21
    clock.skip_to(15_100)
    assert dev.port_read(0x61, 1) == 0x31
    dev.reset()
    assert gates == [True, False]


def test_port_92_a20_and_fast_reset_on_the_rising_edge() -> None:
    a20, resets = [], []
    dev = SystemControlA(a20.append, lambda: resets.append(1))
    assert dev.port_read(0x92, 1) == 0x02
    dev.port_write(0x92, 1, 0x00)
    dev.port_write(0x92, 1, 0x03)
    dev.port_write(0x92, 1, 0x03)
    assert a20 == [False, True, True] and resets == [1]
    dev.set_a20(False)
    assert dev.port_read(0x92, 1) == 0x01


def test_latch_and_absent() -> None:
    seen: list[int] = []
    post = Latch(seen.append)
    post.port_write(0x80, 1, 0x3C)
    assert post.port_read(0x80, 1) == 0x3C and seen == [0x3C]
    assert Absent("floppy").port_read(0x3F4, 1) == 0xFF
    assert Absent("gpe", 0).mmio_read(0, 4) == 0
