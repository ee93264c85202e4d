"""IGVM files for the tests, put together from the format's description (crate igvm_defs)."""

from __future__ import annotations

import struct
import zlib

from tools.igvm.writer import IgvmWriter

VMSA_GPA, CODE_GPA = 0x203000, 0x201000


def vmsa(**changes: int) -> bytes:
    """A VMSA in 32-bit mode: code and data flat, EIP at the code. `changes`: offset of a qword (as "x178") -> value."""
    page = bytearray(4096)
    for at, attributes in ((0x10, 0xC9B), (0x00, 0xC93), (0x20, 0xC93), (0x30, 0xC93)):
        struct.pack_into("<HHIQ", page, at, 8, attributes, 0xFFFFFFFF, 0)
    struct.pack_into("<Q", page, 0xD0, 0x1000)          # EFER.SVME
    struct.pack_into("<Q", page, 0x158, 0x11)           # CR0
    struct.pack_into("<Q", page, 0x170, 2)              # RFLAGS
    struct.pack_into("<Q", page, 0x178, CODE_GPA)       # RIP
    struct.pack_into("<Q", page, 0x3B0, 1)              # SEV_FEATURES
    for offset, value in changes.items():
        struct.pack_into("<Q", page, int(offset[1:], 16), value)
    return bytes(page)


def small() -> bytes:
    """One page of code and a VMSA."""
    file = IgvmWriter()
    file.page(CODE_GPA, b"\xf4")
    file.vmsa(VMSA_GPA, vmsa())
    return bytes(file)


def every_header() -> bytes:
    """A file with each header that a launch can have."""
    file = IgvmWriter()
    file.header(0x102, struct.pack("<IHBBQQQQQ", 1, 0, 0, 0, 4096, 0x200000, 0x10000, 0, 0x40000000))
    file.header(0x103, struct.pack("<IHBBQQQ", 1, 0, 0, 0, 0x200000, 0x1000, 0x1000))
    file.header(0x305, struct.pack("<QIIII", 0x100000, 1, 0x100000, 0, 0))
    file.page(CODE_GPA, b"\xf4\xeb\xfd")
    file.page(CODE_GPA + 0x1000)
    file.page(0x204000, b"unmeasured", flags=2)
    file.page(0x205000, b"shared", flags=4)
    file.page(0x206000, kind=1)
    file.page(0x207000, struct.pack("<I", 0), kind=2)
    file.area(3, 0x2000)
    for number, kind in enumerate((0x307, 0x308, 0x309, 0x30A, 0x30C, 0x30E, 0x30F, 0x310, 0x313)):
        file.parameter(kind, 3, 0x300 * number)
    file.insert(0x208000, 3)
    file.header(0x30D, struct.pack("<QII", 0x20B000, 1, 0x1000))
    file.header(0x30B, struct.pack("<IB3s48s16s16sIIII592s", 1, 1, bytes(3), b"D" * 48, b"F" * 16, b"I" * 16,
                                   1, 2, 1, 1, bytes(592)))
    file.header(0x80000399, b"ignored")
    file.vmsa(VMSA_GPA, vmsa())
    return bytes(file)


def sealed(data: bytes | bytearray) -> bytes:
    """The same with the file size and checksum that its headers have, as far as there are headers."""
    out = bytearray(data)
    if len(out) < 24:
        return bytes(out)
    struct.pack_into("<I", out, 16, len(out))
    start, size = struct.unpack_from("<II", out, 8)
    out[20:24] = bytes(4)
    struct.pack_into("<I", out, 20, zlib.crc32(out[start:start + size], zlib.crc32(out[:24])))
    return bytes(out)


def patched(data: bytes, at: int, value: bytes) -> bytes:
    """Bytes replaced, and the file sealed again."""
    return sealed(data[:at] + value + data[at + len(value):])
