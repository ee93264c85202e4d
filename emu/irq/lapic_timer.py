"""The local APIC timer: one-shot, periodic and TSC-deadline (Intel SDM vol. 3A, 11.5.4), derived from the clock.

The current count is a function of the time since it was loaded. While the LVT entry is masked nothing is scheduled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.clock import SECOND, Clock, Event

ONE_SHOT, PERIODIC, TSC_DEADLINE = 0, 1, 2
DIVIDE_SHIFT = {0b0000: 1, 0b0001: 2, 0b0010: 3, 0b0011: 4, 0b1000: 5, 0b1001: 6, 0b1010: 7, 0b1011: 0}


class ApicTimer:
    """Counts at `hz` / divisor and calls `fire` at each expiry while unmasked. `tsc_offset`: this TSC - the clock's."""

    def __init__(self, clock: Clock, hz: int, fire: Callable[[], None]) -> None:
        self._clock = clock
        self._hz = hz
        self.fire = fire                # what happens when it expires
        self._event: Event | None = None
        self.name = "local APIC timer"
        self.tsc_offset = 0
        self.reset()

    def reset(self) -> None:
        self.mode = ONE_SHOT
        self.masked = True
        self.divide = 0
        self.initial = 0
        self._loaded = 0
        self._loaded_at = 0
        self._deadline = 0
        self._cancel()

    @property
    def _scale(self) -> int:
        """hz * 1 tick = `_scale` ns: nanoseconds a tick, times hz."""
        return SECOND << DIVIDE_SHIFT[self.divide]

    def _ticks(self) -> int:
        return (self._clock.now - self._loaded_at) * self._hz // self._scale

    def current(self) -> int:
        """The current-count register."""
        if self.mode == TSC_DEADLINE or not self._loaded:
            return 0
        left = self._loaded - self._ticks()
        if left > 0:
            return left
        return self.initial - -left % self.initial if self.mode == PERIODIC and self.initial else 0

    def write_initial(self, value: int) -> None:
        """Initial-count register: starts the timer, or stops it if 0. Ignored in TSC-deadline mode."""
        if self.mode != TSC_DEADLINE:
            self.initial = value
            self._load(value)

    def write_divide(self, value: int) -> None:
        """Divide configuration, bits 3, 1 and 0; a running count goes on at the new rate."""
        current = self.current()
        self.divide = value & 0b1011
        self._load(current)

    def write_control(self, mode: int, masked: bool) -> None:
        """LVT timer entry. Between one-shot and periodic the count goes on; to or from TSC-deadline disarms."""
        current = self.current()
        if (mode == TSC_DEADLINE) != (self.mode == TSC_DEADLINE):
            current = self._deadline = self.initial = 0
        self.mode, self.masked = mode, masked
        self._load(current)

    @property
    def deadline(self) -> int:
        """IA32_TSC_DEADLINE as it reads: 0 unless armed."""
        return self._deadline if self.mode == TSC_DEADLINE else 0

    @deadline.setter
    def deadline(self, tsc: int) -> None:
        if self.mode == TSC_DEADLINE:
            self._deadline = tsc
            self._schedule()

    def set_tsc_offset(self, offset: int) -> None:
        """This vCPU's TSC is now the clock's plus `offset`, modulo 2**64; an armed deadline comes sooner or later."""
        self.tsc_offset = offset - (1 << 64) if offset >> 63 else offset
        if self.mode == TSC_DEADLINE:
            self._schedule()

    def _load(self, count: int) -> None:
        self._loaded, self._loaded_at = count, self._clock.now
        self._schedule()

    def _cancel(self) -> None:
        self._clock.cancel(self._event)
        self._event = None

    def _schedule(self) -> None:
        self._cancel()
        if self.mode == TSC_DEADLINE:
            if self._deadline:
                # Also when masked: an expired deadline disarms the timer.
                at = max(self._clock.now, self._clock.tsc_to_ns(self._deadline - self.tsc_offset))
                self._event = self._clock.schedule(at, self._expired, self.name)
            return
        if self.masked or not self._loaded:
            return
        ticks = self._loaded
        passed = self._ticks()
        if passed >= ticks:
            if self.mode != PERIODIC or not self.initial:
                return
            ticks += ((passed - ticks) // self.initial + 1) * self.initial
        at = self._loaded_at - (-ticks * self._scale // self._hz)
        self._event = self._clock.schedule(at, self._expired, self.name)

    def _expired(self) -> None:
        self._event = None
        if self.mode == TSC_DEADLINE:
            self._deadline = 0
        else:
            self._schedule()
        if not self.masked:
            self.fire()

    _PLAIN = ("mode", "masked", "divide", "initial", "tsc_offset", "_loaded", "_loaded_at", "_deadline")

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._PLAIN}

    def load(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state[name])
        self._schedule()
