"""Decoded pages on disk: what a guest's code was decoded to, for the next run that meets the same pages.

Beside the compiled code that it refers to (jit/cache.py), in a directory named after everything that decoding depends
on but a page's bytes and its mode. A file holds the images (emu/decode/page_image.py) that one run added; it is
`sha256(index)`, the index's length in 8 bytes, the index, and the images, each with a digest in the index. Runs that
decode little add none.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import marshal
from functools import cache
from pathlib import Path

from emu.isa.cpu import Cpu
from jit.cache import claim_directory, write_whole

WORTH = 4096                    # records that a run must have decoded for its pages to be stored
FILE_BYTES = 64 << 20           # at most in one file
TOTAL_BYTES = 256 << 20         # in all files of all processors; the oldest go first ...
FILES = 64                      # ... and where there are more than that: each is opened at every start
KEEP = 8                        # directories of other processors and versions
DIGEST = 16


@cache
def _sources() -> bytes:
    """Digest of what decodes: it is read once."""
    digest = hashlib.sha256(importlib.metadata.version("iced-x86").encode())
    here = Path(__file__).parent
    for source in sorted((*here.glob("*.py"), *(here.parent / "isa").glob("*.py"))):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.digest()


def fingerprint(cpu: Cpu) -> str:
    """Digest of what decoding depends on: its sources, the decoder, and what the processor offers."""
    return hashlib.sha256(_sources() + repr(sorted(cpu.offered)).encode()).hexdigest()[:24]


def key(data: bytes, mode: int) -> bytes:
    """The name of a page with these bytes, decoded for a mode."""
    return hashlib.blake2b(data, digest_size=DIGEST, key=mode.to_bytes(8, "little")).digest()


class StoredPages:
    """The images of a directory. Without a usable directory there are none, and nothing is stored."""

    def __init__(self, parent: Path, cpu: Cpu) -> None:
        self.directory = parent / fingerprint(cpu)
        self._index: dict[bytes, tuple[Path, int, int, bytes]] = {}     # key -> file, offset, bytes, digest
        self.usable = claim_directory(self.directory, KEEP)
        if self.usable:
            for _, _, path in _files(self.directory):
                self._open(path)

    def _open(self, path: Path) -> None:
        """Add a file's index; one that is damaged is deleted."""
        try:
            with open(path, "rb") as file:
                head = file.read(40)
                size = int.from_bytes(head[32:], "little")
                if size > FILE_BYTES:
                    raise ValueError
                index = file.read(size)
            if hashlib.sha256(index).digest() != head[:32]:
                raise ValueError
            start = len(head) + len(index)
            for name, (offset, size, digest) in marshal.loads(index).items():
                self._index[name] = path, start + offset, size, digest
        except (OSError, ValueError, EOFError, TypeError):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def get(self, name: bytes) -> bytes | None:
        """The image of that key, or None when it is absent or damaged."""
        found = self._index.get(name)
        if found is None:
            return None
        path, offset, size, digest = found
        try:
            with open(path, "rb", buffering=0) as file:         # not kept open: there are many machines in a process
                file.seek(offset)
                data = file.read(size)
        except OSError:
            return None
        return data if hashlib.blake2b(data, digest_size=DIGEST).digest() == digest else None

    def put(self, images: dict[bytes, bytes]) -> None:
        """Store images in a new file; failure to write is no error."""
        index, offset, kept = {}, 0, []
        for name, data in images.items():
            if offset + len(data) <= FILE_BYTES:
                index[name] = offset, len(data), hashlib.blake2b(data, digest_size=DIGEST).digest()
                kept.append(data)
                offset += len(data)
        if not self.usable or not kept:
            return
        head = marshal.dumps(index)
        digest = hashlib.sha256(head)
        with contextlib.suppress(OSError):
            write_whole(self.directory / f"{digest.hexdigest()[:24]}.pages", digest.digest(),
                        len(head).to_bytes(8, "little"), head, *kept)
            self._forget()

    def _forget(self) -> None:
        """Delete the oldest files beyond the room that there is."""
        total = 0
        for number, (_, size, path) in enumerate(reversed(_files(self.directory.parent))):
            total += size
            if total > TOTAL_BYTES or number >= FILES:
                path.unlink(missing_ok=True)


def _files(directory: Path) -> list[tuple[float, int, Path]]:
    """(time of the last change, bytes, path) of the files anywhere in a directory, the oldest first."""
    found = []
    for path in directory.rglob("*.pages"):
        with contextlib.suppress(OSError):              # another process has deleted it
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    return sorted(found)
