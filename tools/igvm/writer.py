"""Writes an IGVM file for SEV-SNP: headers in the order of the calls, equal pages stored once (crate igvm_defs 0.3)."""

from __future__ import annotations

import struct
import zlib

PAGE = 4096
SNP_MASK = 1
_SEV_SNP, _VERSION = 2, 1
_FIXED = struct.Struct("<4sIIIII")


class IgvmWriter:
    """Collects headers; `bytes(writer)` is the file. Addresses are guest-physical, data at most a page where not said
    otherwise. Nothing is checked: a loader does that, and tests need wrong files too."""

    def __init__(self, policy: int | None = 0x30000) -> None:
        self._headers: list[tuple[int, bytes, bytes | None]] = []   # type, body, data that its file_offset stands for
        self.header(0x1, struct.pack("<IBBHQ", SNP_MASK, 0, _SEV_SNP, _VERSION, 0))
        if policy is not None:
            self.header(0x101, struct.pack("<QII", policy, SNP_MASK, 0))

    def header(self, kind: int, body: bytes, data: bytes | None = None) -> None:
        """Any header; where it has data, `body` has the bytes @@@@ for the data's place in the file."""
        self._headers.append((kind, body, data))

    def page(self, gpa: int, data: bytes = b"", kind: int = 0, flags: int = 0) -> None:
        """PAGE_DATA; `kind`: 0 normal, 1 secrets, 2 CPUID; `flags`: 2 unmeasured, 4 shared."""
        self.header(0x302, struct.pack("<QI4sIHH", gpa, SNP_MASK, b"@@@@" if data else bytes(4), flags, kind, 0),
                    data.ljust(PAGE, b"\0") if data else None)

    def pages(self, gpa: int, data: bytes) -> None:
        """Normal pages that lie together."""
        for at in range(0, len(data), PAGE):
            piece = data[at:at + PAGE]
            self.page(gpa + at, piece if any(piece) else b"")

    def vmsa(self, gpa: int, page: bytes, vcpu: int = 0) -> None:
        """VP_CONTEXT."""
        self.header(0x304, struct.pack("<QI4sHH", gpa, SNP_MASK, b"@@@@", vcpu, 0), page)

    def area(self, number: int, size: int) -> None:
        """PARAMETER_AREA of zeros."""
        self.header(0x301, struct.pack("<QII", size, number, 0))

    def parameter(self, kind: int, area: int, offset: int = 0) -> None:
        """A parameter of header type `kind`."""
        self.header(kind, struct.pack("<II", area, offset))

    def insert(self, gpa: int, area: int) -> None:
        """PARAMETER_INSERT."""
        self.header(0x303, struct.pack("<QII", gpa, SNP_MASK, area))

    def __bytes__(self) -> bytes:
        length = sum(8 + (len(body) + 7) // 8 * 8 for _, body, _ in self._headers)
        end = _FIXED.size + length
        places: dict[bytes, int] = {}
        for _, _, data in self._headers:
            if data is not None and data not in places:
                places[data] = end
                end += len(data)
        headers = b""
        for kind, body, data in self._headers:
            if data is not None:
                body = body.replace(b"@@@@", places[data].to_bytes(4, "little"), 1)
            headers += struct.pack("<II", kind, len(body)) + body.ljust((len(body) + 7) // 8 * 8, b"\0")
        fixed = (b"IGVM", 1, _FIXED.size, length, end)
        checksum = zlib.crc32(headers, zlib.crc32(_FIXED.pack(*fixed, 0)))
        return _FIXED.pack(*fixed, checksum) + headers + b"".join(places)
