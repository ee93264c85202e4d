"""A disk image: a file that is only read, and in memory what the guest wrote over it.

So the same image gives the same run every time, and nothing that a guest does reaches the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SECTOR = 512


class Disk:
    """Sectors of 512 bytes; a last one that the file does not fill ends in zeros."""

    def __init__(self, path: str) -> None:
        """ValueError: the file cannot be read, or is empty."""
        try:
            self._file = Path(path).open("rb")
            size = self._file.seek(0, 2)
        except OSError as error:
            raise ValueError(f"{path}: disk image: cannot be read: {error.strerror}") from None
        if size == 0:
            raise ValueError(f"{path}: disk image: the file is empty")
        self.path, self.sectors = path, -(-size // SECTOR)
        self._written: dict[int, bytes] = {}

    def read(self, sector: int, count: int) -> bytes:
        """`count` sectors. ValueError: beyond the end."""
        self._check(sector, count)
        self._file.seek(sector * SECTOR)
        data = self._file.read(count * SECTOR).ljust(count * SECTOR, b"\0")
        changed = [n for n in range(sector, sector + count) if n in self._written]
        if not changed:
            return data
        pieces = bytearray(data)
        for n in changed:
            pieces[(n - sector) * SECTOR:(n - sector + 1) * SECTOR] = self._written[n]
        return bytes(pieces)

    def write(self, sector: int, data: bytes) -> None:
        """Whole sectors. ValueError: beyond the end."""
        count = len(data) // SECTOR
        self._check(sector, count)
        for i in range(count):
            self._written[sector + i] = data[i * SECTOR:(i + 1) * SECTOR]

    def _check(self, sector: int, count: int) -> None:
        if sector + count > self.sectors:
            raise ValueError(f"sectors {sector} to {sector + count - 1} of {self.sectors}")

    def save(self) -> dict[str, Any]:
        return {"sectors": self.sectors, "written": [[n, data] for n, data in sorted(self._written.items())]}

    def load(self, state: dict[str, Any]) -> None:
        """ValueError: the state is that of a disk of another size."""
        if state["sectors"] != self.sectors:
            raise ValueError(f"{self.path}: disk image: {self.sectors} sectors, and the snapshot's has "
                             f"{state['sectors']}")
        self._written = {n: data for n, data in state["written"]}
