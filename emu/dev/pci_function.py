"""A PCI function's configuration space (PCI Local Bus Specification 3.0, chapter 6): what devices build upon."""

from __future__ import annotations

from typing import Any

CONFIG_SIZE = 256
VENDOR_ID, DEVICE_ID, COMMAND, STATUS, REVISION, CLASS, HEADER_TYPE = 0x00, 0x02, 0x04, 0x06, 0x08, 0x09, 0x0E
BAR0, SUBSYSTEM_VENDOR, SUBSYSTEM_ID, INTERRUPT_LINE, INTERRUPT_PIN = 0x10, 0x2C, 0x2E, 0x3C, 0x3D
COMMAND_IO, COMMAND_MEMORY, COMMAND_MASTER = 1, 2, 4
BAR_IO = 1
# By this subsystem of the host bridge SeaBIOS knows a machine that has fw_cfg (QEMU, docs/specs/pci-ids).
VIRTUAL_MACHINE_VENDOR, VIRTUAL_MACHINE = 0x1AF4, 0x1100


class PciFunction:
    """256 bytes of configuration space with a write mask; a subclass or `changed` gives registers their effect."""

    def __init__(
        self, vendor: int, device: int, class_code: int, revision: int = 0, *, multifunction: bool = False
    ) -> None:
        self.config = bytearray(CONFIG_SIZE)
        self.write_mask = bytearray(CONFIG_SIZE)
        self.set_register(VENDOR_ID, 2, vendor)
        self.set_register(DEVICE_ID, 2, device)
        self.set_register(REVISION, 1, revision)
        self.set_register(CLASS, 3, class_code)
        self.set_register(HEADER_TYPE, 1, 0x80 if multifunction else 0)
        self.set_register(SUBSYSTEM_VENDOR, 2, VIRTUAL_MACHINE_VENDOR)
        self.set_register(SUBSYSTEM_ID, 2, VIRTUAL_MACHINE)
        self.set_register(INTERRUPT_LINE, 1, 0, 0xFF)
        self._bars: dict[int, tuple[int, int]] = {}
        self.defaults = bytes(self.config)

    def set_register(self, offset: int, size: int, value: int, mask: int = 0) -> None:
        """Set a register's reset value and which of its bits software may write."""
        self.config[offset : offset + size] = value.to_bytes(size, "little")
        self.write_mask[offset : offset + size] = mask.to_bytes(size, "little")
        self.defaults = bytes(self.config)

    def add_bar(self, index: int, size: int, kind: int = 0) -> None:
        """Base address register `index` (0 .. 5) of a power-of-two `size`; `kind` is its read-only low bits."""
        smallest = 4 if kind & BAR_IO else 16
        if not 0 <= index <= 5 or size < smallest or size & (size - 1):
            raise ValueError(f"BAR {index}: size {size:#x} must be a power of two of at least {smallest}")
        self._bars[index] = (size, kind)
        self.set_register(BAR0 + 4 * index, 4, kind, ~(size - 1) & 0xFFFFFFFF)

    def bar(self, index: int) -> int | None:
        """The base address that software programmed, or None while the decoder is off in the command register."""
        size, kind = self._bars[index]
        needed = COMMAND_IO if kind & BAR_IO else COMMAND_MEMORY
        return self.register(BAR0 + 4 * index, 4) & ~(size - 1) if self.config[COMMAND] & needed else None

    def memory_bars(self) -> list[tuple[int, int]]:
        """(index, size) of the BARs that are in memory space."""
        return [(index, size) for index, (size, kind) in sorted(self._bars.items()) if not kind & BAR_IO]

    def register(self, offset: int, size: int) -> int:
        """A register's present value."""
        return int.from_bytes(self.config[offset : offset + size], "little")

    def reset(self) -> None:
        self.config[:] = self.defaults
        self.changed(0, CONFIG_SIZE)

    def read(self, offset: int, size: int) -> int:
        """Configuration read."""
        return self.register(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Configuration write: only masked bits change, then `changed` sees the range."""
        for i in range(size):
            mask = self.write_mask[offset + i]
            byte = value >> 8 * i & 0xFF
            self.config[offset + i] = self.config[offset + i] & ~mask & 0xFF | byte & mask
        self.changed(offset, size)

    def changed(self, offset: int, size: int) -> None:
        """Called after bytes `offset` .. `offset + size - 1` may have changed."""

    def save(self) -> dict[str, Any]:
        return {"config": bytes(self.config)}

    def load(self, state: dict[str, Any]) -> None:
        self.config[:] = state["config"]
        self.changed(0, CONFIG_SIZE)
