"""The BIOS data area and the start of the extended one, as POST leaves them (IBM, "PS/2 and PC BIOS Interface Technical
Reference", section 3): kernels look there for the top of conventional memory, hypervisors for the screen."""

import struct

from emu.load import ram
from emu.load.model import Segment
from emu.mem.ram import PhysicalMemory
from emu.pc import COM1

BASE, SIZE = 0x400, 0x100
KEYS_FIRST, KEYS_END = 0x1E, 0x3E                   # ring buffer of keys, as offsets from BASE
EQUIPMENT = 1 << 1 | 0b10 << 4 | 1 << 9             # coprocessor; 80 columns in colour; one serial port
TEXT_MODE, COLUMNS, ROWS, CELL, CURSOR, CRTC = 3, 80, 25, 16, 0x0607, 0x3D4
FIELDS = (                                          # offset, struct format, value
    (0x00, "<H", COM1), (0x0E, "<H", ram.EBDA >> 4), (0x10, "<H", EQUIPMENT), (0x1A, "<2H", (KEYS_FIRST, KEYS_FIRST)),
    (0x49, "<B2H", (TEXT_MODE, COLUMNS, 0x1000)), (0x60, "<H", CURSOR), (0x63, "<H", CRTC),
    (0x80, "<2H", (KEYS_FIRST, KEYS_END)), (0x84, "<BH", (ROWS - 1, CELL)))


def bios_data(memory: int) -> bytes:
    """The 256 bytes at 400H of a PC with so many bytes of memory."""
    data = bytearray(SIZE)
    for offset, form, value in (*FIELDS, (0x13, "<H", ram.lower_kib(memory))):
        struct.pack_into(form, data, offset, *(value if isinstance(value, tuple) else (value,)))
    return bytes(data)


def leave(memory: PhysicalMemory, size: int, used: tuple[Segment, ...]) -> None:
    """Write both into `size` bytes of guest memory, each unless an image has something there. The extended one begins
    with its size in KiB."""
    put_beside(memory, {BASE: bios_data(size), ram.EBDA: bytes((1,))}, used)


def put_beside(memory: PhysicalMemory, pieces: dict[int, bytes], used: tuple[Segment, ...]) -> None:
    """Write pieces of firmware's by address, but for those where there is no memory or an image has something."""
    for at, data in pieces.items():
        if memory.backed(at, len(data)) and not any(segment.overlaps(at, len(data)) for segment in used):
            memory.write(at, data)
