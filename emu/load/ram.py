"""The PC's physical memory map: where RAM is, and how boot protocols are told of it.

The holes are those every PC has: 0xA0000-0xBFFFF for video memory, and the top of the low 4 GiB for devices. RAM that
does not fit below the device hole continues at 4 GiB. 0xC0000-0xFFFFF is the chipset's shadow RAM: firmware's to use,
so no guest is told of it, but an image may have pieces there (GNU ld puts the ELF headers of a program linked at 1 MiB
just below it) and they are RAM as long as no ROM covers it.
"""

import struct
from dataclasses import dataclass

from emu.load.model import ImageError

PAGE = 0x1000
CONVENTIONAL_END = 0xA0000
EBDA = 0x9FC00  # the extended BIOS data area, the last KiB of conventional memory on most PCs
SHADOW_START = 0xC0000
HIGH_START = 0x100000
DEVICE_HOLE = 0xC0000000
FOUR_GIB = 1 << 32
MAX_MEMORY = 1 << 38  # what the identity tables in tables.py reach with one page of PDPTEs, with room to spare

USABLE, RESERVED = 1, 2  # address range types, ACPI 6.4 section 15, table 15.6


@dataclass(frozen=True)
class Range:
    """``size`` bytes of guest-physical address space of one ACPI address range type."""

    base: int
    size: int
    type: int = USABLE

    @property
    def end(self) -> int:
        """The first address after the range."""
        return self.base + self.size


def check_memory(path: str, memory: int) -> None:
    """Raise ImageError unless ``memory`` (bytes) is a RAM size that this machine can have."""
    if memory < PAGE or memory % PAGE or memory > MAX_MEMORY:
        raise ImageError(path, "memory", f"{memory} bytes: must be a multiple of 4 KiB, at most {MAX_MEMORY >> 30} GiB")


def loadable(memory: int) -> tuple[Range, ...]:
    """RAM that an image may occupy, ascending."""
    low = low_end(memory)
    ranges = [Range(0, min(low, CONVENTIONAL_END))]
    if low > SHADOW_START:
        ranges.append(Range(SHADOW_START, low - SHADOW_START))
    if memory > low:
        ranges.append(Range(FOUR_GIB, memory - low))
    return tuple(ranges)


def low_end(memory: int) -> int:
    """The first address after the RAM below 4 GiB."""
    return min(memory, DEVICE_HOLE)


def address_map(memory: int, reserved: int = 0) -> tuple[Range, ...]:
    """The map as INT 15h AX=E820h would report it (ACPI 6.4 section 15.1), ascending. The last ``reserved`` bytes below
    4 GiB, at most what is there from 1 MiB on, are somebody else's."""
    low = low_end(memory)
    ranges = [Range(0, min(low, EBDA))]
    if low > EBDA:
        ranges.append(Range(EBDA, min(low, CONVENTIONAL_END) - EBDA, RESERVED))
    ranges.append(Range(0xF0000, 0x10000, RESERVED))
    if low > HIGH_START:
        ranges.append(Range(HIGH_START, low - reserved - HIGH_START))
    if reserved:
        ranges.append(Range(low - reserved, reserved, RESERVED))
    if memory > low:
        ranges.append(Range(FOUR_GIB, memory - low))
    return tuple(ranges)


def igvm_memory_map(memory: int) -> bytes:
    """RAM as IGVM_VHS_MEMORY_MAP_ENTRY (crate igvm_defs): page number u64, pages u64, type u16 (0: memory), flags u16,
    reserved u32; ascending, an empty entry at the end."""
    return b"".join(struct.pack("<QQ8x", part.base // PAGE, part.size // PAGE) for part in loadable(memory)) + bytes(24)


def lower_kib(memory: int) -> int:
    """Conventional memory in KiB, at most 639 (Multiboot's mem_lower)."""
    return min(memory, EBDA) >> 10


def upper_kib(memory: int, reserved: int = 0) -> int:
    """RAM from 1 MiB to the first hole above it, in KiB (Multiboot's mem_upper); ``reserved`` as in address_map."""
    return max(0, low_end(memory) - reserved - HIGH_START) >> 10
