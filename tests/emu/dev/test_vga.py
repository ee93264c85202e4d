"""VGA text mode: screen contents, probing, retrace bits."""

import pytest

from emu.clock import Clock
from emu.dev.vga import Vga


@pytest.fixture
def v() -> Vga:
    return Vga(Clock())


def put(v: Vga, offset: int, text: str) -> None:
    for i, char in enumerate(text):
        v.mmio_write(offset + 2 * i, 2, 0x0700 | ord(char))


def crtc(v: Vga, index: int, value: int | None = None) -> int:
    v.port_write(0x3D4, 1, index)
    if value is not None:
        v.port_write(0x3D5, 1, value)
    return v.port_read(0x3D5, 1)


def test_text_screen(v: Vga) -> None:
    put(v, 0x18000, "Hello")
    put(v, 0x18000 + 2 * 80 * 24, "last")
    screen = v.text_screen()
    assert len(screen) == 25 and all(len(line) == 80 for line in screen)
    assert screen[0].rstrip() == "Hello" and screen[24].rstrip() == "last"


def test_start_address_scrolls_and_cursor(v: Vga) -> None:
    put(v, 0x18000 + 160, "second")
    crtc(v, 0x0C, 0)
    crtc(v, 0x0D, 80)
    assert v.text_screen()[0].startswith("second")
    crtc(v, 0x0E, 0)
    crtc(v, 0x0F, 80 + 83)
    assert v.cursor() == (1, 3)


def test_monochrome_ports_and_memory_follow_misc(v: Vga) -> None:
    assert v.port_read(0x3B4, 1) == 0xFF
    v.port_write(0x3C2, 1, 0x66)
    put(v, 0x10000, "mono")
    assert v.text_screen()[0].startswith("mono")
    v.port_write(0x3B4, 1, 0x0A)
    assert v.port_read(0x3B4, 1) == 0x0A and v.port_read(0x3D4, 1) == 0xFF


def test_retrace_bits_toggle_with_time() -> None:
    clock = Clock()
    v = Vga(clock)
    seen = set()
    retraces = 0
    before = 0
    for _ in range(100_000):
        clock.skip_to(clock.now + 10_000)
        status = v.port_read(0x3DA, 1)
        seen.add(status)
        retraces += bool(status & 8) and not before & 8
        before = status
    assert seen == {0, 1, 9} and retraces == 70


def test_attribute_flip_flop_is_reset_by_input_status(v: Vga) -> None:
    v.port_write(0x3C0, 1, 0x10)
    v.port_read(0x3DA, 1)
    v.port_write(0x3C0, 1, 0x11)
    v.port_write(0x3C0, 1, 0x2A)
    assert v.port_read(0x3C0, 1) == 0x11 and v.port_read(0x3C1, 1) == 0x2A


def test_crtc_write_protection(v: Vga) -> None:
    assert crtc(v, 0x01, 0x11) == 0x4F
    crtc(v, 0x11, 0x0E)
    assert crtc(v, 0x01, 0x11) == 0x11
    assert crtc(v, 0x30, 0x55) == 0, "no such register"


def test_palette(v: Vga) -> None:
    v.port_write(0x3C8, 1, 255)
    for byte in (1, 2, 3, 4):
        v.port_write(0x3C9, 1, byte)
    v.port_write(0x3C7, 1, 255)
    assert [v.port_read(0x3C9, 1) for _ in range(4)] == [1, 2, 3, 4]


def test_own_storage_and_snapshots(v: Vga) -> None:
    store = bytearray(0x20000)
    mine = Vga(Clock(), memoryview(store))
    put(mine, 0x18000, "x")
    assert store[0x18000] == ord("x") and mine.mmio_read(0x18000, 2) == 0x0778
    v.load(mine.save())
    assert v.text_screen() == mine.text_screen()
    with pytest.raises(ValueError):
        Vga(Clock(), bytearray(5))
