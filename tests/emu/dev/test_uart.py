"""16550A behaviour by the PC16550D datasheet."""

from types import SimpleNamespace

import pytest

from emu.clock import Clock
from emu.dev.uart import Uart

BASE = 0x3F8


class Rig:
    def __init__(self) -> None:
        self.clock = Clock()
        self.sent = bytearray()
        self.line = False
        self.uart = Uart(self.clock, BASE, self._irq, self.sent.append)

    def _irq(self, level: bool) -> None:
        self.line = level

    def __getitem__(self, register: int) -> int:
        return self.uart.port_read(BASE + register, 1)

    def __setitem__(self, register: int, value: int) -> None:
        self.uart.port_write(BASE + register, 1, value)

    def wait(self, ns: int) -> None:
        self.clock.skip_to(self.clock.now + ns)
        self.clock.run_due()


@pytest.fixture
def u() -> Rig:
    return Rig()


R = SimpleNamespace(RBR=0, THR=0, IER=1, IIR=2, FCR=2, LCR=3, MCR=4, LSR=5, MSR=6, SCR=7)
OUT2 = 8


def test_reset_state(u: Rig) -> None:
    assert (u[R.IER], u[R.IIR], u[R.LCR], u[R.MCR], u[R.LSR]) == (0, 1, 0, 0, 0x60)
    assert u[R.MSR] == 0xB0


def test_transmit_goes_to_the_sink_and_stays_ready(u: Rig) -> None:
    for byte in b"hi":
        u[R.THR] = byte
    assert bytes(u.sent) == b"hi" and u[R.LSR] == 0x60


def test_divisor_latch(u: Rig) -> None:
    u[R.LCR] = 0x83
    u[0], u[1] = 0x01, 0x02
    assert (u[0], u[1]) == (1, 2) and u.uart.divisor == 0x201
    u[R.LCR] = 0x03
    assert u[R.IER] == 0 and not u.sent


def test_scratch_and_writable_bits(u: Rig) -> None:
    u[R.SCR] = 0xA5
    u[R.IER] = 0xFF
    u[R.MCR] = 0xFF
    assert (u[R.SCR], u[R.IER], u[R.MCR]) == (0xA5, 0x0F, 0x1F)


def test_thre_interrupt_when_enabled_while_empty_and_cleared_by_iir(u: Rig) -> None:
    u[R.MCR] = OUT2
    u[R.IER] = 2
    assert u.line and u[R.IIR] == 0x02
    assert not u.line and u[R.IIR] == 0x01
    u[R.THR] = 0x41
    assert u.line and u[R.IIR] == 0x02
    u[R.IER] = 0
    u[R.IER] = 2
    assert u.line, "enabling the interrupt again with THR empty raises it again"


def test_thre_not_cleared_by_iir_showing_another_source(u: Rig) -> None:
    u[R.MCR], u[R.IER] = OUT2, 3
    u.uart.feed(b"x")
    assert u[R.IIR] == 0x04
    assert u[R.RBR] == ord("x")
    assert u[R.IIR] == 0x02


def test_receive_without_fifo_and_overrun(u: Rig) -> None:
    u[R.MCR], u[R.IER] = OUT2, 5
    u.uart.feed(b"a", flow_control=False)
    assert u.line and u[R.LSR] == 0x61
    u.uart.feed(b"b", flow_control=False)
    assert u[R.IIR] == 0x06, "line status has the highest priority"
    assert u[R.LSR] == 0x63 and u[R.LSR] == 0x61
    assert u[R.RBR] == ord("b") and u[R.LSR] == 0x60 and not u.line


def test_fifo_overrun_keeps_the_fifo(u: Rig) -> None:
    u[R.FCR] = 0x01
    u.uart.feed(bytes(range(17)), flow_control=False)
    assert u[R.LSR] & 0x02
    assert [u[R.RBR] for _ in range(16)] == list(range(16))
    assert not u[R.LSR] & 1


def test_flow_controlled_input_is_never_lost(u: Rig) -> None:
    u[R.FCR] = 0x01
    u.uart.feed(bytes(range(100)))
    assert [u[R.RBR] for _ in range(100)] == list(range(100))
    assert u[R.LSR] == 0x60


@pytest.mark.parametrize("code,level", [(0x00, 1), (0x40, 4), (0x80, 8), (0xC0, 14)])
def test_fifo_trigger_levels(u: Rig, code: int, level: int) -> None:
    u[R.MCR], u[R.IER], u[R.FCR] = OUT2, 1, code | 1
    u.uart.feed(bytes(level - 1))
    assert not u.line
    u.uart.feed(b"x")
    assert u.line and u[R.IIR] == 0xC4
    u[R.RBR]
    assert not u.line


def test_character_timeout_after_four_character_times(u: Rig) -> None:
    u[R.LCR] = 0x83
    u[0], u[1] = 1, 0
    u[R.LCR] = 0x03
    u[R.MCR], u[R.IER], u[R.FCR] = OUT2, 1, 0xC1
    u.uart.feed(b"ab")
    four_characters = 4 * 10 * 1_000_000_000 // 115200
    u.wait(four_characters - 1000)
    assert not u.line
    u.wait(2000)
    assert u.line and u[R.IIR] == 0xCC
    assert u[R.RBR] == ord("a") and not u.line, "a read clears the timeout and starts it again"
    u.wait(four_characters + 10)
    assert u.line


def test_fcr_clears_the_receive_fifo_and_iir_shows_fifos(u: Rig) -> None:
    u[R.FCR] = 1
    assert u[R.IIR] == 0xC1
    u.uart.feed(b"abc")
    u[R.FCR] = 3
    assert u[R.LSR] == 0x60
    u[R.FCR] = 0
    assert u[R.IIR] == 0x01


def test_loopback_data_and_modem_lines(u: Rig) -> None:
    u[R.MSR]
    u[R.MCR] = 0x10
    assert u[R.MSR] & 0xF0 == 0
    u[R.MCR] = 0x1A
    assert u[R.MSR] & 0xF0 == 0x90, "RTS -> CTS, OUT2 -> DCD"
    u[R.THR] = 0x55
    assert not u.sent and u[R.RBR] == 0x55


def test_modem_status_deltas_interrupt_and_clear_on_read(u: Rig) -> None:
    u[R.MCR], u[R.IER] = OUT2, 8
    u.uart.set_modem_inputs(0x30)
    assert u.line and u[R.IIR] == 0x00
    assert u[R.MSR] == 0x38 and u[R.MSR] == 0x30 and not u.line
    u.uart.set_modem_inputs(0x70)
    assert u[R.MSR] == 0x70, "a leading edge of RI sets no delta"
    u.uart.set_modem_inputs(0x30)
    assert u[R.MSR] == 0x34


def test_out2_gates_the_line(u: Rig) -> None:
    u[R.IER] = 2
    assert not u.line
    u[R.MCR] = OUT2
    assert u.line


def test_break(u: Rig) -> None:
    u.uart.feed_break()
    assert u[R.LSR] == 0x71 and u[R.RBR] == 0


def test_save_and_load(u: Rig) -> None:
    u[R.MCR], u[R.IER], u[R.FCR] = OUT2, 1, 0xC1
    u.uart.feed(b"hello world, more than a fifo holds")
    u[R.RBR]
    other = Rig()
    other.uart.load(u.uart.save())
    assert other.uart.save() == u.uart.save()
    assert other.line == u.line and other[R.RBR] == ord("e")
