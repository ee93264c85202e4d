"""The 82441FX host bridge (Intel 82441FX PMC datasheet): PAM registers that shadow 0xC0000-0xFFFFF, and SMRAM."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from emu.dev.pci_function import CONFIG_SIZE, PciFunction

PAM0, PAM6, SMRAM = 0x59, 0x5F, 0x72
READ_ENABLE, WRITE_ENABLE = 1, 2
SMRAM_WRITABLE = 0x78  # DOPEN, DCLS, DLCK, SMRAME; C_BASE_SEG is fixed at 010b (0xA0000)
SMRAM_DOPEN, SMRAM_DLCK, SMRAM_ENABLE = 0x40, 0x10, 0x08


class ShadowSegment(NamedTuple):
    """What a PAM nibble says: reads (writes) of the range go to RAM if enabled, else to ROM and the bus."""

    base: int
    size: int
    read_ram: bool
    write_ram: bool


class HostBridge(PciFunction):
    """PCI 00:00.0. `shadow_changed` gets all 13 segments, `smram_changed` the SMRAM register."""

    def __init__(
        self, shadow_changed: Callable[[list[ShadowSegment]], None], smram_changed: Callable[[int], None]
    ) -> None:
        super().__init__(0x8086, 0x1237, 0x060000, 2)
        self._shadow_changed, self._smram_changed = shadow_changed, smram_changed
        self.set_register(0x04, 2, 0x0006, 0x0100)
        self.set_register(0x06, 2, 0x0280)
        self.set_register(PAM0, 1, 0x00, 0x30)
        for register in range(PAM0 + 1, PAM6 + 1):
            self.set_register(register, 1, 0x00, 0x33)
        self.set_register(SMRAM, 1, 0x02, SMRAM_WRITABLE)

    def segments(self) -> list[ShadowSegment]:
        """The 13 ranges from 0xC0000 to 0xFFFFF in address order (datasheet table 3)."""
        result = []
        for index in range(12):
            nibble = self.config[PAM0 + 1 + index // 2] >> (4 * (index & 1))
            result.append(_segment(0xC0000 + index * 0x4000, 0x4000, nibble))
        result.append(_segment(0xF0000, 0x10000, self.config[PAM0] >> 4))
        return result

    def write(self, offset: int, size: int, value: int) -> None:
        if offset <= SMRAM < offset + size and self.config[SMRAM] & SMRAM_DLCK:
            # D_LCK: "D_OPEN becomes read-only" until a reset, as do the lock and enable bits.
            shift = 8 * (SMRAM - offset)
            value = value & ~(0xFF << shift) | self.config[SMRAM] << shift
        super().write(offset, size, value)

    def changed(self, offset: int, size: int) -> None:
        if size == CONFIG_SIZE or offset <= PAM6 and offset + size > PAM0:
            self._shadow_changed(self.segments())
        if size == CONFIG_SIZE or offset <= SMRAM < offset + size:
            self._smram_changed(self.config[SMRAM])


def _segment(base: int, size: int, nibble: int) -> ShadowSegment:
    return ShadowSegment(base, size, bool(nibble & READ_ENABLE), bool(nibble & WRITE_ENABLE))
