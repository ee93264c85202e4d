"""The "newc" cpio archive that Linux unpacks as its first file system (its initramfs buffer format)."""

from __future__ import annotations

import stat

MAGIC = b"070701"
TRAILER = "TRAILER!!!"


class Archive:
    """An archive being made. Entries are in the order of the calls; owners are root, times are 0, so the same calls
    give the same bytes. A directory must be added before what is in it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._count = 0

    def directory(self, path: str, permissions: int = 0o755) -> None:
        """An empty directory."""
        self._add(path, stat.S_IFDIR | permissions, b"", links=2)

    def file(self, path: str, data: bytes, permissions: int = 0o644) -> None:
        """A regular file."""
        self._add(path, stat.S_IFREG | permissions, data)

    def symlink(self, path: str, target: str) -> None:
        """A symbolic link to `target`."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path: str, major: int, minor: int, permissions: int = 0o600) -> None:
        """A device node."""
        self._add(path, stat.S_IFCHR | permissions, b"", device=(major, minor))

    def data(self) -> bytes:
        """The archive, with its trailer."""
        return b"".join(self._parts) + self._entry(0, TRAILER, 0, b"", 1, (0, 0))

    def _add(self, path: str, mode: int, data: bytes, links: int = 1, device: tuple[int, int] = (0, 0)) -> None:
        self._count += 1
        self._parts.append(self._entry(self._count, path, mode, data, links, device))

    @staticmethod
    def _entry(inode: int, path: str, mode: int, data: bytes, links: int, device: tuple[int, int]) -> bytes:
        name = path.encode() + b"\0"
        fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(name), 0)
        head = MAGIC + b"".join(b"%08X" % value for value in fields) + name
        return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    """Names and contents end at a multiple of four bytes."""
    return data + bytes(-len(data) % 4)
