"""A split virtqueue (virtio 1.2, 2.7): a table of descriptors, the driver's ring of chains, and the device's ring."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

MAX_SIZE = 256
CHUNK = 0x10000                         # the most that is copied at a time: a descriptor may claim 4 GiB
NEXT, WRITE, INDIRECT = 1, 2, 4         # flags of a descriptor
NO_INTERRUPT = 1                        # flag of the driver's ring
DESCRIPTOR = struct.Struct("<QIHH")
MASK16 = 0xFFFF


class QueueError(ValueError):
    """A ring or chain that breaks the rules; the device needs a reset (2.1.2)."""


class Piece(NamedTuple):
    """A part of a buffer in guest-physical memory."""

    gpa: int
    size: int


class Chain(NamedTuple):
    """One request: the descriptor it starts with, what the device reads, and what it writes."""

    head: int
    readable: tuple[Piece, ...]
    writable: tuple[Piece, ...]


def size_of(pieces: tuple[Piece, ...]) -> int:
    """Bytes in all."""
    return sum(piece.size for piece in pieces)


def spans(pieces: tuple[Piece, ...], skip: int, count: int) -> Iterator[Piece]:
    """What `count` bytes after the first `skip` ones lie in, CHUNK bytes at most each."""
    for gpa, size in pieces:
        start, skip = min(skip, size), max(skip - size, 0)
        while start < size and count:
            length = min(size - start, count, CHUNK)
            yield Piece(gpa + start, length)
            start, count = start + length, count - length


class Queue:
    """`read(gpa, size)` and `write(gpa, data)` raise ValueError outside RAM; so do the methods here."""

    def __init__(self, read: Callable[[int, int], bytes], write: Callable[[int, bytes], None]) -> None:
        self._read, self._write = read, write
        self.reset()

    def reset(self) -> None:
        self.size, self.enabled = MAX_SIZE, False
        self.descriptors = self.driver = self.device = 0        # addresses of the three parts
        self._taken = self._given = 0                           # indices of the two rings

    def _word(self, gpa: int) -> int:
        return int.from_bytes(self._read(gpa, 2), "little")

    def take(self) -> Chain | None:
        """The next request, or None. QueueError, ValueError: the driver broke a rule."""
        waiting = self._word(self.driver + 2) - self._taken & MASK16
        if not waiting:
            return None
        if waiting > self.size:
            raise QueueError(f"the driver's ring claims {waiting} requests in a queue of {self.size}")
        head = self._word(self.driver + 4 + 2 * (self._taken % self.size))
        chain = Chain(head, *self._follow(head))
        self._taken = self._taken + 1 & MASK16
        return chain

    def _follow(self, head: int) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
        table, entries, index, indirect = self.descriptors, self.size, head, False
        parts: tuple[list[Piece], list[Piece]] = ([], [])
        left = MAX_SIZE
        while left:
            if index >= entries:
                raise QueueError(f"descriptor {index} of a table of {entries}")
            gpa, size, flags, following = DESCRIPTOR.unpack(self._read(table + DESCRIPTOR.size * index,
                                                                       DESCRIPTOR.size))
            if flags & INDIRECT:
                if indirect or flags & NEXT or not size or size % DESCRIPTOR.size:
                    raise QueueError(f"descriptor {index}: an indirect table of {size} bytes with flags {flags:#x}")
                table, entries, index, indirect = gpa, size // DESCRIPTOR.size, 0, True
                continue
            if parts[1] and not flags & WRITE:
                raise QueueError(f"descriptor {index}: what the device reads follows what it writes")
            parts[1 if flags & WRITE else 0].append(Piece(gpa, size))
            if not flags & NEXT:
                return tuple(parts[0]), tuple(parts[1])
            index, left = following, left - 1
        raise QueueError(f"the chain from descriptor {head} has more than {MAX_SIZE} descriptors")

    def give(self, chain: Chain, written: int) -> bool:
        """Return a request of which that many bytes were written; whether the driver wants an interrupt."""
        at = self.device + 4 + 8 * (self._given % self.size)
        self._write(at, struct.pack("<II", chain.head, written & 0xFFFFFFFF))
        self._given = self._given + 1 & MASK16
        self._write(self.device + 2, self._given.to_bytes(2, "little"))
        return not self._word(self.driver) & NO_INTERRUPT

    def fetch(self, pieces: tuple[Piece, ...], skip: int, count: int) -> Iterator[bytes]:
        """`count` bytes of a buffer after the first `skip` ones, a chunk at a time."""
        return (self._read(piece.gpa, piece.size) for piece in spans(pieces, skip, count))

    def fill(self, pieces: tuple[Piece, ...], skip: int, data: bytes) -> None:
        """Write to a buffer after its first `skip` bytes."""
        at = 0
        for piece in spans(pieces, skip, len(data)):
            self._write(piece.gpa, data[at:at + piece.size])
            at += piece.size

    _PLAIN = ("size", "enabled", "descriptors", "driver", "device", "_taken", "_given")

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._PLAIN}

    def load(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state[name])
