"""One counter of the 8254 programmable interval timer (Intel 8254 datasheet), derived lazily from a tick count.

Nothing is counted down: a counter remembers the tick at which its count was loaded, and the count and the OUT pin
are functions of the ticks since. All times are ticks of the counter's CLK input. Counting values follow the datasheet:
a count written at tick t is loaded at t + 1, so mode 0's OUT rises N + 1 clocks after the write.
"""

from __future__ import annotations

from typing import Any

LSB_ONLY, MSB_ONLY, LSB_THEN_MSB = 1, 2, 3

_PLAIN = (
    "mode", "bcd", "access", "gate", "reload", "start", "frozen", "pending", "pending_at", "programmed",
    "null_count", "write_low", "write_high_next", "read_high_next", "count_latch", "latch_left", "status_latch",
)  # fmt: skip


class PitChannel:
    """A counter with its gate. `start` is the tick of the last load, or None before one (or until a trigger)."""

    def __init__(self, gate: bool) -> None:
        self.gate = gate
        self.reset()

    def reset(self) -> None:
        """Power-on: undefined in the datasheet; here the counter stands still with OUT high until it is programmed."""
        self.mode, self.bcd, self.access = 2, False, LSB_THEN_MSB
        self.reload = 0x10000
        self.start: int | None = None
        self.frozen: int | None = None
        self.pending: int | None = None
        self.pending_at = 0
        self.programmed = False
        self.null_count = True
        self.write_low = 0
        self.write_high_next = self.read_high_next = False
        self.count_latch = 0
        self.latch_left = 0
        self.status_latch: int | None = None

    # -- programming --

    def control(self, mode: int, access: int, bcd: bool) -> None:
        """A control word: the counter stops, OUT takes the mode's initial level."""
        self.mode = mode & 3 if mode in (6, 7) else mode
        self.access, self.bcd = access, bcd
        self.start = self.frozen = self.pending = None
        self.programmed = True
        self.null_count = True
        self.write_high_next = self.read_high_next = False
        self.latch_left = 0
        self.status_latch = None

    def write(self, tick: int, byte: int) -> None:
        """One byte of a count, in the order that the control word chose."""
        self.settle(tick)
        if self.access == LSB_ONLY:
            self._new_count(tick, byte)
        elif self.access == MSB_ONLY:
            self._new_count(tick, byte << 8)
        elif self.write_high_next:
            self.write_high_next = False
            self._new_count(tick, byte << 8 | self.write_low)
        else:
            self.write_low, self.write_high_next = byte, True
            if self.mode == 0 and self.start is not None:
                # "Writing the first byte disables counting. OUT is set low immediately" (mode 0).
                self.start = None

    def _new_count(self, tick: int, raw: int) -> None:
        modulus = 10_000 if self.bcd else 0x10000
        count = _from_bcd(raw) % modulus if self.bcd else raw
        count = count or modulus
        self.programmed = True
        self.null_count = True
        if self.mode in (1, 5):
            self.pending, self.pending_at = count, -1  # until the next trigger
        elif self.mode in (2, 3) and self.start is not None and self.gate:
            half_or_period = self._boundary(tick)
            self.pending, self.pending_at = count, half_or_period
        elif self.mode in (2, 3) and not self.gate:
            self.reload, self.start, self.pending = count, None, None
        else:
            self.reload, self.start = count, tick + 1
            self.frozen = None if self.gate else 0

    def set_gate(self, tick: int, gate: bool) -> None:
        """Drive the GATE input (datasheet figure 22, "Gate Pin Operations Summary")."""
        self.settle(tick)
        if gate == self.gate:
            return
        if self.mode in (1, 5):
            if gate and (self.pending is not None or self.start is not None):
                self.reload = self.pending if self.pending is not None else self.reload
                self.pending, self.start = None, tick + 1
        elif self.mode in (2, 3):
            if gate:
                self.reload = self.pending if self.pending is not None else self.reload
                self.pending, self.frozen = None, None
                self.start = tick + 1 if self.programmed else None
            else:
                self.frozen = self._elapsed(tick)
        elif self.start is not None:
            if gate:
                self.start, self.frozen = tick - (self.frozen or 0), None
            else:
                self.frozen = self._elapsed(tick)
        self.gate = gate

    # -- the counting element --

    def _elapsed(self, tick: int) -> int:
        """Clocks counted since the load."""
        if self.frozen is not None:
            return self.frozen
        return max(0, tick - self.start) if self.start is not None else 0

    def _boundary(self, tick: int) -> int:
        """Modes 2 and 3: the tick at which a count written now replaces the present one."""
        assert self.start is not None
        elapsed = self._elapsed(tick)
        if self.mode == 2:
            return self.start + (elapsed // self.reload + 1) * self.reload
        high = (self.reload + 1) // 2
        cycles, phase = divmod(elapsed, self.reload)
        return self.start + cycles * self.reload + (high if phase < high else self.reload)

    def settle(self, tick: int) -> None:
        """Fold what has happened by `tick` into the state."""
        if self.pending is not None and 0 <= self.pending_at <= tick:
            assert self.start is not None
            if self.mode == 3 and (self.pending_at - self.start) % self.reload:
                # Reloaded in the middle of the cycle: the low half runs on the new count.
                self.start = self.pending_at - (self.pending + 1) // 2
            else:
                self.start = self.pending_at
            self.reload, self.pending = self.pending, None
        if self.start is not None and tick >= self.start and self.pending is None:
            self.null_count = False

    def out(self, tick: int) -> bool:
        """The OUT pin at `tick`."""
        self.settle(tick)
        if self.start is None:
            return self.mode != 0 or not self.programmed
        elapsed, reload = self._elapsed(tick), self.reload
        if self.mode == 0:
            return elapsed >= reload
        if self.mode == 1:
            return elapsed >= reload or tick < self.start
        if self.mode in (4, 5):
            return elapsed != reload
        if not self.gate or tick < self.start:
            return True
        if self.mode == 2:
            return elapsed % reload != reload - 1
        return elapsed % reload < (reload + 1) // 2

    def next_rise(self, tick: int) -> tuple[int, bool] | None:
        """The next change of OUT that matters to an edge-triggered input after `tick`: (tick, level), or None.

        Mode 2's low pulse of one clock is reported by its rising edge alone.
        """
        self.settle(tick)
        if self.start is None or self.frozen is not None:
            return None
        elapsed, reload = tick - self.start, self.reload
        if self.mode in (0, 1):
            return (self.start + reload, True) if elapsed < reload else None
        if self.mode in (4, 5):
            return (self.start + reload + 1, True) if elapsed < reload + 1 else None
        if elapsed < 0:
            elapsed = 0
        if self.mode == 2:
            return self.start + (elapsed // reload + 1) * reload, True
        boundary = self._boundary(tick)
        return boundary, (boundary - self.start) % reload == 0

    def count(self, tick: int) -> int:
        """The counting element as the bus reads it, BCD if so programmed."""
        self.settle(tick)
        modulus = 10_000 if self.bcd else 0x10000
        elapsed, reload = self._elapsed(tick), self.reload
        if self.start is None:
            value = reload
        elif self.mode == 2:
            value = reload - elapsed % reload
        elif self.mode == 3:
            phase, high, top = elapsed % reload, (reload + 1) // 2, reload & ~1
            value = top - 2 * (phase if phase < high else phase - high)
        else:
            value = reload - elapsed
        value %= modulus
        return _to_bcd(value) if self.bcd else value

    # -- reading --

    def latch_count(self, tick: int) -> None:
        """Counter latch command: ignored while an earlier latch has not been read."""
        if not self.latch_left:
            self.count_latch = self.count(tick)
            self.latch_left = 2 if self.access == LSB_THEN_MSB else 1

    def latch_status(self, tick: int) -> None:
        """Read-back command's status byte: OUT, null count, access, mode, BCD."""
        if self.status_latch is None:
            out = self.out(tick)
            self.status_latch = out << 7 | self.null_count << 6 | self.access << 4 | self.mode << 1 | self.bcd

    def read(self, tick: int) -> int:
        """One byte: the latched status first, then a latched count, then the live count."""
        if self.status_latch is not None:
            status, self.status_latch = self.status_latch, None
            return status
        value = self.count_latch if self.latch_left else self.count(tick)
        if self.latch_left:
            self.latch_left -= 1
        high = self.access == MSB_ONLY
        if self.access == LSB_THEN_MSB:
            high = self.read_high_next
            self.read_high_next = not high
        return value >> 8 if high else value & 0xFF

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _PLAIN}

    def load(self, state: dict[str, Any]) -> None:
        for name in _PLAIN:
            setattr(self, name, state[name])


def _from_bcd(raw: int) -> int:
    return (raw >> 12) * 1000 + (raw >> 8 & 15) * 100 + (raw >> 4 & 15) * 10 + (raw & 15)


def _to_bcd(value: int) -> int:
    return value // 1000 << 12 | value // 100 % 10 << 8 | value // 10 % 10 << 4 | value % 10
