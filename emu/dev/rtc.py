"""MC146818A real-time clock with CMOS memory at ports 0x70/0x71 (Motorola MC146818A datasheet).

Time counts from a configured start, never from the host. Nothing ticks: the time registers and the flags of register C
are functions of the virtual clock; an event exists only while an enabled interrupt lies ahead. New time values appear,
and UF is set, at the end of the update cycle; UIP leads it by the 244 us of warning plus the 1984 us of the cycle.
The century byte at 0x32 is the PC convention (ACPI FADT CENTURY).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.clock import SECOND, Clock, Event
from emu.dev.rtc_calendar import DAY, Calendar, civil_from_days, days_from_civil, next_alarm

SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, MONTHDAY, MONTH, YEAR = range(10)
REG_A, REG_B, REG_C, REG_D = range(10, 14)
CENTURY = 0x32
A_UIP, A_DIVIDER, A_RATE = 0x80, 0x70, 0x0F
B_SET, B_PIE, B_AIE, B_UIE, B_BINARY, B_24H = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
C_IRQF, C_PF, C_AF, C_UF = 0x80, 0x40, 0x20, 0x10
D_VALID = 0x80
TIME_REGISTERS = (SECONDS, MINUTES, HOURS, WEEKDAY, MONTHDAY, MONTH, YEAR, CENTURY)

UIP_NS = 244_000 + 1_984_000
CRYSTAL_HZ = 32_768
DEFAULT_START = 1_704_067_200  # 2024-01-01 00:00:00 UTC


class Rtc:
    """Clock, alarm and 128 bytes of CMOS. `start` is the time at power-on in seconds since 1970-01-01 UTC."""

    def __init__(self, clock: Clock, irq: Callable[[bool], None], start: int = DEFAULT_START) -> None:
        if not 0 <= start < 253_402_300_800:
            raise ValueError(f"RTC start {start}: must lie between 1970 and 9999")
        self._clock = clock
        self._irq = irq
        self._event: Event | None = None
        self._index = 0
        self.nmi_masked = False
        self._ram = bytearray(128)
        self._ram[REG_A] = 0x26
        self._ram[REG_B] = B_24H
        self._ram[REG_D] = D_VALID
        # Calendar seconds at clock time `_base_ns`; a second ends every SECOND ns from there.
        self._base_seconds, self._base_ns = start, clock.now
        self._weekday_shift = 0
        self._held: dict[int, int] | None = None
        self._flags = 0
        self._latched = clock.now

    def reset(self) -> None:
        """The RESET pin: interrupt enables and flags are cleared; time and CMOS are battery-backed and stay."""
        self._ram[REG_B] &= ~(B_PIE | B_AIE | B_UIE) & 0xFF
        self._flags = 0
        self._latched = self._clock.now
        self._index = 0
        self.nmi_masked = False
        self._update()

    def set_cmos(self, index: int, value: int) -> None:
        """Set a CMOS byte (0x0E .. 0x7F, but for the century) as firmware would find it."""
        if not REG_D < index < 128 or index == CENTURY:
            raise ValueError(f"CMOS index {index:#x}: 0x0e to 0x7f without 0x32")
        self._ram[index] = value & 0xFF

    # -- ports --

    def port_read(self, port: int, size: int) -> int:
        if not port & 1:
            return 0xFF  # the address latch is write-only on a PC
        index = self._index
        if index == REG_C:
            self._latch()
            value, self._flags = self._register_c(), 0
            self._update()
            return value
        if index == REG_A:
            return self._ram[REG_A] & ~A_UIP | (A_UIP if self._updating() else 0)
        if index in TIME_REGISTERS:
            return self._registers()[index]
        return self._ram[index]

    def port_write(self, port: int, size: int, value: int) -> None:
        if not port & 1:
            self._index = value & 0x7F
            self.nmi_masked = bool(value & 0x80)
            return
        index = self._index
        if index in (REG_C, REG_D):
            return  # read-only
        self._latch()
        if index in TIME_REGISTERS:
            self._write_time(index, value)
        elif index == REG_A:
            self._write_a(value)
        elif index == REG_B:
            self._write_b(value)
        else:
            self._ram[index] = value
        self._update()

    def _write_a(self, value: int) -> None:
        was_running = self._running()
        seconds = self._seconds() if was_running else self._base_seconds
        self._ram[REG_A] = value & ~A_UIP
        if was_running and not self._running():
            self._base_seconds = seconds
        elif not was_running and self._running():
            # "The first update cycle begins one-half second" after the divider leaves reset.
            self._base_ns = self._clock.now - SECOND // 2

    def _write_b(self, value: int) -> None:
        if value & B_SET:
            value &= ~B_UIE  # SET going high clears UIE
            if self._held is None:
                self._held = self._registers()
            self._ram[REG_B] = value
            return
        # The format bits in force when SET is released decide how the held registers read.
        self._ram[REG_B] = value
        if self._held is not None:
            held, self._held = self._held, None
            self._set_time(held)

    def _write_time(self, index: int, value: int) -> None:
        if self._held is not None:
            self._held[index] = value
        else:
            registers = self._registers()
            registers[index] = value
            self._set_time(registers)

    # -- time --

    def _running(self) -> bool:
        # Divider codes 11x hold the chain in reset; the three time bases count (datasheet table 4).
        return self._ram[REG_A] & A_DIVIDER <= 0x20

    def _seconds(self, ns: int | None = None) -> int:
        """Calendar seconds at `ns` (default now)."""
        if not self._running():
            return self._base_seconds
        return self._base_seconds + ((self._clock.now if ns is None else ns) - self._base_ns) // SECOND

    def _updating(self) -> bool:
        if self._held is not None or not self._running():
            return False
        return (self._clock.now - self._base_ns) % SECOND >= SECOND - UIP_NS

    def _registers(self) -> dict[int, int]:
        if self._held is not None:
            return dict(self._held)
        days, second = divmod(self._seconds(), DAY)
        year, month, day = civil_from_days(days)
        form = self._calendar
        return {
            SECONDS: form.encode(second % 60),
            MINUTES: form.encode(second // 60 % 60),
            HOURS: form.encode_hour(second // 3600),
            WEEKDAY: form.encode((days + 4 + self._weekday_shift) % 7 + 1),  # 1970-01-01 was a Thursday, day 5
            MONTHDAY: form.encode(day),
            MONTH: form.encode(month),
            YEAR: form.encode(year % 100),
            CENTURY: form.encode(year // 100),
        }

    def _set_time(self, registers: dict[int, int]) -> None:
        form = self._calendar
        year = form.decode(registers[CENTURY]) * 100 + form.decode(registers[YEAR])
        days = days_from_civil(year, form.decode(registers[MONTH]), form.decode(registers[MONTHDAY]))
        second = form.decode_hour(registers[HOURS]) * 3600
        second += form.decode(registers[MINUTES]) * 60 + form.decode(registers[SECONDS])
        elapsed = self._clock.now - self._base_ns
        if self._running():
            self._base_ns += elapsed // SECOND * SECOND  # the divider chain keeps its phase
        self._base_seconds = days * DAY + second
        self._weekday_shift = (form.decode(registers[WEEKDAY]) - 1 - (self._base_seconds // DAY + 4)) % 7

    @property
    def _calendar(self) -> Calendar:
        register_b = self._ram[REG_B]
        return Calendar(bool(register_b & B_BINARY), bool(register_b & B_24H))

    # -- flags and interrupts --

    def _period_cycles(self) -> int:
        """The periodic interrupt's period in crystal cycles, 0 if it is off (datasheet table 5, 32.768 kHz base)."""
        rate = self._ram[REG_A] & A_RATE
        if rate == 0 or not self._running():
            return 0
        return 1 << (rate + 6 if rate < 3 else rate - 1)

    def _periods(self, ns: int) -> int:
        """How many periodic ticks lie in the chain's first `ns - base` nanoseconds."""
        return (ns - self._base_ns) * CRYSTAL_HZ // (SECOND * self._period_cycles())

    def _alarm_matches(self) -> tuple[int, int, int]:
        return self._ram[HOURS_ALARM], self._ram[MINUTES_ALARM], self._ram[SECONDS_ALARM]

    def _next_alarm(self, after: int) -> int | None:
        """Calendar seconds of the first alarm later than `after`, or None if the registers match no time."""
        return next_alarm(after, *self._alarm_matches(), self._calendar)

    def _latch(self) -> None:
        """Set the flags for what happened since the last look."""
        now, before = self._clock.now, self._latched
        self._latched = now
        if not self._running():
            return
        if self._period_cycles() and self._periods(now) != self._periods(before):
            self._flags |= C_PF
        first, last = self._seconds(before), self._seconds(now)
        if self._held is None and last > first:
            self._flags |= C_UF
            alarm = self._next_alarm(first)
            if alarm is not None and alarm <= last:
                self._flags |= C_AF

    def _register_c(self) -> int:
        # PF, AF and UF sit where PIE, AIE and UIE sit in register B.
        return self._flags | (C_IRQF if self._flags & self._ram[REG_B] & (C_PF | C_AF | C_UF) else 0)

    def _update(self) -> None:
        """Drive the line and schedule the next enabled interrupt, unless one is already asserted."""
        self._clock.cancel(self._event)
        self._event = None
        asserted = bool(self._register_c() & C_IRQF)
        self._irq(asserted)
        if asserted or not self._running():
            return
        enables, now, times = self._ram[REG_B], self._clock.now, []
        if enables & B_PIE and self._period_cycles():
            cycles = (self._periods(now) + 1) * self._period_cycles()
            times.append(self._base_ns - (-cycles * SECOND // CRYSTAL_HZ))
        if self._held is None:
            if enables & B_UIE:
                times.append(self._second_ns(self._seconds() + 1))
            alarm = self._next_alarm(self._seconds()) if enables & B_AIE else None
            if alarm is not None:
                times.append(self._second_ns(alarm))
        if times:
            self._event = self._clock.schedule(min(times), self._due, "RTC interrupt")

    def _second_ns(self, seconds: int) -> int:
        return self._base_ns + (seconds - self._base_seconds) * SECOND

    def _due(self) -> None:
        self._event = None
        self._latch()
        self._update()

    # -- snapshots --

    _PLAIN = ("_index", "nmi_masked", "_base_seconds", "_base_ns", "_weekday_shift", "_flags", "_latched")

    def save(self) -> dict[str, Any]:
        held = None if self._held is None else sorted(self._held.items())
        return {"ram": bytes(self._ram), "held": held} | {name: getattr(self, name) for name in self._PLAIN}

    def load(self, state: dict[str, Any]) -> None:
        self._ram = bytearray(state["ram"])
        self._held = None if state["held"] is None else {index: value for index, value in state["held"]}
        for name in self._PLAIN:
            setattr(self, name, state[name])
        self._update()
