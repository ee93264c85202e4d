"""An IOMMU: DMA and interrupt remapping (Intel Virtualization Technology for Directed I/O 4.1, chapter 10), as QEMU's
intel-iommu without extended interrupt mode. It caches nothing, so that every invalidation is complete at once.

Devices behind it get their `read` and `write` from `access`; virtio devices go past it, as they do where they do not
offer ACCESS_PLATFORM.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from emu.dev import vtd_tables
from emu.dev.vtd_tables import PAGE, Fault
from emu.irq.apicbus import ApicMessage
from emu.irq.ioapic import message_of

BASE, SIZE = 0xFED90000, 0x1000
(VERSION, CAPABILITY, EXTENDED, COMMAND, GLOBAL_STATUS, ROOT, CONTEXT_COMMAND, FAULT_STATUS, FAULT_CONTROL, FAULT_DATA,
 FAULT_ADDRESS, FAULT_UPPER, QUEUE_HEAD, QUEUE_TAIL, QUEUE, COMPLETION, EVENT_CONTROL, EVENT_DATA, EVENT_ADDRESS,
 EVENT_UPPER, INTERRUPT_TABLE, INVALIDATE_ADDRESS, INVALIDATE, RECORD) = (
    0x00, 0x08, 0x10, 0x18, 0x1C, 0x20, 0x28, 0x34, 0x38, 0x3C, 0x40, 0x44, 0x80, 0x88, 0x90, 0x9C, 0xA0, 0xA4, 0xA8,
    0xAC, 0xB8, 0xF0, 0xF8, 0x220)
# Domains of 16 bits; 39 and 48 bits of address; one fault record, at 0x220; 2 MiB and 1 GiB pages; page-selective
# invalidation of up to 2**18 pages
CAPABILITIES = 6 | 0b110 << 8 | 47 << 16 | RECORD // 16 << 24 | 0b11 << 34 | 1 << 39 | 18 << 48
# Coherent, queued invalidation, interrupt remapping, pass-through, registers of invalidation at 0xF0
EXTENDED_CAPABILITIES = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 6 | INVALIDATE_ADDRESS // 16 << 8 | 15 << 20
TRANSLATE, SET_ROOT, QUEUED, REMAP, SET_TABLE, COMPATIBLE = 1 << 31, 1 << 30, 1 << 26, 1 << 25, 1 << 24, 1 << 23
SWITCHES = TRANSLATE | QUEUED | REMAP | COMPATIBLE              # global commands that stay; others happen once
# Registers that keep what is written: bits that software may write
WRITABLE = {ROOT: (8, ~0xFFF), FAULT_CONTROL: (4, 1 << 31), FAULT_DATA: (4, 0xFFFF), FAULT_ADDRESS: (4, ~3),
            FAULT_UPPER: (4, ~0), QUEUE_TAIL: (8, 0x7FFF0), QUEUE: (8, ~0xFF8), EVENT_CONTROL: (4, 1 << 31),
            EVENT_DATA: (4, 0xFFFF), EVENT_ADDRESS: (4, ~3), EVENT_UPPER: (4, ~0), INTERRUPT_TABLE: (8, ~0xFF0),
            INVALIDATE_ADDRESS: (8, ~0)}
MASKED, PENDING = 1 << 31, 1 << 30                              # of the two event controls
OVERFLOW, FAULTS, QUEUE_ERROR = 1, 2, 16                        # fault status
RECORDED = 1 << 63
IS_READ = 1 << 62
CONTEXT, IOTLB, DEVICE_TLB, INTERRUPTS, WAIT = 1, 2, 3, 4, 5    # invalidation descriptors
WAIT_INTERRUPT, WAIT_STATUS = 1 << 4, 1 << 5
REMAPPABLE = 1 << 48                                            # in an I/O APIC's entry
MSI_REMAPPABLE, MSI_SUBHANDLE = 1 << 4, 1 << 3


class Iommu:
    """`read` and `write` access memory: ValueError outside RAM. `message` delivers an interrupt, `msi` one by address
    and data."""

    def __init__(self, read: Callable[[int, int], bytes], write: Callable[[int, bytes], None],
                 message: Callable[[ApicMessage], Any], msi: Callable[[int, int], Any]) -> None:
        self._read, self._write, self._message, self._msi = read, write, message, msi
        self.reset()

    def reset(self) -> None:
        self._registers = dict.fromkeys(WRITABLE, 0)
        self._registers[FAULT_CONTROL] = self._registers[EVENT_CONTROL] = MASKED
        self._status = self._fault_status = self._queue_head = self._completion = 0
        self._root = self._table = 0                # as of the commands that set them
        self._record = [0, 0]

    # -- what devices and the I/O APIC ask --

    def access(self, source: int) -> tuple[Callable[[int, int], bytes], Callable[[int, bytes], None]]:
        """How the device `source` (bus, device, function) reads and writes memory: ValueError where it may not."""
        def read(address: int, size: int) -> bytes:
            return b"".join(self._read(at, n) for at, n in self._pieces(source, address, size, False))

        def write(address: int, data: bytes) -> None:
            done = 0
            for at, n in self._pieces(source, address, len(data), True):
                self._write(at, data[done:done + n])
                done += n
        return read, write

    def _pieces(self, source: int, address: int, size: int, write: bool) -> list[tuple[int, int]]:
        found = []
        while size:
            count = min(size, PAGE - address % PAGE)
            found.append((self._translate(source, address, write), count))
            address, size = address + count, size - count
        return found

    def _translate(self, source: int, address: int, write: bool) -> int:
        if not self._status & TRANSLATE:
            return address
        try:
            return vtd_tables.translate(self._read, self._root, source, address, write)
        except Fault as fault:
            self._fault(fault, source, address & -PAGE, 0 if write else IS_READ)
            raise ValueError(f"the IOMMU refuses {address:#x}, {fault}") from None

    def io_apic_entry(self, entry: int) -> ApicMessage | None:
        """The interrupt of an I/O APIC's redirection entry; None: it is refused. Its source is not verified."""
        if not self._status & REMAP:
            return message_of(entry)
        if not entry & REMAPPABLE:
            return self._unmapped(message_of(entry), None)
        return self._remap(entry >> 49 | (entry >> 11 & 1) << 15, None)

    def msi(self, source: int, address: int, data: int) -> None:
        """A device's message-signalled interrupt (5.1.5.2)."""
        message: ApicMessage | None
        if not self._status & REMAP or not address & MSI_REMAPPABLE:
            if not self._status & REMAP or self._status & COMPATIBLE:
                self._msi(address, data)
            else:
                self._fault(Fault(vtd_tables.IR_COMPATIBLE), source, 0, 0)
            return
        index = address >> 5 & 0x7FFF | (address >> 2 & 1) << 15
        message = self._remap(index + (data & 0xFFFF if address & MSI_SUBHANDLE else 0), source)
        if message is not None:
            self._message(message)

    def _unmapped(self, message: ApicMessage, source: int | None) -> ApicMessage | None:
        if self._status & COMPATIBLE:
            return message
        self._fault(Fault(vtd_tables.IR_COMPATIBLE), source or 0, 0, 0)
        return None

    def _remap(self, index: int, source: int | None) -> ApicMessage | None:
        table, size = self._table & vtd_tables.FRAME, 2 << (self._table & 0xF)
        try:
            return vtd_tables.remapped(self._read, table, size, index, source).message
        except Fault as fault:
            self._fault(fault, source or 0, index << 48, 0)
            return None

    # -- faults and events --

    def _fault(self, fault: Fault, source: int, information: int, kind: int) -> None:
        if not fault.recorded:
            return
        if self._record[1] & RECORDED:
            self._fault_status |= OVERFLOW
            return
        self._record = [information, RECORDED | kind | fault.reason << 32 | source]
        self._fault_status |= FAULTS
        self._event(FAULT_CONTROL)

    def _event(self, control: int) -> None:
        registers = self._registers
        registers[control] |= PENDING
        if not registers[control] & MASKED:
            registers[control] &= ~PENDING
            self._msi(registers[control + 8] | registers[control + 12] << 32, registers[control + 4])

    # -- registers --

    def _value(self, at: int) -> int:
        fixed = {VERSION: 0x10, CAPABILITY: CAPABILITIES, EXTENDED: EXTENDED_CAPABILITIES, GLOBAL_STATUS: self._status,
                 FAULT_STATUS: self._fault_status, QUEUE_HEAD: self._queue_head, COMPLETION: self._completion,
                 RECORD: self._record[0], RECORD + 8: self._record[1]}
        return self._registers.get(at, fixed.get(at, 0))

    def mmio_read(self, offset: int, size: int) -> int:
        """Doublewords and quadwords; a half of a 64-bit register is a doubleword."""
        at = offset & -8
        wide = self._value(at)
        if at + 4 in WRITABLE or at + 4 in (GLOBAL_STATUS, FAULT_STATUS, COMPLETION):
            wide |= self._value(at + 4) << 32
        return wide >> 8 * (offset - at) & (1 << 8 * size) - 1

    def mmio_write(self, offset: int, size: int, value: int) -> None:
        if size == 8:
            self._write_half(offset, value & 0xFFFFFFFF)
            self._write_half(offset + 4, value >> 32)
        elif size == 4:
            self._write_half(offset, value)

    def _write_half(self, offset: int, value: int) -> None:
        at = offset if offset in WRITABLE else offset & -8
        if at in WRITABLE:
            size, mask = WRITABLE[at]
            shift = 8 * (offset - at)
            if shift < 8 * size:
                bits = mask & 0xFFFFFFFF << shift & (1 << 8 * size) - 1
                self._registers[at] = self._registers[at] & ~bits | value << shift & bits
        if offset == COMMAND:
            self._command(value)
        elif offset == FAULT_STATUS:
            self._fault_status &= ~(value & (OVERFLOW | QUEUE_ERROR))
            self._run_queue()
        elif offset == COMPLETION:
            self._completion &= ~value
        elif offset == RECORD + 12 and value >> 31:
            self._record[1] &= ~RECORDED
            self._fault_status &= ~FAULTS
        elif offset in (FAULT_CONTROL, EVENT_CONTROL) and self._registers[offset] & PENDING:
            self._event(offset)
        elif offset == QUEUE_TAIL:
            self._run_queue()
        # Context and IOTLB commands are complete as they are given: their busy bits read as 0.

    def _command(self, value: int) -> None:
        if value & SET_ROOT:
            self._root = self._registers[ROOT]
        if value & SET_TABLE:
            self._table = self._registers[INTERRUPT_TABLE]
        if not value & QUEUED:
            self._queue_head = 0
        self._status = self._status & (SET_ROOT | SET_TABLE) | value & (SWITCHES | SET_ROOT | SET_TABLE)
        self._run_queue()

    def _run_queue(self) -> None:
        """Invalidation descriptors: there is nothing to invalidate, but waits tell that they are over (6.5.2)."""
        base, size = self._registers[QUEUE] & vtd_tables.FRAME, PAGE << (self._registers[QUEUE] & 7)
        tail = self._registers[QUEUE_TAIL] % size
        while self._status & QUEUED and self._queue_head != tail and not self._fault_status & QUEUE_ERROR:
            try:
                low, high = struct.unpack("<QQ", self._read(base + self._queue_head, 16))
                kind = low & 0xF
                if kind not in (CONTEXT, IOTLB, DEVICE_TLB, INTERRUPTS, WAIT):
                    raise ValueError
                if kind == WAIT and low & WAIT_STATUS:
                    self._write(high & ~3, (low >> 32).to_bytes(4, "little"))
            except ValueError:
                self._fault_status |= QUEUE_ERROR
                self._event(FAULT_CONTROL)
                return
            if kind == WAIT and low & WAIT_INTERRUPT and not self._completion:
                self._completion = 1
                self._event(EVENT_CONTROL)
            self._queue_head = (self._queue_head + 16) % size

    _PLAIN = ("_status", "_fault_status", "_queue_head", "_completion", "_root", "_table", "_record")

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._PLAIN} | {"registers": sorted(self._registers.items())}

    def load(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state[name])
        self._record, self._registers = list(self._record), {at: value for at, value in state["registers"]}
