"""8254 programmable interval timer at ports 0x40-0x43 (Intel 8254 datasheet): three counters clocked at 1.193182 MHz.

Counter 0 drives IRQ 0. Counter 2's gate and output are wired to the system control port by whoever builds the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.clock import SECOND, Clock, Event
from emu.dev.pit_channel import PitChannel

PIT_HZ = 1_193_182
PIT_BASE = 0x40
CONTROL = 3


class Pit:
    """The chip. `irq` follows counter 0's OUT pin; mode 2's one-clock low pulse is merged into its rising edge."""

    def __init__(self, clock: Clock, irq: Callable[[bool], None]) -> None:
        self._clock = clock
        self._irq = irq
        self._event: Event | None = None
        self._channels = [PitChannel(True), PitChannel(True), PitChannel(False)]
        self._level = True
        self._irq(True)

    def reset(self) -> None:
        for channel in self._channels:
            channel.reset()
        self._refresh()

    @property
    def tick(self) -> int:
        """Clock ticks since the machine was made, exactly floor(now * 1193182 / 10^9)."""
        return self._clock.now * PIT_HZ // SECOND

    def out(self, channel: int) -> bool:
        """The OUT pin of a counter, now."""
        return self._channels[channel].out(self.tick)

    def set_gate(self, channel: int, gate: bool) -> None:
        """Drive the GATE pin of a counter (on a PC only counter 2's is not tied high)."""
        self._channels[channel].set_gate(self.tick, gate)

    def gate(self, channel: int) -> bool:
        """The level of a counter's GATE pin."""
        return self._channels[channel].gate

    def port_read(self, port: int, size: int) -> int:
        index = port & 3
        if index == CONTROL:
            return 0xFF  # "No-operation (3-state)", datasheet figure 6
        return self._channels[index].read(self.tick)

    def port_write(self, port: int, size: int, value: int) -> None:
        index = port & 3
        if index != CONTROL:
            self._channels[index].write(self.tick, value)
        elif value >> 6 == 3:
            self._read_back(value)
            return
        elif value >> 4 & 3 == 0:
            self._channels[value >> 6].latch_count(self.tick)
            return
        else:
            index = value >> 6
            self._channels[index].control(value >> 1 & 7, value >> 4 & 3, bool(value & 1))
        if index == 0:
            self._refresh()

    def _read_back(self, value: int) -> None:
        # Bits 5 and 4 are active low: COUNT and STATUS (datasheet figure 10).
        for index, channel in enumerate(self._channels):
            if value >> (index + 1) & 1:
                if not value & 0x20:
                    channel.latch_count(self.tick)
                if not value & 0x10:
                    channel.latch_status(self.tick)

    # -- counter 0's interrupt --

    def _refresh(self) -> None:
        """After programming: bring the line to OUT and find the next edge."""
        self._set_line(self._channels[0].out(self.tick))
        self._schedule(self.tick)

    def _set_line(self, level: bool) -> None:
        if level != self._level:
            self._level = level
            self._irq(level)

    def _schedule(self, tick: int) -> None:
        self._clock.cancel(self._event)
        self._event = None
        edge = self._channels[0].next_rise(tick)
        if edge is not None:
            at, level = edge
            at_ns = -(-at * SECOND // PIT_HZ)
            self._event = self._clock.schedule(at_ns, lambda: self._edge(at, level), "PIT counter 0")

    def _edge(self, tick: int, level: bool) -> None:
        if level and self._channels[0].mode != 3:
            self._set_line(False)
        self._set_line(level)
        self._schedule(tick)

    def save(self) -> dict[str, Any]:
        for channel in self._channels:
            channel.settle(self.tick)
        return {"channels": [channel.save() for channel in self._channels], "level": self._level}

    def load(self, state: dict[str, Any]) -> None:
        for channel, saved in zip(self._channels, state["channels"], strict=True):
            channel.load(saved)
        self._level = state["level"]
        self._irq(self._level)
        self._schedule(self.tick)
