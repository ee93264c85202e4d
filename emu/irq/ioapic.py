"""82093AA I/O APIC (Intel 82093AA datasheet): 24 inputs, a redirection table, messages on the APIC bus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.irq.apicbus import EXTINT, FIXED, LOWEST_PRIORITY, NMI, ApicMessage

IOAPIC_BASE = 0xFEC00000
PINS = 24
IOREGSEL, IOWIN = 0x00, 0x10
ID, VERSION, ARBITRATION, TABLE = 0x00, 0x01, 0x02, 0x10
VERSION_VALUE = 0x11 | (PINS - 1) << 16
MASKED, LEVEL, REMOTE_IRR, ACTIVE_LOW, LOGICAL = 1 << 16, 1 << 15, 1 << 14, 1 << 13, 1 << 11
WRITABLE = 0xFF << 56 | 0x1AFFF
REMAPPABLE_WRITABLE = 0xFFFF << 48 | 0x1AFFF        # where an IOMMU takes bits 63:48 as format and index


def message_of(entry: int) -> ApicMessage:
    """The interrupt that a redirection entry describes."""
    mode = entry >> 8 & 7
    return ApicMessage(vector=0 if mode == EXTINT else entry & 0xFF, mode=mode, destination=entry >> 56,
                       logical=bool(entry & LOGICAL),
                       level_triggered=bool(entry & LEVEL) and mode in (FIXED, LOWEST_PRIORITY))


class IoApic:
    """`send` delivers a message and returns how many local APICs took it. Levels given to `set_irq` are logical:
    asserted or not, whatever polarity the entry is programmed for. `remap` makes an entry's message, or refuses it;
    `writable`: the bits of an entry that software may write."""

    def __init__(self, send: Callable[[ApicMessage], int]) -> None:
        self._send = send
        self.remap: Callable[[int], ApicMessage | None] = message_of
        self.writable = WRITABLE
        self._lines = 0
        self.reset()

    def reset(self) -> None:
        """All entries masked; input lines keep their level."""
        self._select = 0
        self._id = 0
        self._table = [MASKED] * PINS

    def connect(self, send: Callable[[ApicMessage], int]) -> None:
        """Deliver messages by another bus from now on."""
        self._send = send

    def set_irq(self, pin: int, level: bool) -> None:
        """Drive input `pin`, 0 .. 23."""
        bit = 1 << pin
        rising = level and not self._lines & bit
        self._lines = self._lines | bit if level else self._lines & ~bit
        entry = self._table[pin]
        # "Edge-sensitive interrupts signaled on a masked pin are ignored (not delivered or held pending)", 3.2.4.
        if entry & LEVEL or rising:
            self._service(pin)

    def raises_nmi(self) -> bool:
        """Whether an unmasked entry delivers an NMI."""
        return any(not entry & MASKED and entry >> 8 & 7 == NMI for entry in self._table)

    def _service(self, pin: int) -> None:
        entry = self._table[pin]
        if entry & MASKED or not self._lines >> pin & 1:
            return
        mode = entry >> 8 & 7
        level = bool(entry & LEVEL) and mode in (FIXED, LOWEST_PRIORITY)
        if level:
            if entry & REMOTE_IRR:
                return
            self._table[pin] |= REMOTE_IRR
        message = self.remap(entry)
        taken = 0 if message is None else self._send(message)
        if level and not taken:
            self._table[pin] &= ~REMOTE_IRR  # "set when local APIC(s) accept the level interrupt"

    def eoi(self, vector: int) -> None:
        """An EOI message: entries of that vector drop Remote IRR and, if the line is still asserted, fire again."""
        for pin, entry in enumerate(self._table):
            if entry & REMOTE_IRR and entry & 0xFF == vector:
                self._table[pin] = entry & ~REMOTE_IRR
                self._service(pin)

    def mmio_read(self, offset: int, size: int) -> int:
        """Registers are dwords at offsets 0x00 and 0x10; the rest of the window reads as 0."""
        if offset == IOREGSEL:
            return self._select
        return self._read() & ((1 << 8 * size) - 1) if offset == IOWIN else 0

    def mmio_write(self, offset: int, size: int, value: int) -> None:
        if offset == IOREGSEL:
            self._select = value & 0xFF
        elif offset == IOWIN:
            self._write(value & 0xFFFFFFFF)

    def _read(self) -> int:
        register = self._select
        if register == VERSION:
            return VERSION_VALUE
        if register in (ID, ARBITRATION):
            return self._id << 24
        pin = (register - TABLE) >> 1
        if 0 <= pin < PINS:
            return self._table[pin] >> 32 if register & 1 else self._table[pin] & 0xFFFFFFFF
        return 0

    def _write(self, value: int) -> None:
        register = self._select
        pin = (register - TABLE) >> 1
        if register == ID:
            self._id = value >> 24 & 0xF
        elif 0 <= pin < PINS:
            old = self._table[pin]
            whole = value << 32 | old & 0xFFFFFFFF if register & 1 else old >> 32 << 32 | value
            entry = whole & self.writable | old & REMOTE_IRR
            if not entry & LEVEL:
                entry &= ~REMOTE_IRR  # its meaning is undefined for edge entries; cleared, as for a fresh level one
            self._table[pin] = entry
            if entry & LEVEL:
                self._service(pin)

    def save(self) -> dict[str, Any]:
        return {"select": self._select, "id": self._id, "table": list(self._table), "lines": self._lines}

    def load(self, state: dict[str, Any]) -> None:
        self._select, self._id = state["select"], state["id"]
        self._table, self._lines = list(state["table"]), state["lines"]
