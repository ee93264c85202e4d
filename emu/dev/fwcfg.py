"""QEMU's firmware configuration device: selector 0x510, data 0x511, DMA 0x514 (QEMU, docs/specs/fw_cfg).

Selector and data are little-endian here as on every x86 machine; the file directory and the DMA structure are
big-endian. Reads beyond an item's end give zeros. Items are read-only.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

SELECTOR_PORT, DATA_PORT, DMA_PORT = 0x510, 0x511, 0x514
SIGNATURE, ID, UUID, RAM_SIZE, NOGRAPHIC, NB_CPUS, MACHINE_ID = range(7)
KERNEL_ADDR, KERNEL_SIZE, KERNEL_CMDLINE, INITRD_ADDR, INITRD_SIZE, BOOT_DEVICE, NUMA = range(7, 14)
BOOT_MENU, MAX_CPUS, KERNEL_ENTRY, KERNEL_DATA, INITRD_DATA = range(14, 19)
CMDLINE_ADDR, CMDLINE_SIZE, CMDLINE_DATA, SETUP_ADDR, SETUP_SIZE, SETUP_DATA, FILE_DIR = range(19, 26)
FILE_FIRST = 0x20
FILE_SLOTS = 0x100
FILE_NAME_MAX = 55

ID_TRADITIONAL, ID_DMA = 1, 2
DMA_SIGNATURE = 0x51454D5520434647  # "QEMU CFG"
DMA_ERROR, DMA_READ, DMA_SKIP, DMA_SELECT, DMA_WRITE = 1, 2, 4, 8, 16
DMA_CHUNK = 0x10000

E820_RAM, E820_RESERVED = 1, 2


def e820_table(entries: list[tuple[int, int, int]]) -> bytes:
    """The contents of "etc/e820": (base, size, type) triples in order."""
    return b"".join(struct.pack("<QQI", *entry) for entry in entries)


class FwCfg:
    """The device. `read`/`write` access guest memory for DMA: they raise ValueError outside RAM."""

    port_width = 4

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        write: Callable[[int, bytes], None],
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._read_memory, self._write_memory, self._report = read, write, report
        self._made: dict[int, Callable[[], bytes]] = {}     # items that are made anew whenever they are selected
        self._items: dict[int, bytes] = {SIGNATURE: b"QEMU", ID: struct.pack("<I", ID_TRADITIONAL | ID_DMA)}
        self._files: dict[str, tuple[int, int]] = {}       # key and size by name
        self._build_directory()
        self.reset()

    def reset(self) -> None:
        self._key = SIGNATURE
        self._offset = 0
        self._dma_high = 0

    # -- contents --

    def set_item(self, key: int, data: bytes) -> None:
        """Define the item at a numbered key, below FILE_FIRST or in the machine-specific range 0x8000 up."""
        if FILE_FIRST <= key < 0x8000 or key == FILE_DIR or not 0 <= key <= 0xFFFF:
            raise ValueError(f"fw_cfg key {key:#x}: belongs to the file directory")
        self._items[key] = bytes(data)

    def set_int(self, key: int, value: int, size: int) -> None:
        """Define a little-endian integer item of `size` bytes."""
        self.set_item(key, value.to_bytes(size, "little"))

    def add_file(self, name: str, data: bytes | Callable[[], bytes]) -> None:
        """Add or replace a named file such as "etc/e820"; ValueError for a bad name or a full directory. A function
        gives the contents as they are when the guest selects the file, always in the same size."""
        raw = name.encode("ascii", "strict") if name.isascii() else b""
        if not 0 < len(raw) <= FILE_NAME_MAX:
            raise ValueError(f"fw_cfg file name {name!r}: must be 1 to {FILE_NAME_MAX} ASCII characters")
        if name not in self._files and len(self._files) == FILE_SLOTS:
            raise ValueError(f"fw_cfg file {name!r}: the directory holds {FILE_SLOTS} files")
        key = self._files[name][0] if name in self._files else FILE_FIRST + len(self._files)
        self._made.pop(key, None)
        if callable(data):
            self._made[key] = data
            data = data()
        self._files[name] = (key, len(data))
        self._items[key] = bytes(data)
        self._build_directory()

    def _build_directory(self) -> None:
        entries = [
            struct.pack(">IHH56s", size, key, 0, name.encode("ascii"))
            for name, (key, size) in sorted(self._files.items())
        ]
        self._items[FILE_DIR] = struct.pack(">I", len(entries)) + b"".join(entries)

    # -- selector and data --

    def _select(self, key: int) -> None:
        self._key, self._offset = key, 0
        self._make()

    def _make(self) -> None:
        if self._key in self._made:
            self._items[self._key] = self._made[self._key]()

    def _take(self, count: int) -> bytes:
        """The next `count` bytes of the selected item, padded with zeros."""
        data = self._items.get(self._key, b"")[self._offset : self._offset + count]
        self._offset += count
        return data.ljust(count, b"\0")

    def port_read(self, port: int, size: int) -> int:
        if port == DATA_PORT:
            return int.from_bytes(self._take(size), "little")
        if DMA_PORT <= port < DMA_PORT + 8:
            signature = DMA_SIGNATURE.to_bytes(8, "big")[port - DMA_PORT :][:size]
            return int.from_bytes(signature, "little")
        return 0

    def port_write(self, port: int, size: int, value: int) -> None:
        if port == SELECTOR_PORT:
            self._select(value & 0xFFFF)
        elif port == DMA_PORT and size == 4:
            self._dma_high = int.from_bytes(value.to_bytes(4, "little"), "big")
        elif port == DMA_PORT + 4 and size == 4:
            low = int.from_bytes(value.to_bytes(4, "little"), "big")
            address, self._dma_high = self._dma_high << 32 | low, 0
            self._transfer(address)
        # Writes to the data port have no effect: QEMU dropped them in version 2.4.

    # -- DMA --

    def _transfer(self, structure: int) -> None:
        try:
            control, length, address = struct.unpack(">IIQ", self._read_memory(structure, 16))
        except ValueError:
            self._report(f"fw_cfg: DMA structure at {structure:#x} is not in RAM")
            return
        if control & DMA_SELECT:
            self._select(control >> 16)
        result = 0
        try:
            if control & DMA_READ:
                self._copy(address, length)
            elif control & DMA_WRITE:
                result = DMA_ERROR  # every item is read-only
            elif control & DMA_SKIP:
                self._offset += length
        except ValueError:
            result = DMA_ERROR
        self._write_memory(structure, struct.pack(">I", result))

    def _copy(self, address: int, length: int) -> None:
        """In chunks: a length of 4 GiB must end at the end of RAM, not in a 4 GiB buffer."""
        while length:
            count = min(length, DMA_CHUNK)
            self._write_memory(address, self._take(count))
            address, length = address + count, length - count

    def save(self) -> dict[str, Any]:
        """The contents belong to the machine's configuration, not to its state."""
        return {"key": self._key, "offset": self._offset, "dma_high": self._dma_high}

    def load(self, state: dict[str, Any]) -> None:
        self._key, self._offset, self._dma_high = state["key"], state["offset"], state["dma_high"]

    def settle(self) -> None:
        """After a snapshot was put back and all devices are as they were: the selected item, if it depends on them."""
        self._make()
