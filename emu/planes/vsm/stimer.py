"""Synthetic timers, four for each VTL of a virtual processor (TLFS, "Timers", synthetic timers)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emu.clock import SECOND
from emu.irq.apicbus import ApicMessage
from emu.irq.lapic_msr import GeneralProtection
from emu.planes.vsm.synic import message

if TYPE_CHECKING:
    from emu.clock import Clock, Event
    from emu.irq.lapic import LocalApic
    from emu.planes.vsm.synic import Synic

CONFIG0, TIMERS = 0x400000B0, 4
INDEXES = range(CONFIG0, CONFIG0 + 2 * TIMERS)              # configuration and count of each in turn
ENABLED, PERIODIC, LAZY, AUTO_ENABLE, DIRECT = 1, 2, 4, 8, 1 << 12
VECTOR_SHIFT, SINT_SHIFT = 4, 16
RESERVED = ~(0xF << SINT_SHIFT | 0x1FFF)
MESSAGE_TIMER_EXPIRED = 0x80000010
TICK_NS = SECOND // 10_000_000                              # reference time counts 100 ns


class Stimer:
    """One timer. An expiration whose message still waits for its slot is not sent again."""

    def __init__(self, number: int, clock: Clock, synic: Synic, lapic: LocalApic) -> None:
        self._number, self._clock, self._synic, self._lapic = number, clock, synic, lapic
        self.config, self.count = 0, 0
        self._expiration = 0
        self._event: Event | None = None

    def write_config(self, value: int) -> None:
        """STIMERn_CONFIG. GeneralProtection: a reserved bit is set."""
        if value & RESERVED:
            raise GeneralProtection
        if not value & DIRECT and not value >> SINT_SHIFT & 0xF:
            value &= ~ENABLED                               # there is nowhere to send a message
        self.config = value
        self._start()

    def write_count(self, value: int) -> None:
        """STIMERn_COUNT: 0 stops the timer; another value starts it under AutoEnable."""
        self.count = value
        if value == 0:
            self.config &= ~ENABLED
        elif self.config & AUTO_ENABLE:
            self.config |= ENABLED
        self._start()

    def stop(self) -> None:
        """As after a reset."""
        self.config = self.count = 0
        self._start()

    def _start(self) -> None:
        self._clock.cancel(self._event)
        self._event = None
        if self.config & ENABLED and self.count:
            now = self._clock.now // TICK_NS
            self._schedule(now + self.count if self.config & PERIODIC else self.count)

    def _schedule(self, expiration: int) -> None:
        self._expiration = expiration
        self._event = self._clock.schedule(max(expiration * TICK_NS, self._clock.now), self._expired, "synthetic timer")

    def _expired(self) -> None:
        self._event = None
        now = self._clock.now // TICK_NS
        expiration = self._expiration
        if self.config & PERIODIC:
            missed = (now - expiration) // self.count       # all but the last of those that idle time skipped
            self._schedule(expiration + (missed + 1) * self.count)
        else:
            self.config &= ~ENABLED
        if self.config & DIRECT:
            self._lapic.accept(ApicMessage(self.config >> VECTOR_SHIFT & 0xFF))
            return
        data = message(MESSAGE_TIMER_EXPIRED, struct.pack("<IIQQ", self._number, 0, expiration, now))
        sint = self.config >> SINT_SHIFT & 0xF
        if not self._synic.waits(sint, data):
            self._synic.post(sint, data)


class Stimers:
    """The timers of one VTL of a virtual processor, as MSRs."""

    def __init__(self, clock: Clock, synic: Synic, lapic: LocalApic) -> None:
        self._timers = [Stimer(n, clock, synic, lapic) for n in range(TIMERS)]

    def read(self, index: int) -> int:
        """RDMSR of one of INDEXES."""
        timer = self._timers[(index - CONFIG0) // 2]
        return timer.count if (index - CONFIG0) % 2 else timer.config

    def write(self, index: int, value: int) -> None:
        """WRMSR of one of INDEXES. GeneralProtection: a reserved bit is set."""
        timer = self._timers[(index - CONFIG0) // 2]
        if (index - CONFIG0) % 2:
            timer.write_count(value)
        else:
            timer.write_config(value)

    def stop(self) -> None:
        """As after a reset."""
        for timer in self._timers:
            timer.stop()
