"""Reading what the user named: regular files only, no more than fits, every failure an ImageError."""

import os
import re
import stat
import zlib

from emu.load.model import ImageError, Module

_GZIP, _GZIP_BITS = b"\x1f\x8b", 31
MAX_FILE = 1 << 30  # bytes; a kernel with full debug information has half as many


def read_file(path: str, *, field: str = "file", limit: int = MAX_FILE) -> bytes:
    """The bytes of the regular file ``path``; ImageError naming ``field`` if it cannot be read or is over ``limit``."""
    try:
        # Not blocking, so that a FIFO is refused instead of waited for.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(path, field, "is not a regular file")
            if status.st_size > limit:
                raise ImageError(path, field, f"has {status.st_size} bytes, at most {limit} are accepted")
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError(path, field, reason) from None
    if len(data) > limit:
        raise ImageError(path, field, f"grew beyond {limit} bytes while it was read")
    return data


def unpacked(path: str, data: bytes, limit: int) -> bytes:
    """``data``, or what it holds if it is a gzip file (RFC 1952), as boot loaders take kernels; at most ``limit``
    bytes. ImageError if it is damaged or longer."""
    if data[:2] != _GZIP:
        return data
    inflater = zlib.decompressobj(wbits=_GZIP_BITS)
    try:
        whole = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise ImageError(path, "gzip", f"damaged data ({error})") from None
    if len(whole) > limit:
        raise ImageError(path, "gzip", f"unpacks to more than {limit} bytes")
    if not inflater.eof:
        raise ImageError(path, "gzip", "the data end early")
    return whole


def read_modules(text: str, memory: int) -> tuple[Module, ...]:
    """The boot modules of "FILE ARGS,FILE2 ARGS" as QEMU's -initrd has it; a comma is doubled to stand for itself.

    ``memory`` (bytes) bounds what is read in all.
    """
    modules = []
    for part in re.findall(r"(?:[^,]|,,)+", text):
        part = part.replace(",,", ",").strip()
        path = part.split(" ", 1)[0]
        data = read_file(path, field="initrd", limit=memory)
        memory -= len(data)
        modules.append(Module(path, data, part))
    return tuple(modules)
