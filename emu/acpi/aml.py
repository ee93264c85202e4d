"""Encodes the few kinds of AML terms that describing fixed hardware takes (ACPI specification 6.4, chapter 20)."""

from __future__ import annotations

from collections.abc import Sequence

_NAME, _BUFFER, _PACKAGE, _SCOPE, _DEVICE = b"\x08", b"\x11", b"\x12", b"\x10", b"\x5b\x82"
_SIZES = ((0x0A, 1), (0x0B, 2), (0x0C, 4), (0x0E, 8))      # prefixes of integer constants, 20.2.3


def integer(value: int) -> bytes:
    """The shortest encoding of an unsigned 64-bit integer."""
    if value in (0, 1):
        return bytes((value,))
    for prefix, size in _SIZES:
        if value >> 8 * size == 0:
            return bytes((prefix,)) + value.to_bytes(size, "little")
    raise ValueError(f"{value:#x}: AML integers have 64 bits")


def path(name: str) -> bytes:
    """A NameString such as "_S5_", "\\\\_SB_" or "PCI0": one segment, perhaps from the root."""
    root = name.startswith("\\")
    segment = name.lstrip("\\").ljust(4, "_").encode("ascii")
    if len(segment) != 4:
        raise ValueError(f"AML name {name!r}: a segment has at most four characters")
    return b"\\" * root + segment


def package_length(size: int) -> bytes:
    """PkgLength for `size` bytes that follow it; it counts itself (20.2.4)."""
    for extra in range(4):
        total = size + 1 + extra
        if extra == 0 and total < 0x40:
            return bytes((total,))
        if extra and total >> 4 + 8 * extra == 0:
            return bytes((extra << 6 | total & 0xF,)) + (total >> 4).to_bytes(extra, "little")
    raise ValueError(f"{size:#x} bytes: an AML package has less than 2**28")


def _packed(opcode: bytes, content: bytes) -> bytes:
    return opcode + package_length(len(content)) + content


def name(path_of: str, value: bytes) -> bytes:
    """Name (path, value)."""
    return _NAME + path(path_of) + value


def package(elements: Sequence[bytes]) -> bytes:
    """Package () {elements}: at most 255."""
    return _packed(_PACKAGE, bytes((len(elements),)) + b"".join(elements))


def buffer(data: bytes) -> bytes:
    """Buffer () {data}."""
    return _packed(_BUFFER, integer(len(data)) + data)


def scope(path_of: str, terms: Sequence[bytes]) -> bytes:
    """Scope (path) {terms}."""
    return _packed(_SCOPE, path(path_of) + b"".join(terms))


def device(path_of: str, terms: Sequence[bytes]) -> bytes:
    """Device (path) {terms}."""
    return _packed(_DEVICE, path(path_of) + b"".join(terms))


def eisa_id(text: str) -> bytes:
    """EisaId ("PNP0A03"): a DWORD whose bytes are in the order of the letters (19.3.4)."""
    letters = [ord(c) - 0x40 for c in text[:3]]
    high = letters[0] << 10 | letters[1] << 5 | letters[2]
    return b"\x0c" + high.to_bytes(2, "big") + bytes.fromhex(text[3:])
