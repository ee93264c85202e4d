"""Keyboard controller and keyboard: what PC firmware and operating systems do with them."""

import pytest

from emu.dev.i8042 import I8042
from emu.dev.ps2keyboard import Ps2Keyboard


class Rig:
    def __init__(self) -> None:
        self.lines = {1: False, 12: False}
        self.rises = {1: 0, 12: 0}
        self.a20: list[bool] = []
        self.resets = 0
        self.reports: list[str] = []
        self.kbc = I8042(
            Ps2Keyboard(),
            lambda level: self._line(1, level),
            lambda level: self._line(12, level),
            self.a20.append,
            self._reset,
            self.reports.append,
        )

    def _line(self, line: int, level: bool) -> None:
        self.rises[line] += level and not self.lines[line]
        self.lines[line] = level

    def _reset(self) -> None:
        self.resets += 1

    def command(self, value: int, *data: int) -> None:
        self.kbc.port_write(0x64, 1, value)
        for byte in data:
            self.kbc.port_write(0x60, 1, byte)

    def data(self, value: int) -> None:
        self.kbc.port_write(0x60, 1, value)

    def drain(self) -> list[int]:
        out = []
        while self.status & 1:
            out.append(self.kbc.port_read(0x60, 1))
        return out

    @property
    def status(self) -> int:
        return self.kbc.port_read(0x64, 1)


@pytest.fixture
def k() -> Rig:
    return Rig()


def test_self_tests(k: Rig) -> None:
    for command, reply in ((0xAA, 0x55), (0xAB, 0x00), (0xA9, 0x00)):
        k.command(command)
        assert k.drain() == [reply]
    assert k.status & 0x04, "system flag after the self-test"


def test_command_byte(k: Rig) -> None:
    k.command(0x60, 0x30)
    k.command(0x20)
    assert k.drain() == [0x30]
    k.command(0xAE)
    k.command(0xA8)
    k.command(0x20)
    assert k.drain() == [0x00]
    k.command(0xAD)
    k.command(0x20)
    assert k.drain() == [0x10]


def test_controller_reply_comes_though_the_keyboard_is_disabled(k: Rig) -> None:
    k.command(0xAD)
    k.kbc.key(b"\x1c")
    assert not k.status & 1
    k.command(0xAA)
    assert k.drain() == [0x55]
    k.command(0xAE)
    assert k.drain() == [0x1E]


def test_controller_reply_waits_for_an_unread_byte(k: Rig) -> None:
    k.kbc.key(b"\x1c\x32")
    k.command(0xAD)
    k.command(0xAA)
    assert k.drain() == [0x1E, 0x55], "the second key stays in the disabled keyboard"


def test_keyboard_reset_and_identify(k: Rig) -> None:
    k.data(0xFF)
    assert k.drain() == [0xFA, 0xAA]
    k.command(0x60, 0x05)
    k.data(0xF2)
    assert k.drain() == [0xFA, 0xAB, 0x83]


def test_keyboard_commands(k: Rig) -> None:
    k.command(0x60, 0x05)
    for sent, reply in (
        ((0xED, 0x07), [0xFA, 0xFA]), ((0xF3, 0x20), [0xFA, 0xFA]), ((0xF5,), [0xFA]), ((0xF4,), [0xFA]),
        ((0xF6,), [0xFA]), ((0xEE,), [0xEE]), ((0xF0, 0x00), [0xFA, 0xFA, 0x02]), ((0x12,), [0xFE]),
        ((0xF0, 0x09), [0xFA, 0xFE]),
    ):  # fmt: skip
        for byte in sent:
            k.data(byte)
        assert k.drain() == reply
    k.data(0xEE)
    k.drain()
    k.data(0xFE)
    assert k.drain() == [0xEE], "resend"


def test_one_interrupt_edge_a_byte(k: Rig) -> None:
    k.kbc.key(bytes([0x1C, 0xF0, 0x1C]))
    assert k.lines[1] and k.rises[1] == 1
    assert k.kbc.port_read(0x60, 1) == 0x1E
    assert k.lines[1] and k.rises[1] == 2
    assert k.kbc.port_read(0x60, 1) == 0x9E
    assert not k.lines[1]


def test_no_interrupt_when_disabled_in_the_command_byte(k: Rig) -> None:
    k.command(0x60, 0x04)
    k.kbc.key(b"\x1c")
    assert not k.lines[1] and k.drain() == [0x1C], "untranslated"


def test_scanning_disabled(k: Rig) -> None:
    k.data(0xF5)
    k.drain()
    k.kbc.key(b"\x1c")
    assert not k.status & 1


def test_aux_loopback_byte_sets_the_aux_flag_and_irq12(k: Rig) -> None:
    k.command(0x60, 0x47)
    k.command(0xD3, 0xA5)
    assert k.status & 0x21 == 0x21 and k.lines[12] and not k.lines[1]
    assert k.drain() == [0xA5]


def test_absent_mouse_does_not_answer(k: Rig) -> None:
    k.command(0xD4, 0xFF)
    assert not k.status & 1


def test_a20_and_reset_through_the_output_port(k: Rig) -> None:
    k.command(0xD1, 0xDD)
    k.command(0xD1, 0xDF)
    assert k.a20 == [False, True] and k.resets == 0
    k.command(0xD0)
    assert k.drain()[0] & 0x03 == 0x03
    k.command(0xDD)
    assert k.a20[-1] is False
    k.command(0xD1, 0xFE)
    assert k.resets == 1


def test_reset_pulse(k: Rig) -> None:
    k.command(0xFF)
    assert k.resets == 0
    k.command(0xFE)
    assert k.resets == 1


def test_empty_buffer_status_and_unknown_command(k: Rig) -> None:
    assert k.status & 0x03 == 0
    k.command(0xB7)
    k.command(0xB7)
    assert len(k.reports) == 1 and "0xb7" in k.reports[0]
    assert k.status & 0x08
    k.data(0xF4)
    assert not k.status & 0x08


def test_save_and_load(k: Rig) -> None:
    k.kbc.key(bytes([0x1C, 0x32]))
    k.command(0xD1)
    other = Rig()
    other.kbc.load(k.kbc.save())
    assert other.kbc.save() == k.kbc.save()
    assert other.lines[1]
    other.data(0xDD)
    assert other.a20 == [False] and other.drain() == [0x1E, 0x30]
