"""The PCI transport (virtio 1.2, 4.1): capabilities that say where in a memory BAR the registers are, and those.

Interrupts go through INTA#; there is no MSI-X, so its vector registers read as "no vector".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from emu.dev.pci_function import (
    COMMAND,
    COMMAND_MASTER,
    COMMAND_MEMORY,
    INTERRUPT_PIN,
    STATUS,
    SUBSYSTEM_ID,
    PciFunction,
)
from emu.dev.virtio.queue import Queue

VENDOR, FIRST_DEVICE_ID = 0x1AF4, 0x1040
CAPABILITY_POINTER, HAS_CAPABILITIES = 0x34, 0x10
COMMAND_NO_INTX = 0x400
VENDOR_CAPABILITY = 0x09
COMMON, NOTIFY, ISR, DEVICE, PCI_ACCESS = 1, 2, 3, 4, 5         # kinds of capability, 4.1.4
BAR, BAR_SIZE, PART = 0, 0x4000, 0x1000                         # four parts of a page each
PLACES = {COMMON: 0, NOTIFY: PART, ISR: 2 * PART, DEVICE: 3 * PART}
FIRST_CAPABILITY, CAPABILITY_STRIDE = 0x40, 0x14
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET = 1, 2, 4, 8, 0x40
QUEUE_INTERRUPT, CONFIGURATION_INTERRUPT = 1, 2
NO_VECTOR = 0xFFFF
INDIRECT_DESC, VERSION_1 = 1 << 28, 1 << 32
MASK32 = 0xFFFFFFFF
# Common configuration, 4.1.4.3: (offset, size) by name
FIELDS = {
    "device_feature_select": (0x00, 4), "device_feature": (0x04, 4), "driver_feature_select": (0x08, 4),
    "driver_feature": (0x0C, 4), "config_msix_vector": (0x10, 2), "num_queues": (0x12, 2), "device_status": (0x14, 1),
    "config_generation": (0x15, 1), "queue_select": (0x16, 2), "queue_size": (0x18, 2),
    "queue_msix_vector": (0x1A, 2), "queue_enable": (0x1C, 2), "queue_notify_off": (0x1E, 2),
    "descriptors": (0x20, 8), "driver": (0x28, 8), "device": (0x30, 8),
}
AT = {offset: (name, size) for name, (offset, size) in FIELDS.items()}
ADDRESSES = ("descriptors", "driver", "device")


class VirtioFunction(PciFunction):
    """What every device has. A subclass serves queues (`serve`) and has a configuration of its own (`configuration`).

    `read`, `write`: guest memory, ValueError outside RAM. `line`: drives INTA#. `report`: gets one line when the
    driver breaks a rule.
    """

    KIND, CLASS_CODE, QUEUES, FEATURES, NAME = 0, 0xFF0000, 1, 0, "virtio"

    def __init__(self, read: Callable[[int, int], bytes], write: Callable[[int, bytes], None],
                 line: Callable[[bool], None], report: Callable[[str], None]) -> None:
        super().__init__(VENDOR, FIRST_DEVICE_ID + self.KIND, self.CLASS_CODE, 1)
        self._line, self._report = line, report
        self.bars_changed: Callable[[], None] = lambda: None
        self.offered = self.FEATURES | INDIRECT_DESC | VERSION_1
        self.queues = [Queue(read, write) for _ in range(self.QUEUES)]
        self.set_register(SUBSYSTEM_ID, 2, 0x40 + self.KIND)
        self.set_register(COMMAND, 2, 0, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX)
        self.set_register(STATUS, 2, HAS_CAPABILITIES)
        self.set_register(INTERRUPT_PIN, 1, 1)
        self.add_bar(BAR, BAR_SIZE)
        self._add_capabilities()
        self._restart()

    def _add_capabilities(self) -> None:
        kinds = (*PLACES, PCI_ACCESS)
        places = [FIRST_CAPABILITY + CAPABILITY_STRIDE * i for i in range(len(kinds))]
        self.set_register(CAPABILITY_POINTER, 1, places[0])
        for kind, at, following in zip(kinds, places, (*places[1:], 0), strict=True):
            head = struct.pack("<BBBBB3xII", VENDOR_CAPABILITY, following, CAPABILITY_STRIDE, kind, BAR,
                               PLACES.get(kind, 0), 0 if kind == PCI_ACCESS else PART)
            self.set_register(at, len(head), int.from_bytes(head, "little"))
        self._window = places[-1]                                       # bar, offset and length are the driver's
        self.set_register(self._window + 4, 1, BAR, 0xFF)
        self.set_register(self._window + 8, 8, 0, (1 << 64) - 1)
        self.set_register(self._window + 16, 4, 0, MASK32)

    def _restart(self) -> None:
        self.status = self.isr = 0
        self.accepted = self._feature_select = self._driver_select = self._queue_select = 0
        for queue in self.queues:
            queue.reset()
        self._drive()

    # -- for subclasses --

    def configuration(self) -> bytes:
        """The device's own configuration structure."""
        return b""

    def serve(self, number: int) -> None:
        """The driver notified queue `number`, which is enabled. QueueError, ValueError: it broke a rule."""

    def ready(self, number: int) -> bool:
        """Whether the queue may be used."""
        return bool(self.status & DRIVER_OK and not self.status & NEEDS_RESET and self.queues[number].enabled
                    and self.config[COMMAND] & COMMAND_MASTER)

    def kick(self, number: int) -> None:
        """Serve a queue, if it may be used."""
        if not self.ready(number):
            return
        try:
            self.serve(number)
        except ValueError as error:
            self._report(f"{self.NAME}: {error}; it needs a reset")
            self.status |= NEEDS_RESET
            self.interrupt(CONFIGURATION_INTERRUPT)

    def interrupt(self, cause: int = QUEUE_INTERRUPT) -> None:
        """Raise INTA# until the driver reads the cause."""
        self.isr |= cause
        self._drive()

    def _drive(self) -> None:
        self._line(bool(self.isr) and not self.register(COMMAND, 2) & COMMAND_NO_INTX)

    # -- configuration space --

    def reset(self) -> None:
        super().reset()
        self._restart()

    def changed(self, offset: int, size: int) -> None:
        self.bars_changed()
        self._drive()

    def read(self, offset: int, size: int) -> int:
        data = self._window + 16
        if data <= offset and offset + size <= data + 4:
            bar, at, length = self._access()
            if bar == BAR and length == size:
                return self.mmio_read(at, size)
        return super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        super().write(offset, size, value)
        data = self._window + 16
        if data <= offset and offset + size <= data + 4:
            bar, at, length = self._access()
            if bar == BAR and length == size:
                self.mmio_write(at, size, value)

    def _access(self) -> tuple[int, int, int]:
        """What the configuration-space window shows (4.1.4.9): BAR, offset, length."""
        return (self.register(self._window + 4, 1), self.register(self._window + 8, 4),
                self.register(self._window + 12, 4))

    # -- the memory BAR --

    def mmio_read(self, offset: int, size: int) -> int:
        part, at = offset & -PART, offset % PART
        if part == PLACES[COMMON]:
            return self._read_common(at, size)
        if part == PLACES[ISR] and at == 0:
            cause, self.isr = self.isr, 0
            self._drive()
            return cause
        if part == PLACES[DEVICE]:
            return int.from_bytes(self.configuration()[at:at + size], "little")
        return 0

    def mmio_write(self, offset: int, size: int, value: int) -> None:
        part, at = offset & -PART, offset % PART
        if part == PLACES[COMMON]:
            self._write_common(at, size, value)
        elif part == PLACES[NOTIFY] and value < len(self.queues):
            self.kick(value)

    def _queue(self) -> Queue | None:
        return self.queues[self._queue_select] if self._queue_select < len(self.queues) else None

    def _read_common(self, offset: int, size: int) -> int:
        base = max((at for at in AT if at <= offset), default=0)
        name, width = AT[base]
        if offset + size > base + width:
            return 0
        return self._value(name) >> 8 * (offset - base) & (1 << 8 * size) - 1

    def _value(self, name: str) -> int:
        queue = self._queue()
        values = {
            "device_feature_select": self._feature_select, "driver_feature_select": self._driver_select,
            "device_feature": self.offered >> 32 * self._feature_select & MASK32 if self._feature_select < 2 else 0,
            "driver_feature": self.accepted >> 32 * self._driver_select & MASK32 if self._driver_select < 2 else 0,
            "num_queues": len(self.queues), "device_status": self.status, "queue_select": self._queue_select,
            "config_msix_vector": NO_VECTOR, "queue_msix_vector": NO_VECTOR,
        }
        if queue is not None:
            values |= {"queue_size": queue.size, "queue_enable": int(queue.enabled), "descriptors": queue.descriptors,
                       "driver": queue.driver, "device": queue.device}
        return values.get(name, 0)

    def _write_common(self, offset: int, size: int, value: int) -> None:
        base = max((at for at in AT if at <= offset), default=0)
        name, width = AT[base]
        queue = self._queue()
        if name in ADDRESSES:
            if queue is not None and offset + size <= base + width and not queue.enabled:
                shift = 8 * (offset - base)
                kept = getattr(queue, name) & ~((1 << 8 * size) - 1 << shift)
                setattr(queue, name, kept | value << shift)
        elif offset == base and size == width:
            self._set(name, value, queue)

    def _set(self, name: str, value: int, queue: Queue | None) -> None:
        if name == "device_feature_select":
            self._feature_select = value
        elif name == "driver_feature_select":
            self._driver_select = value
        elif name == "driver_feature" and self._driver_select < 2 and not self.status & FEATURES_OK:
            shift = 32 * self._driver_select
            self.accepted = self.accepted & ~(MASK32 << shift) | value << shift
        elif name == "device_status":
            self._set_status(value)
        elif name == "queue_select":
            self._queue_select = value
        elif name == "queue_size" and queue and not queue.enabled and 0 < value <= queue.size and not value & value - 1:
            queue.size = value
        elif name == "queue_enable" and queue and value == 1:
            queue.enabled = True

    def _set_status(self, value: int) -> None:
        """FEATURES_OK stays clear for features that were not offered, or without version 1 (3.1.1)."""
        if value == 0:
            self._restart()
            return
        if value & FEATURES_OK and (self.accepted & ~self.offered or not self.accepted & VERSION_1):
            value &= ~FEATURES_OK
        self.status |= value
        if value & DRIVER_OK:
            for number in range(len(self.queues)):
                self.kick(number)

    # -- state --

    _PLAIN = ("status", "isr", "accepted", "_feature_select", "_driver_select", "_queue_select")

    def save(self) -> dict[str, Any]:
        state = super().save() | {name: getattr(self, name) for name in self._PLAIN}
        return state | {"queues": [queue.save() for queue in self.queues]}

    def load(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state[name])
        for queue, saved in zip(self.queues, state["queues"], strict=True):
            queue.load(saved)
        super().load(state)


