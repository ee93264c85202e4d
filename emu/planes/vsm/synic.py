"""The synthetic interrupt controller, one for each VTL of a virtual processor (TLFS, "Inter-partition communication",
SynIC): its registers, messages and event flags."""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING

from emu.irq.apicbus import ApicMessage
from emu.irq.lapic_msr import GeneralProtection

if TYPE_CHECKING:
    from emu.irq.lapic import LocalApic
    from emu.planes.vsm.partition import Partition

SCONTROL, SVERSION, SIEFP, SIMP, EOM, SIRBP = 0x40000080, 0x40000081, 0x40000082, 0x40000083, 0x40000084, 0x40000085
SINT0, SINTS = 0x40000090, 16
INDEXES = (SCONTROL, SVERSION, SIEFP, SIMP, EOM, SIRBP, *range(SINT0, SINT0 + SINTS))
VERSION = 1
ENABLE = 1
PAGE_BITS = ~0xFFF & (1 << 64) - 1
SINT_VECTOR, SINT_MASKED, SINT_AUTO_EOI, SINT_POLLING = 0xFF, 1 << 16, 1 << 17, 1 << 18

SLOT_BYTES, PAYLOAD_BYTES, QUEUE_LENGTH = 256, 240, 64
MESSAGE_PENDING, FLAGS_AT = 1, 5                # a message header's flags
EVENT_FLAGS = 2048                              # of one SINT


def message(kind: int, payload: bytes, origin: int = 0) -> bytes:
    """The 256 bytes of a message slot: u32 type, u8 payload size, u8 flags, u16 0, u64 origin, payload."""
    return struct.pack("<IBBHQ", kind, len(payload), 0, 0, origin) + payload.ljust(PAYLOAD_BYTES, b"\0")


class Synic:
    """One instance."""

    def __init__(self, partition: Partition, lapic: LocalApic, vtl: int) -> None:
        self._partition, self._lapic, self._vtl = partition, lapic, vtl
        self._queues: dict[int, deque[bytes]] = {n: deque() for n in range(SINTS)}
        self.values = dict.fromkeys((SCONTROL, SIEFP, SIMP, SIRBP), 0)
        self.values |= dict.fromkeys(range(SINT0, SINT0 + SINTS), SINT_MASKED)
        self._other_auto_eoi = 0
        lapic.ended = self._ended

    # --- registers -----------------------------------------------------------------------------------------------

    def read(self, index: int) -> int:
        """RDMSR of one of INDEXES."""
        if index == SVERSION:
            return VERSION
        return self.values.get(index, 0)

    def write(self, index: int, value: int) -> None:
        """WRMSR of one of INDEXES. GeneralProtection: SVERSION, an unmasked SINT with a vector below 16, a page that is
        not RAM or not the VTL's to write."""
        if index == SVERSION:
            raise GeneralProtection
        if index == EOM:
            for sint in range(SINTS):
                self._drain(sint)
            return
        if index >= SINT0 and not value & SINT_MASKED and value & SINT_VECTOR < 16:
            raise GeneralProtection
        if index in (SIEFP, SIMP, SIRBP) and value & ENABLE and not self._partition.may_overlay(
                self._vtl, value & PAGE_BITS):
            raise GeneralProtection
        self.values[index] = value
        if index >= SINT0:
            self.auto_eoi_also(self._other_auto_eoi)
        for sint in range(SINTS):
            self._drain(sint)

    def auto_eoi_also(self, vectors: int) -> None:
        """Vectors, by bit, that end when they are taken besides those of SINTs with AutoEOI."""
        self._other_auto_eoi = vectors
        for n in range(SINTS):
            if self._sint(n) & (SINT_AUTO_EOI | SINT_MASKED) == SINT_AUTO_EOI:
                vectors |= 1 << (self._sint(n) & SINT_VECTOR)
        self._lapic.auto_eoi = vectors

    def _sint(self, number: int) -> int:
        return self.values[SINT0 + number]

    def _page(self, index: int) -> int | None:
        """Address of the message or event page, if it is in use."""
        if not self.values[SCONTROL] & ENABLE or not self.values[index] & ENABLE:
            return None
        return self.values[index] & PAGE_BITS

    # --- messages ------------------------------------------------------------------------------------------------

    def receptive(self, sint: int) -> bool:
        """Whether a message would be seen: pages enabled, the slot free, the SINT unmasked."""
        return self._page(SIMP) is not None and not self._sint(sint) & SINT_MASKED and not self._busy(sint)

    def post(self, sint: int, data: bytes) -> bool:
        """Put a message (made by `message`) into the SINT's slot, or queue it behind those that wait. False: there is
        no room."""
        if self._page(SIMP) is None:
            return False
        queue = self._queues[sint]
        if len(queue) >= QUEUE_LENGTH:
            return False
        queue.append(data)
        self._drain(sint)
        return True

    def waits(self, sint: int, data: bytes) -> bool:
        """Whether a message of the same type and first payload word is still queued."""
        return any(other[:4] == data[:4] and other[16:20] == data[16:20] for other in self._queues[sint])

    def _busy(self, sint: int) -> bool:
        page = self._page(SIMP)
        return page is None or any(self._partition.machine.memory.read(page + sint * SLOT_BYTES, 4))

    def _drain(self, sint: int) -> None:
        """Deliver the first queued message, if there is one and the slot is free."""
        queue, page = self._queues[sint], self._page(SIMP)
        if not queue or page is None:
            return
        at = page + sint * SLOT_BYTES
        if self._busy(sint):
            flags = self._partition.machine.memory.read(at + FLAGS_AT, 1)[0]
            self._store(at + FLAGS_AT, bytes((flags | MESSAGE_PENDING,)))
            return
        data = bytearray(queue.popleft())
        if queue:
            data[FLAGS_AT] |= MESSAGE_PENDING
        self._store(at + 4, bytes(data[4:]))
        self._store(at, bytes(data[:4]))        # the type last: it says that the slot is full
        self.assert_sint(sint)

    def _store(self, gpa: int, data: bytes) -> None:
        self._partition.store(self._vtl, gpa, data)

    def _ended(self, vector: int) -> None:
        """EOI of a vector: messages for its SINTs may follow."""
        for sint in range(SINTS):
            if self._sint(sint) & (SINT_VECTOR | SINT_MASKED) == vector:
                self._drain(sint)

    def assert_sint(self, sint: int) -> None:
        """Interrupt as a SINT says, unless it is masked or polled."""
        if not self._sint(sint) & (SINT_MASKED | SINT_POLLING):
            self._lapic.accept(ApicMessage(self._sint(sint) & SINT_VECTOR))

    # --- events --------------------------------------------------------------------------------------------------

    def signal(self, sint: int, flag: int) -> bool | None:
        """Set an event flag of the SINT; an interrupt follows where it was clear. Whether it was; None: there is no
        event page."""
        page = self._page(SIEFP)
        if page is None:
            return None
        at = page + sint * SLOT_BYTES + flag // 8
        old = self._partition.machine.memory.read(at, 1)[0]
        if old >> flag % 8 & 1:
            return False
        self._store(at, bytes((old | 1 << flag % 8,)))
        self.assert_sint(sint)
        return True
