"""High precision event timers (IA-PC HPET specification 1.0a): a 64-bit counter at 100 MHz and three comparators.

In legacy replacement mode timer 0 drives IRQ 0 and timer 1 IRQ 8 instead of the 8254 and the real-time clock, whose
lines therefore pass through here. There is no FSB (message) delivery.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.clock import Clock, Event

HPET_BASE, HPET_SIZE = 0xFED00000, 0x400
PERIOD_NS = 10
FEMTOSECONDS = 1_000_000
TIMERS = 3
MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
# Revision 1, 64-bit counter, legacy replacement, vendor 8086h, and the period in femtoseconds.
CAPABILITIES = 1 | TIMERS - 1 << 8 | 1 << 13 | 1 << 15 | 0x8086 << 16 | PERIOD_NS * FEMTOSECONDS << 32
GENERAL_CAPABILITIES, GENERAL_CONFIGURATION, INTERRUPT_STATUS, MAIN_COUNTER = 0x000, 0x010, 0x020, 0x0F0
TIMER_BASE, TIMER_STRIDE, COMPARATOR = 0x100, 0x20, 8
ENABLE, LEGACY = 1, 2
LEVEL, INTERRUPT_ENABLE, PERIODIC, PERIODIC_CAPABLE, WIDE_CAPABLE, VALUE_SET, NARROW = 2, 4, 8, 16, 32, 64, 256
ROUTE_SHIFT, ROUTE_MASK = 9, 0x1F << 9
ROUTES = 0x00F00000                     # I/O APIC inputs 20 to 23, which nothing else uses
WRITABLE = LEVEL | INTERRUPT_ENABLE | PERIODIC | VALUE_SET | NARROW | ROUTE_MASK
FIXED = PERIODIC_CAPABLE | WIDE_CAPABLE | ROUTES << 32


class Timer:
    """One comparator. `comparator` is what software reads; `period` what it wrote last, for periodic mode."""

    def __init__(self) -> None:
        self.configuration = FIXED
        self.comparator = self.period = MASK64
        self.event: Event | None = None

    @property
    def mask(self) -> int:
        """Width of the comparator."""
        return MASK32 if self.configuration & NARROW else MASK64


class Hpet:
    """The block. `pin(n, level)` drives I/O APIC input n; `irq0` and `irq8` are the ISA lines."""

    def __init__(self, clock: Clock, pin: Callable[[int, bool], None], irq0: Callable[[bool], None],
                 irq8: Callable[[bool], None]) -> None:
        self._clock, self._pin = clock, pin
        self._lines = (irq0, irq8)
        self._sources = [False, False]          # what the 8254 and the real-time clock drive
        self.reset()

    def reset(self) -> None:
        for timer in getattr(self, "_timers", ()):
            self._clock.cancel(timer.event)
        self._configuration = self._status = 0
        self._halted_at = 0                     # counter value while it is halted
        self._started = 0                       # time at which the counter would have been 0, while it runs
        self._timers = [Timer() for _ in range(TIMERS)]

    # -- the lines it takes over --

    def pit_line(self, level: bool) -> None:
        """OUT of the 8254's counter 0."""
        self._source(0, level)

    def rtc_line(self, level: bool) -> None:
        """IRQ of the real-time clock."""
        self._source(1, level)

    def _source(self, number: int, level: bool) -> None:
        self._sources[number] = level
        if not self._configuration & LEGACY:
            self._lines[number](level)

    # -- counting --

    def counter(self) -> int:
        """The main counter now."""
        if not self._configuration & ENABLE:
            return self._halted_at
        return (self._clock.now - self._started) // PERIOD_NS & MASK64

    def _set_counter(self, value: int) -> None:
        self._halted_at = value
        self._started = self._clock.now - value * PERIOD_NS

    def _schedule(self, number: int) -> None:
        """The event of the next match; a comparator that equals the counter matches when it comes round again."""
        timer = self._timers[number]
        self._clock.cancel(timer.event)
        timer.event = None
        if not self._configuration & ENABLE or not timer.configuration & INTERRUPT_ENABLE:
            return
        now = self.counter()
        ticks = (timer.comparator - now) & timer.mask or timer.mask + 1
        at = self._started + (now + ticks) * PERIOD_NS
        timer.event = self._clock.schedule(at, lambda: self._match(number), f"HPET timer {number}")

    def _schedule_all(self) -> None:
        for number in range(TIMERS):
            self._schedule(number)

    def _match(self, number: int) -> None:
        timer = self._timers[number]
        timer.event = None
        if timer.configuration & PERIODIC and timer.period:
            timer.comparator = timer.comparator + timer.period & timer.mask
        if timer.configuration & LEVEL:
            self._status |= 1 << number
            self._drive(number, True)
        else:
            self._drive(number, True)
            self._drive(number, False)
        self._schedule(number)

    def _drive(self, number: int, level: bool) -> None:
        if self._configuration & LEGACY and number < 2:
            self._lines[number](level)
            return
        route = (self._timers[number].configuration & ROUTE_MASK) >> ROUTE_SHIFT
        if ROUTES >> route & 1:
            self._pin(route, level)

    # -- registers --

    def mmio_read(self, offset: int, size: int) -> int:
        value = self._read(offset & ~7) >> 8 * (offset & 7)
        return value & (1 << 8 * size) - 1

    def mmio_write(self, offset: int, size: int, value: int) -> None:
        if offset & size - 1 or size < 4:       # "32-bit or 64-bit aligned accesses only", 2.3.1
            return
        shift = 8 * (offset & 7)
        mask = (1 << 8 * size) - 1 << shift
        self._write(offset & ~7, value << shift & mask, mask)

    def _read(self, register: int) -> int:
        if register == GENERAL_CAPABILITIES:
            return CAPABILITIES
        if register == GENERAL_CONFIGURATION:
            return self._configuration
        if register == INTERRUPT_STATUS:
            return self._status
        if register == MAIN_COUNTER:
            return self.counter()
        number, part = divmod(register - TIMER_BASE, TIMER_STRIDE)
        if 0 <= number < TIMERS:
            timer = self._timers[number]
            if part == 0:
                return timer.configuration
            if part == COMPARATOR:
                return timer.comparator
        return 0

    def _write(self, register: int, value: int, mask: int) -> None:
        number, part = divmod(register - TIMER_BASE, TIMER_STRIDE)
        if register == GENERAL_CONFIGURATION:
            self._configure((self._configuration & ~mask | value) & (ENABLE | LEGACY))
        elif register == INTERRUPT_STATUS:
            self._acknowledge(value)
        elif register == MAIN_COUNTER:
            if not self._configuration & ENABLE:        # "writes only while it is halted", 2.3.7
                self._set_counter(self._halted_at & ~mask | value)
        elif 0 <= number < TIMERS and part == 0:
            self._configure_timer(number, self._timers[number].configuration & ~mask | value)
        elif 0 <= number < TIMERS and part == COMPARATOR:
            self._compare(number, value, mask)

    def _configure(self, configuration: int) -> None:
        changed = configuration ^ self._configuration
        if changed & ENABLE:
            value = self.counter()
            self._configuration = self._configuration & ~ENABLE | configuration & ENABLE
            self._set_counter(value)
        if changed & LEGACY:
            self._configuration = configuration
            for number, line in enumerate(self._lines):
                line(bool(self._status >> number & 1) if configuration & LEGACY else self._sources[number])
        self._schedule_all()

    def _acknowledge(self, value: int) -> None:
        for number in range(TIMERS):
            if self._status & value & 1 << number:
                self._status &= ~(1 << number)
                self._drive(number, False)

    def _configure_timer(self, number: int, configuration: int) -> None:
        timer = self._timers[number]
        if self._status >> number & 1:
            self._acknowledge(1 << number)              # it may no longer be level-triggered, or go elsewhere
        timer.configuration = configuration & WRITABLE | FIXED
        self._schedule(number)

    def _compare(self, number: int, value: int, mask: int) -> None:
        """A periodic timer takes the value as its period, and as its next match only with VAL_SET (2.3.9.2.2)."""
        timer = self._timers[number]
        if not timer.configuration & PERIODIC or timer.configuration & VALUE_SET:
            timer.comparator = (timer.comparator & ~mask | value) & timer.mask
        timer.period = (timer.period & ~mask | value) & timer.mask
        timer.configuration &= ~VALUE_SET
        self._schedule(number)

    # -- state --

    _PLAIN = ("_configuration", "_status", "_halted_at", "_started", "_sources")

    def save(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in self._PLAIN if name != "_sources"}
        timers = [[t.configuration, t.comparator, t.period] for t in self._timers]
        return state | {"_sources": list(self._sources), "timers": timers}

    def load(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state[name])
        self._sources = list(state["_sources"])
        for timer, (configuration, comparator, period) in zip(self._timers, state["timers"], strict=True):
            timer.configuration, timer.comparator, timer.period = configuration, comparator, period
        self._schedule_all()
