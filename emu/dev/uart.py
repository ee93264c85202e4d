"""16550A UART (National Semiconductor PC16550D datasheet), wired as a PC's COM port.

Transmission is instantaneous, but the transmitter-empty interrupt behaves as in the datasheet: it is raised when the
holding register becomes empty and when it is enabled while empty, and is cleared by reading IIR or writing THR.
On a PC the OUT2 pin gates the interrupt line (IBM AT Technical Reference, "Serial/Parallel Adapter").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from emu.clock import SECOND, Clock, Event

RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR = range(8)

IER_RDA, IER_THRE, IER_RLS, IER_MS = 0x01, 0x02, 0x04, 0x08
IIR_NONE, IIR_MS, IIR_THRE, IIR_RDA, IIR_RLS, IIR_TIMEOUT = 0x01, 0x00, 0x02, 0x04, 0x06, 0x0C
FCR_ENABLE, FCR_CLEAR_RX = 0x01, 0x02
LCR_DLAB = 0x80
MCR_DTR, MCR_RTS, MCR_OUT1, MCR_OUT2, MCR_LOOP = 0x01, 0x02, 0x04, 0x08, 0x10
LSR_DR, LSR_OE, LSR_ERRORS, LSR_BI, LSR_THRE, LSR_TEMT = 0x01, 0x02, 0x1E, 0x10, 0x20, 0x40
MSR_CTS, MSR_DSR, MSR_RI, MSR_DCD = 0x10, 0x20, 0x40, 0x80

FIFO_DEPTH = 16
TRIGGER_LEVELS = (1, 4, 8, 14)
CRYSTAL_HZ = 1_843_200


class Uart:
    """One UART at `base`; bytes sent go to `sink`, the interrupt pin to `irq`."""

    def __init__(self, clock: Clock, base: int, irq: Callable[[bool], None], sink: Callable[[int], None]) -> None:
        self._clock = clock
        self._base = base
        self._irq = irq
        self._sink = sink
        self._timeout: Event | None = None
        self._waiting: deque[int] = deque()
        self.reset()

    def reset(self) -> None:
        """Master reset (datasheet table III). A connected peer keeps CTS, DSR and DCD asserted."""
        self._ier = self._lcr = self._mcr = self._scr = self._fcr = 0
        self._divisor = 12
        self._errors = 0
        self._inputs = MSR_CTS | MSR_DSR | MSR_DCD
        self._deltas = 0
        self._rx: list[int] = []
        self._thre_pending = False
        self._timeout_pending = False
        self._cancel_timeout()
        self._irq(False)

    # -- the line --

    def feed(self, data: bytes, *, flow_control: bool = True) -> None:
        """Send `data` to the guest. With `flow_control` they wait for room in the receiver; without, it may overrun."""
        if flow_control:
            self._waiting.extend(data)
            self._pull()
        else:
            for byte in data:
                self._receive(byte)

    def feed_break(self) -> None:
        """Hold the line at space for over a character: a zero byte with the break indication."""
        self._receive(0)
        self._errors |= LSR_BI
        self._update()

    def set_modem_inputs(self, inputs: int) -> None:
        """Drive CTS, DSR, RI and DCD (MSR bits 7:4); changes set the delta bits."""
        self._change_inputs(lambda: setattr(self, "_inputs", inputs & 0xF0))

    @property
    def divisor(self) -> int:
        """The baud-rate divisor; 115200 baud / divisor."""
        return self._divisor

    # -- ports --

    def port_read(self, port: int, size: int) -> int:
        register = port - self._base
        if register == LSR:
            value = self._line_status()
            if self._errors:
                self._errors = 0
                self._update()
            return value
        if register == RBR_THR:
            return self._divisor & 0xFF if self._lcr & LCR_DLAB else self._read_rbr()
        if register == IER:
            return self._divisor >> 8 if self._lcr & LCR_DLAB else self._ier
        if register == IIR_FCR:
            source = self._source()
            if source == IIR_THRE:
                self._thre_pending = False
                self._update()
            return source | (0xC0 if self._fcr & FCR_ENABLE else 0)
        if register == MSR:
            value = self._modem_inputs() | self._deltas
            self._deltas = 0
            self._update()
            return value
        return (self._lcr, self._mcr, 0, 0, self._scr)[register - LCR]

    def port_write(self, port: int, size: int, value: int) -> None:
        register = port - self._base
        if register == RBR_THR:
            if self._lcr & LCR_DLAB:
                self._divisor = self._divisor & 0xFF00 | value
            else:
                self._transmit(value)
        elif register == IER:
            if self._lcr & LCR_DLAB:
                self._divisor = self._divisor & 0x00FF | value << 8
            else:
                if value & ~self._ier & IER_THRE:
                    self._thre_pending = True
                self._ier = value & 0x0F
                self._update()
        elif register == IIR_FCR:
            self._write_fcr(value)
        elif register == LCR:
            self._lcr = value
        elif register == MCR:
            self._change_inputs(lambda: setattr(self, "_mcr", value & 0x1F))
        elif register == SCR:
            self._scr = value
        # LSR and MSR: "writing to these is intended for factory testing only" (datasheet 8.4); no effect.

    # -- transmitter and receiver --

    def _transmit(self, byte: int) -> None:
        if self._mcr & MCR_LOOP:
            self._receive(byte)
        else:
            self._sink(byte)
        self._thre_pending = True
        if self._ier:
            self._update()

    def _receive(self, byte: int) -> None:
        if self._fcr & FCR_ENABLE:
            if len(self._rx) == FIFO_DEPTH:
                # Datasheet 8.4 bit 1: the character in the shift register is overwritten, the FIFO is kept.
                self._errors |= LSR_OE
            else:
                self._rx.append(byte)
            self._start_timeout()
        else:
            if self._rx:
                self._errors |= LSR_OE
            self._rx = [byte]
        self._update()

    def _read_rbr(self) -> int:
        if not self._rx:
            return 0
        byte = self._rx.pop(0)
        self._timeout_pending = False
        self._cancel_timeout()
        if self._rx:
            self._start_timeout()
        self._pull()
        self._update()
        return byte

    def _pull(self) -> None:
        room = FIFO_DEPTH if self._fcr & FCR_ENABLE else 1
        while self._waiting and len(self._rx) < room and not self._mcr & MCR_LOOP:
            self._receive(self._waiting.popleft())

    def _write_fcr(self, value: int) -> None:
        if (value ^ self._fcr) & FCR_ENABLE or value & FCR_ENABLE and value & FCR_CLEAR_RX:
            self._rx = []
            self._timeout_pending = False
            self._cancel_timeout()
        # Bits of FCR are only programmed while bit 0 is written as 1 (datasheet 8.5); bits 1 and 2 clear themselves.
        self._fcr = value & 0xC9 if value & FCR_ENABLE else 0
        self._pull()
        self._update()

    # -- interrupts --

    def _line_status(self) -> int:
        return LSR_THRE | LSR_TEMT | self._errors | (LSR_DR if self._rx else 0)

    def _source(self) -> int:
        """The highest-priority pending interrupt as IIR shows it (datasheet table V)."""
        ier = self._ier
        if ier & IER_RLS and self._errors & LSR_ERRORS:
            return IIR_RLS
        if ier & IER_RDA and self._rx:
            if not self._fcr & FCR_ENABLE or len(self._rx) >= TRIGGER_LEVELS[self._fcr >> 6]:
                return IIR_RDA
            if self._timeout_pending:
                return IIR_TIMEOUT
        if ier & IER_THRE and self._thre_pending:
            return IIR_THRE
        if ier & IER_MS and self._deltas:
            return IIR_MS
        return IIR_NONE

    def _update(self) -> None:
        # In loopback the OUT2 pin is forced inactive (datasheet 8.7), which on a PC cuts the interrupt line.
        gated = self._mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2
        self._irq(gated and self._source() != IIR_NONE)

    def _character_ns(self) -> int:
        bits = 1 + 5 + (self._lcr & 3) + (self._lcr >> 3 & 1) + 1 + (self._lcr >> 2 & 1)
        return bits * 16 * max(self._divisor, 1) * SECOND // CRYSTAL_HZ

    def _start_timeout(self) -> None:
        """Four character times without a read or an arrival make the timeout interrupt (datasheet 8.6.1)."""
        self._cancel_timeout()
        self._timeout = self._clock.schedule(
            self._clock.now + 4 * self._character_ns(), self._timed_out, "UART receive timeout"
        )

    def _cancel_timeout(self) -> None:
        self._clock.cancel(self._timeout)
        self._timeout = None

    def _timed_out(self) -> None:
        self._timeout = None
        self._timeout_pending = True
        self._update()

    # -- modem lines --

    def _modem_inputs(self) -> int:
        if not self._mcr & MCR_LOOP:
            return self._inputs
        mcr = self._mcr
        return (
            (MSR_CTS if mcr & MCR_RTS else 0)
            | (MSR_DSR if mcr & MCR_DTR else 0)
            | (MSR_RI if mcr & MCR_OUT1 else 0)
            | (MSR_DCD if mcr & MCR_OUT2 else 0)
        )

    def _change_inputs(self, change: Callable[[], None]) -> None:
        before = self._modem_inputs()
        change()
        after = self._modem_inputs()
        changed = (before ^ after) & (MSR_CTS | MSR_DSR | MSR_DCD)
        # The ring indicator only counts its trailing edge (datasheet 8.8, TERI).
        self._deltas |= changed >> 4 | (0x04 if before & ~after & MSR_RI else 0)
        self._pull()
        self._update()

    # -- snapshots --

    _PLAIN = ("_ier", "_lcr", "_mcr", "_scr", "_fcr", "_divisor", "_errors", "_inputs", "_deltas", "_thre_pending")

    def save(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: getattr(self, name) for name in self._PLAIN}
        state.update(rx=list(self._rx), waiting=list(self._waiting), timeout_pending=self._timeout_pending)
        state["timeout_at"] = self._timeout.at if self._timeout else None
        return state

    def load(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state[name])
        self._rx, self._waiting = list(state["rx"]), deque(state["waiting"])
        self._timeout_pending = state["timeout_pending"]
        self._cancel_timeout()
        if state["timeout_at"] is not None:
            self._timeout = self._clock.schedule(state["timeout_at"], self._timed_out, "UART receive timeout")
        self._update()
