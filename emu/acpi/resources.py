"""Resource descriptors for _CRS (ACPI specification 6.4, section 6.4)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from emu.acpi import aml

_IO, _IRQ, _END, _MEMORY32 = 0x47, 0x22, 0x79, 0x86
_WORD_SPACE, _DWORD_SPACE = 0x88, 0x87
_MEMORY, _PORTS, _BUSES = 0, 1, 2                   # resource types of address spaces
_FIXED = 1 << 2 | 1 << 3                            # both ends are fixed; the bridge decodes positively
_PORTS_ENTIRE, _MEMORY_WRITABLE = 3, 1              # ISA and non-ISA ports; read-write, not cacheable


def ports(first: int, count: int) -> bytes:
    """A fixed range of I/O ports, 16 bits decoded."""
    return struct.pack("<BBHHBB", _IO, 1, first, first, 1, count)


def irq(number: int) -> bytes:
    """An edge-triggered, active-high ISA interrupt."""
    return struct.pack("<BH", _IRQ, 1 << number)


def memory(base: int, size: int) -> bytes:
    """A fixed range of memory below 4 GiB, writable."""
    return struct.pack("<BHBII", _MEMORY32, 9, 1, base, size)


def bus_numbers(first: int, last: int) -> bytes:
    """PCI buses behind a host bridge."""
    return _words(_BUSES, 0, first, last)


def port_window(first: int, last: int) -> bytes:
    """Ports that a bridge passes on."""
    return _words(_PORTS, _PORTS_ENTIRE, first, last)


def memory_window(first: int, last: int) -> bytes:
    """Memory below 4 GiB that a bridge passes on."""
    return struct.pack("<BHBBBIIIII", _DWORD_SPACE, 23, _MEMORY, _FIXED, _MEMORY_WRITABLE, 0, first, last, 0,
                       last - first + 1)


def _words(kind: int, flags: int, first: int, last: int) -> bytes:
    return struct.pack("<BHBBBHHHHH", _WORD_SPACE, 13, kind, _FIXED, flags, 0, first, last, 0, last - first + 1)


def template(descriptors: Sequence[bytes]) -> bytes:
    """A buffer of descriptors with its end tag, whose checksum of 0 means "not checked"."""
    return aml.buffer(b"".join(descriptors) + bytes((_END, 0)))
