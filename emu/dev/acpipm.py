"""ACPI fixed hardware in PIIX4's power-management I/O block (Intel 82371AB datasheet, 7.2; ACPI specification 4.8.3):
PM1 event and control registers, the 24-bit timer at 3.579545 MHz, S3 and S5 by SLP_EN.

In S3 the processors stand still until the RTC's interrupt or the power button, where enabled, wakes the machine: the
board is reset then, and WAK_STS says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.clock import SECOND, Clock, Event

PM_TIMER_HZ = 3_579_545
BLOCK_SIZE = 0x40
PM1_STATUS, PM1_ENABLE, PM1_CONTROL, PM_TIMER = 0x00, 0x02, 0x04, 0x08
TIMER_STATUS, GLOBAL_STATUS, POWER_BUTTON, RTC_STATUS = 0x0001, 0x0020, 0x0100, 0x0400
SCI_SOURCES = TIMER_STATUS | GLOBAL_STATUS | POWER_BUTTON | RTC_STATUS
SCI_ENABLE, SLEEP_ENABLE = 0x0001, 0x2000
WAKE_STATUS, WAKES = 0x8000, POWER_BUTTON | RTC_STATUS
SOFT_OFF, SUSPEND_TO_RAM = 0, 1         # SLP_TYP
AWAKE, FALLING, ASLEEP, WAKING = range(4)
STATE_REGISTERS = range(0x0C, BLOCK_SIZE)  # general-purpose and device-monitor registers: state without effect


class AcpiPm:
    """The register block. `sci` is its interrupt line, `power_off` is called for S5, `suspend` at the beginning of S3,
    of which it says whether it happens, `wake` at its end, when it has to reset this device; ports count from `base`.
    """

    port_width = 4

    def __init__(
        self,
        clock: Clock,
        sci: Callable[[bool], None],
        power_off: Callable[[], None],
        report: Callable[[str], None],
        suspend: Callable[[], bool] = lambda: False,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock, self._sci, self._power_off, self._report = clock, sci, power_off, report
        self._suspend, self._wake = suspend, wake
        self._event: Event | None = None
        self._rtc = False
        self.base = 0
        self.reset()

    def reset(self) -> None:
        self._status = self._enable = self._control = 0
        self._other = bytearray(BLOCK_SIZE)
        self._sleeping = AWAKE
        self._half = self._ticks() >> 23
        self._update()

    def _ticks(self) -> int:
        return self._clock.now * PM_TIMER_HZ // SECOND

    def enable_acpi(self, enabled: bool) -> None:
        """What firmware's SMI handler does for the ACPI_ENABLE and ACPI_DISABLE commands: set or clear SCI_EN."""
        self._control = self._control & ~SCI_ENABLE | enabled
        self._update()

    def press_power_button(self) -> None:
        """Set PWRBTN_STS."""
        self._status |= POWER_BUTTON
        self._update()

    def rtc_line(self, level: bool) -> None:
        """The RTC's interrupt, whose edge sets RTC_STS."""
        if level and not self._rtc:
            self._status |= RTC_STATUS
            self._update()
        self._rtc = level

    @property
    def asleep(self) -> bool:
        """Whether the machine is in S3."""
        return self._sleeping in (ASLEEP, WAKING)

    def port_read(self, port: int, size: int) -> int:
        offset = port - self.base
        if offset == PM_TIMER:
            return self._ticks() & 0xFFFFFF & ((1 << 8 * size) - 1)
        self._latch()
        image = self._other[:]
        for register, value in ((PM1_STATUS, self._status), (PM1_ENABLE, self._enable), (PM1_CONTROL, self._control)):
            image[register : register + 2] = value.to_bytes(2, "little")
        image[PM_TIMER : PM_TIMER + 4] = (self._ticks() & 0xFFFFFF).to_bytes(4, "little")
        return int.from_bytes(image[offset : offset + size].ljust(size, b"\xff"), "little")

    def port_write(self, port: int, size: int, value: int) -> None:
        offset = port - self.base
        self._latch()
        for i in range(size):
            self._write_byte(offset + i, value >> 8 * i & 0xFF)
        self._update()
        if offset <= PM1_CONTROL + 1 < offset + size and value >> 8 * (PM1_CONTROL + 1 - offset) & SLEEP_ENABLE >> 8:
            self._sleep()

    def _write_byte(self, offset: int, byte: int) -> None:
        shift = 8 * (offset & 1)
        register = offset & ~1
        if register == PM1_STATUS:
            self._status &= ~(byte << shift)
        elif register == PM1_ENABLE:
            self._enable = (self._enable & ~(0xFF << shift) | byte << shift) & SCI_SOURCES
        elif register == PM1_CONTROL:
            # SLP_EN reads as 0: it is the act of writing that counts.
            self._control = (self._control & ~(0xFF << shift) | byte << shift) & 0x1C07
        elif offset in STATE_REGISTERS:
            self._other[offset] = byte

    def _sleep(self) -> None:
        sleep_type = self._control >> 10 & 7
        if sleep_type == SOFT_OFF:
            self._power_off()
        elif sleep_type == SUSPEND_TO_RAM:
            self._change(FALLING)
        else:
            self._report(f"ACPI PM1 control: sleep type {sleep_type} is not implemented; ignored")

    def _change(self, state: int) -> None:
        """Fall asleep or wake up at the next boundary of instructions."""
        self._sleeping = state
        if state in (FALLING, WAKING):
            self._clock.schedule(self._clock.now, self._changed, "ACPI S3")

    def _changed(self) -> None:
        if self._sleeping == FALLING:
            self._sleeping = ASLEEP if self._suspend() else AWAKE
            if self._sleeping == AWAKE:
                self._status |= WAKE_STATUS         # which the guest waits for
            self._update()
        elif self._sleeping == WAKING:
            reasons = self._status & self._enable & WAKES
            self._wake()
            self._status = WAKE_STATUS | reasons

    def _latch(self) -> None:
        half = self._ticks() >> 23
        if half != self._half:
            self._half = half
            self._status |= TIMER_STATUS

    def _update(self) -> None:
        """Drive the SCI; TMR_STS needs an event only where it would interrupt."""
        self._clock.cancel(self._event)
        self._event = None
        active = bool(self._control & SCI_ENABLE and self._status & self._enable & SCI_SOURCES)
        self._sci(active)
        if self._sleeping == ASLEEP and self._status & self._enable & WAKES:
            self._change(WAKING)
        if self._control & SCI_ENABLE and self._enable & TIMER_STATUS and not self._status & TIMER_STATUS:
            at = -(-((self._half + 1) << 23) * SECOND // PM_TIMER_HZ)
            self._event = self._clock.schedule(at, self._carry, "ACPI PM timer")

    def _carry(self) -> None:
        self._event = None
        self._latch()
        self._update()

    _PLAIN = ("base", "_status", "_enable", "_control", "_half", "_rtc", "_sleeping")

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._PLAIN} | {"other": bytes(self._other)}

    def load(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state[name])
        self._other = bytearray(state["other"])
        self._change(self._sleeping)
        self._update()


