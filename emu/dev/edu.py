"""QEMU's educational PCI device (QEMU, docs/specs/edu): a factorial, interrupts on request, and DMA to and from 4 KiB
of its own, for guests that try out how a device is driven. What it computes and copies is done at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from emu.dev.pci_function import (
    COMMAND,
    COMMAND_MASTER,
    COMMAND_MEMORY,
    INTERRUPT_PIN,
    STATUS,
    PciFunction,
)

VENDOR, DEVICE, CLASS, REVISION = 0x1234, 0x11E8, 0x00FF00, 0x10
BAR, BAR_SIZE = 0, 1 << 20
IDENTIFICATION = 0x010000ED
ID, LIVENESS, FACTORIAL, STATUS_REGISTER, INTERRUPTS, RAISE, ACKNOWLEDGE = 0x00, 0x04, 0x08, 0x20, 0x24, 0x60, 0x64
DMA_SOURCE, DMA_TARGET, DMA_COUNT, DMA_COMMAND = 0x80, 0x88, 0x90, 0x98
WIDE_FROM = 0x80                                # registers from here on may be accessed by 8 bytes, too
INTERRUPT_AFTER_FACTORIAL = 0x80
DMA_START, DMA_TO_RAM, DMA_INTERRUPT = 1, 2, 4
DMA_DONE, FACTORIAL_DONE = 0x100, 0x001         # interrupt status
BUFFER, BUFFER_SIZE = 0x40000, 4096
ADDRESSES = (1 << 28) - 1                       # that its DMA reaches
CAPABILITIES, CAPABILITY_LIST, MSI_AT, MSI, MSI_ENABLE, MSI_64 = 0x34, 0x10, 0x40, 0x05, 1, 0x80
COMMAND_NO_INTX = 0x400
MASK32 = (1 << 32) - 1


class Edu(PciFunction):
    """`read` and `write` access memory as the device does: ValueError where it may not. `line` is its INTA# pin; `msi`
    takes the address and the data of a message."""

    NAME = "edu"

    def __init__(self, read: Callable[[int, int], bytes], write: Callable[[int, bytes], None],
                 line: Callable[[bool], None], msi: Callable[[int, int], None], report: Callable[[str], None]) -> None:
        super().__init__(VENDOR, DEVICE, CLASS, REVISION)
        self._read_memory, self._write_memory, self._line, self._msi, self._report = read, write, line, msi, report
        self.bars_changed: Callable[[], None] = lambda: None
        self.add_bar(BAR, BAR_SIZE)
        self.set_register(COMMAND, 2, 0, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX)
        self.set_register(STATUS, 2, CAPABILITY_LIST)
        self.set_register(INTERRUPT_PIN, 1, 1)
        self.set_register(CAPABILITIES, 1, MSI_AT)
        self.set_register(MSI_AT, 2, MSI)
        self.set_register(MSI_AT + 2, 2, MSI_64, MSI_ENABLE)
        self.set_register(MSI_AT + 4, 4, 0, MASK32 & ~3)
        self.set_register(MSI_AT + 8, 4, 0, MASK32)
        self.set_register(MSI_AT + 12, 2, 0, 0xFFFF)
        self._clear()

    def _clear(self) -> None:
        self._live, self._factorial, self._status, self._interrupts = 0, 0, 0, 0
        self._dma = dict.fromkeys((DMA_SOURCE, DMA_TARGET, DMA_COUNT, DMA_COMMAND), 0)
        self._buffer = bytearray(BUFFER_SIZE)

    def reset(self) -> None:
        self._clear()
        super().reset()

    def changed(self, offset: int, size: int) -> None:
        """The BAR may have moved, the pin been switched off."""
        self.bars_changed()
        self._drive()

    def _drive(self) -> None:
        pin = not self.register(MSI_AT + 2, 2) & MSI_ENABLE and not self.register(COMMAND, 2) & COMMAND_NO_INTX
        self._line(bool(self._interrupts and pin))

    def _interrupt(self, reasons: int) -> None:
        self._interrupts |= reasons
        if self._interrupts and self.register(MSI_AT + 2, 2) & MSI_ENABLE:
            self._msi(self.register(MSI_AT + 4, 8), self.register(MSI_AT + 12, 2))
        self._drive()

    # -- registers --

    def mmio_read(self, offset: int, size: int) -> int:
        if size != 4 and (size != 8 or offset < WIDE_FROM):
            return (1 << 8 * size) - 1
        values = {ID: IDENTIFICATION, LIVENESS: self._live, FACTORIAL: self._factorial,
                  STATUS_REGISTER: self._status, INTERRUPTS: self._interrupts, **self._dma}
        return values.get(offset, (1 << 64) - 1) & (1 << 8 * size) - 1

    def mmio_write(self, offset: int, size: int, value: int) -> None:
        if size != 4 and (size != 8 or offset < WIDE_FROM):
            return
        if offset == LIVENESS:
            self._live = ~value & MASK32
        elif offset == FACTORIAL:
            # 2**32 divides the factorial of 34 and all after it.
            self._factorial = math.factorial(value) & MASK32 if value < 34 else 0
            if self._status & INTERRUPT_AFTER_FACTORIAL:
                self._interrupt(FACTORIAL_DONE)
        elif offset == STATUS_REGISTER:
            self._status = value & INTERRUPT_AFTER_FACTORIAL
        elif offset == RAISE:
            self._interrupt(value)
        elif offset == ACKNOWLEDGE:
            self._interrupts &= ~value
            self._drive()
        elif offset == DMA_COMMAND:
            self._dma[DMA_COMMAND] = value & ~DMA_START
            if value & DMA_START:
                self._copy(value)
        elif offset in self._dma:
            self._dma[offset] = value

    def _copy(self, command: int) -> None:
        to_ram, count = bool(command & DMA_TO_RAM), self._dma[DMA_COUNT]
        inside, outside = self._dma[DMA_SOURCE], self._dma[DMA_TARGET]
        if not to_ram:
            inside, outside = outside, inside
        at = inside - BUFFER
        if not (0 <= at and at + count <= BUFFER_SIZE and self.register(COMMAND, 2) & COMMAND_MASTER):
            self._report(f"edu: DMA of {count} bytes at {inside:#x} is outside its buffer, or bus mastering is off")
            return
        try:
            if to_ram:
                self._write_memory(outside & ADDRESSES, bytes(self._buffer[at:at + count]))
            else:
                self._buffer[at:at + count] = self._read_memory(outside & ADDRESSES, count)
        except ValueError as error:
            self._report(f"edu: DMA: {error}")
        if command & DMA_INTERRUPT:
            self._interrupt(DMA_DONE)

    def save(self) -> dict[str, Any]:
        return super().save() | {"registers": [self._live, self._factorial, self._status, self._interrupts],
                                 "dma": sorted(self._dma.items()), "buffer": bytes(self._buffer)}

    def load(self, state: dict[str, Any]) -> None:
        self._live, self._factorial, self._status, self._interrupts = state["registers"]
        self._dma, self._buffer = {register: value for register, value in state["dma"]}, bytearray(state["buffer"])
        super().load(state)
