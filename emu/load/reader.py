"""Fields of an untrusted file: every read is checked against the file's end and names the field it was for."""

from emu.load.model import ImageError


class Reader:
    """Little-endian fields of ``data``. A read outside it raises ImageError with the field's name."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data

    def span(self, offset: int, size: int, name: str) -> memoryview:
        """``size`` bytes at ``offset``, not copied."""
        if offset < 0 or size < 0 or offset + size > len(self.data):
            rule = f"bytes {offset:#x} to {offset + size:#x} are not all inside the file's {len(self.data):#x} bytes"
            raise ImageError(self.path, name, rule)
        return memoryview(self.data)[offset:offset + size]

    def uint(self, offset: int, size: int, name: str) -> int:
        """An unsigned integer of ``size`` bytes at ``offset``."""
        return int.from_bytes(self.span(offset, size, name), "little")

    def error(self, name: str, rule: str) -> ImageError:
        """The error for field ``name`` of this file, to be raised by the caller."""
        return ImageError(self.path, name, rule)