class ApmControl:
    """Ports 0xB2 and 0xB3: a write to the first raises an SMI by `smi`, which says whether it is enabled. `acpi_enable`
    gets the two commands that the ACPI tables of PC firmware name (0xF1 enables, 0xF0 disables), whoever handles them
    besides; any other that no SMI reports to firmware is reported."""

    COMMAND_PORT, STATUS_PORT = 0xB2, 0xB3
    ACPI_ENABLE, ACPI_DISABLE = 0xF1, 0xF0

    def __init__(self, acpi_enable: Callable[[bool], None], smi: Callable[[], bool],
                 report: Callable[[str], None]) -> None:
        self._acpi_enable, self._smi, self._report = acpi_enable, smi, report
        self._reported: set[int] = set()
        self.reset()

    def reset(self) -> None:
        self._registers = [0, 0]

    def port_read(self, port: int, size: int) -> int:
        return self._registers[port - self.COMMAND_PORT]

    def port_write(self, port: int, size: int, value: int) -> None:
        self._registers[port - self.COMMAND_PORT] = value
        if port == self.STATUS_PORT:
            return
        if value in (self.ACPI_ENABLE, self.ACPI_DISABLE):
            self._acpi_enable(value == self.ACPI_ENABLE)
            self._smi()
        elif not self._smi() and value not in self._reported:
            self._reported.add(value)
            self._report(f"APM control (port 0xb2): SMI command {value:#x}, but no firmware has enabled SMIs")

    def save(self) -> dict[str, Any]:
        return {"registers": list(self._registers)}

    def load(self, state: dict[str, Any]) -> None:
        self._registers = list(state["registers"])
