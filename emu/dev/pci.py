"""PCI configuration mechanism #1 at 0xCF8/0xCFC (PCI Local Bus Specification 3.0, 3.2.2.3).

Port 0xCF9 in its midst is the chipset's reset control register (Intel 82371SB PIIX3 datasheet, RC).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.dev.pci_function import PciFunction

ADDRESS_PORT, RESET_PORT, DATA_PORT = 0xCF8, 0xCF9, 0xCFC
ENABLE = 1 << 31


class PciBus:
    """Bus 0 behind the configuration ports. `hard_reset` is called by the reset control register."""

    port_width = 4

    def __init__(self, hard_reset: Callable[[], None]) -> None:
        self._hard_reset = hard_reset
        self._functions: dict[tuple[int, int], PciFunction] = {}
        self._address = 0
        self._reset_control = 0

    def add(self, device: int, function: int, pci_function: PciFunction) -> None:
        """Plug a function in at 00:`device`.`function`. ValueError if the place is taken or does not exist."""
        if not (0 <= device < 32 and 0 <= function < 8):
            raise ValueError(f"PCI 00:{device:02x}.{function}: no such place")
        if (device, function) in self._functions:
            raise ValueError(f"PCI 00:{device:02x}.{function}: taken")
        self._functions[device, function] = pci_function

    def functions(self) -> dict[tuple[int, int], PciFunction]:
        """What is plugged in, by (device, function)."""
        return dict(self._functions)

    def reset(self) -> None:
        self._address = self._reset_control = 0
        for function in self._functions.values():
            function.reset()

    def _target(self) -> PciFunction | None:
        address = self._address
        if not address & ENABLE or address >> 16 & 0xFF:
            return None
        return self._functions.get((address >> 11 & 0x1F, address >> 8 & 7))

    def _offset(self, port: int) -> int:
        """Software written for QEMU alone selects bytes by the address register's bits 1:0, which read as 0."""
        return self._address & 0xFF | port & 3

    def port_read(self, port: int, size: int) -> int:
        if port >= DATA_PORT:
            target, offset = self._target(), self._offset(port)
            # No function answers: master abort reads ones, which is how software finds the empty places.
            return (1 << 8 * size) - 1 if target is None or (offset & 3) + size > 4 else target.read(offset, size)
        if port == ADDRESS_PORT and size == 4:
            return self._address & ~3
        if port == RESET_PORT and size == 1:
            return self._reset_control
        return (1 << 8 * size) - 1

    def port_write(self, port: int, size: int, value: int) -> None:
        if port >= DATA_PORT:
            target, offset = self._target(), self._offset(port)
            if target is not None and (offset & 3) + size <= 4:
                target.write(offset, size, value)
        elif port == ADDRESS_PORT and size == 4:
            self._address = value & 0x80FFFFFF  # bits 30:24 are hard-wired to 0
        elif port == RESET_PORT and size == 1:
            # Bit 2 going from 0 to 1 resets the CPU, bit 1 makes it a hard reset; both kinds reset the machine here.
            was, self._reset_control = self._reset_control, value & 0x06
            if value & ~was & 0x04:
                self._hard_reset()

    def save(self) -> dict[str, Any]:
        functions = [[dev, fn, function.save()] for (dev, fn), function in sorted(self._functions.items())]
        return {"address": self._address, "reset_control": self._reset_control, "functions": functions}

    def load(self, state: dict[str, Any]) -> None:
        self._address, self._reset_control = state["address"], state["reset_control"]
        for device, function, saved in state["functions"]:
            self._functions[device, function].load(saved)
