"""The block device (virtio 1.2, 5.2). A request is done as soon as the driver notifies its queue."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from emu.dev.virtio.disk import SECTOR, Disk
from emu.dev.virtio.queue import CHUNK, MAX_SIZE, Chain, QueueError, size_of
from emu.dev.virtio.transport import VirtioFunction

SEG_MAX, BLK_SIZE, FLUSH = 1 << 2, 1 << 6, 1 << 9       # features
IN, OUT, SYNC, GET_ID = 0, 1, 4, 8                      # kinds of request
DONE, IO_ERROR, UNSUPPORTED = 0, 1, 2
HEADER = struct.Struct("<IIQ")
ID_BYTES = 20


class VirtioBlk(VirtioFunction):
    """`number`: which of the machine's disks, for the identifier that the driver may ask for."""

    KIND, CLASS_CODE, QUEUES, FEATURES, NAME = 2, 0x010000, 1, SEG_MAX | BLK_SIZE | FLUSH, "virtio-blk"

    def __init__(self, disk: Disk, number: int, read: Callable[[int, int], bytes],
                 write: Callable[[int, bytes], None], line: Callable[[bool], None],
                 report: Callable[[str], None]) -> None:
        self.disk, self._identifier = disk, f"disk{number}".encode().ljust(ID_BYTES, b"\0")
        super().__init__(read, write, line, report)

    def configuration(self) -> bytes:
        """Capacity; largest number of segments beside header and status; no geometry; sector size (5.2.4)."""
        return struct.pack("<QIIHBBI", self.disk.sectors, 0, MAX_SIZE - 2, 0, 0, 0, SECTOR)

    def serve(self, number: int) -> None:
        queue = self.queues[number]
        wanted = False
        while (chain := queue.take()) is not None:
            room = size_of(chain.writable)
            if not room or size_of(chain.readable) < HEADER.size:
                raise QueueError("a request without a header, or without room for its status")
            status, written = self._request(chain, room - 1)
            queue.fill(chain.writable, room - 1, bytes((status,)))
            wanted |= queue.give(chain, written + 1)
        if wanted:
            self.interrupt()

    def _request(self, chain: Chain, room: int) -> tuple[int, int]:
        """(status, bytes written); `room` is for data."""
        queue = self.queues[0]
        kind, _, sector = HEADER.unpack(b"".join(queue.fetch(chain.readable, 0, HEADER.size)))
        if kind == IN:
            return self._read(chain, sector, room)
        if kind == OUT:
            return self._write(chain, sector, size_of(chain.readable) - HEADER.size), 0
        if kind == SYNC:
            return DONE, 0
        if kind == GET_ID:
            queue.fill(chain.writable, 0, self._identifier[:room])
            return DONE, min(room, ID_BYTES)
        return UNSUPPORTED, 0

    def _fits(self, sector: int, size: int) -> bool:
        return size % SECTOR == 0 and sector + size // SECTOR <= self.disk.sectors

    def _read(self, chain: Chain, sector: int, size: int) -> tuple[int, int]:
        if not self._fits(sector, size):
            return IO_ERROR, 0
        for at in range(0, size, CHUNK):
            count = min(CHUNK, size - at)
            data = self.disk.read(sector + at // SECTOR, count // SECTOR)
            self.queues[0].fill(chain.writable, at, data)
        return DONE, size

    def _write(self, chain: Chain, sector: int, size: int) -> int:
        if not self._fits(sector, size):
            return IO_ERROR
        data = b"".join(self.queues[0].fetch(chain.readable, HEADER.size, size))
        self.disk.write(sector, data)
        return DONE

    def save(self) -> dict[str, Any]:
        return super().save() | {"disk": self.disk.save()}

    def load(self, state: dict[str, Any]) -> None:
        self.disk.load(state["disk"])
        super().load(state)
