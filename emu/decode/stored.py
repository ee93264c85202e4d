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
import mmap
import os
import shutil
import tempfile
from pathlib import Path

from emu.isa.cpu import Cpu

WORTH = 4096                    # records that a run must have decoded for its pages to be stored
FILE_BYTES = 64 << 20           # at most in one file
TOTAL_BYTES = 256 << 20         # in all files of all processors; the oldest go first
KEEP = 8                        # directories of other processors and versions
DIGEST = 16


def fingerprint(cpu: Cpu) -> str:
    """Digest of what decoding depends on: its sources, the decoder, and what the processor offers."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for source in sorted((*here.glob("*.py"), *(here.parent / "isa").glob("*.py"))):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    digest.update(repr((importlib.metadata.version("iced-x86"), sorted(cpu.offered))).encode())
    return digest.hexdigest()[:24]


def key(data: bytes, mode: int) -> bytes:
    """The name of a page with these bytes, decoded for a mode."""
    return hashlib.blake2b(data, digest_size=DIGEST, key=mode.to_bytes(8, "little")).digest()


class StoredPages:
    """The images of a directory. Without a usable directory there are none, and nothing is stored."""

    def __init__(self, parent: Path, cpu: Cpu) -> None:
        self.directory = parent / fingerprint(cpu)
        self._files: list[mmap.mmap] = []
        self._index: dict[bytes, tuple[int, int, int, bytes]] = {}      # key -> file, offset, bytes, digest
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.usable = os.stat(self.directory).st_uid == os.getuid()
            os.utime(self.directory)
            _prune([d for d in parent.iterdir() if d.is_dir()], KEEP)
        except OSError:
            self.usable = False
        if self.usable:
            for path in sorted(self.directory.glob("*.pages"), key=lambda path: path.stat().st_mtime):
                self._open(path)

    def _open(self, path: Path) -> None:
        """Add a file's index; one that is damaged is deleted."""
        try:
            with open(path, "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            start = 40 + int.from_bytes(mapped[32:40], "little")
            if hashlib.sha256(mapped[40:start]).digest() != mapped[:32]:
                raise ValueError
            for name, (offset, size, digest) in marshal.loads(mapped[40:start]).items():
                self._index[name] = len(self._files), start + offset, size, digest
            self._files.append(mapped)
        except (OSError, ValueError, EOFError, TypeError):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def get(self, name: bytes) -> bytes | None:
        """The image of that key, or None when it is absent or damaged."""
        found = self._index.get(name)
        if found is None:
            return None
        number, offset, size, digest = found
        data = self._files[number][offset:offset + size]
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
        try:
            handle, temporary = tempfile.mkstemp(dir=self.directory, prefix=".")
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(head).digest() + len(head).to_bytes(8, "little") + head)
                file.writelines(kept)
            os.replace(temporary, self.directory / f"{hashlib.sha256(head).hexdigest()[:24]}.pages")
            self._forget()
        except OSError:
            return

    def _forget(self) -> None:
        """Delete the oldest files beyond the room that there is."""
        files = sorted(self.directory.parent.rglob("*.pages"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in files:
            total += path.stat().st_size
            if total > TOTAL_BYTES:
                path.unlink(missing_ok=True)


def _prune(directories: list[Path], keep: int) -> None:
    for old in sorted(directories, key=lambda d: d.stat().st_mtime)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
