"""Telling a directly started Linux kernel that it is an SNP guest: its secrets and CPUID pages, which firmware would
announce in EFI's configuration table, come through struct setup_data (Documentation/arch/x86/boot.rst; Linux,
arch/x86/include/uapi/asm/bootparam.h, SETUP_CC_BLOB)."""

from __future__ import annotations

import struct

from emu.firmware_state import TABLES_BASE
from emu.load.model import ImageError
from emu.load.ram import RESERVED
from emu.planes.snp.launch import PAGE, PageType

MAGIC, SETUP_CC_BLOB = 0x45444D41, 7            # "AMDE"
_E820_ENTRIES, _E820_TABLE, _SETUP_DATA = 0x1E8, 0x2D0, 0x250       # in struct boot_params
_E820_ENTRY = struct.Struct("<QQI")
ACPI_NVS = 4                                    # ACPI 6.4, table 15.6
_NODE = struct.Struct("<QIII")                  # struct cc_setup_data: next, type, length of the rest; the blob's GPA
_BLOB = struct.Struct("<IHHQIIQII")             # struct cc_blob_sev_info: magic, version, -, secrets, -, CPUID page, -
_BLOB_AT = 0x40                                 # in the page that node and blob share
_PAGES, _TOP = 3, 0x9F000                       # they end below the extended BIOS data area


def announce(path: str, contents: dict[int, bytearray], params: int) -> dict[int, PageType]:
    """Add the three pages to a kernel's `contents` (by GPA), take them out of the memory map in the boot_params at
    `params`, and say what kind two of them are. ImageError: there is no room for them.

    What the map only calls reserved an encrypted kernel takes for shared (Linux, arch/x86/mm/ioremap.c), so the range
    of the ACPI tables is called what it is."""
    count = _peek(contents, params + _E820_ENTRIES, 1)[0]
    base, size, kind = _E820_ENTRY.unpack(_peek(contents, params + _E820_TABLE, _E820_ENTRY.size))
    if not count or base or size < _PAGES * PAGE:
        raise ImageError(path, "e820_table", "does not begin with conventional memory, where SNP's pages would go")
    first = min(size & -PAGE, _TOP) - _PAGES * PAGE
    while any(first + n * PAGE in contents for n in range(_PAGES)):
        first -= PAGE
        if first < PAGE:
            raise ImageError(path, "memory", "no room below 640 KiB for the secrets and CPUID pages")
    blob, secrets, cpuid = (first + n * PAGE for n in range(_PAGES))
    for page in (blob, secrets, cpuid):
        contents[page] = bytearray(PAGE)
    _poke(contents, params + _E820_TABLE, _E820_ENTRY.pack(0, first, kind))
    for at in range(params + _E820_TABLE, params + _E820_TABLE + count * _E820_ENTRY.size, _E820_ENTRY.size):
        base, size, kind = _E820_ENTRY.unpack(_peek(contents, at, _E820_ENTRY.size))
        if (base, kind) == (TABLES_BASE, RESERVED):
            _poke(contents, at, _E820_ENTRY.pack(base, size, ACPI_NVS))
    following = _peek(contents, params + _SETUP_DATA, 8)
    _poke(contents, params + _SETUP_DATA, blob.to_bytes(8, "little"))
    _poke(contents, blob, _NODE.pack(int.from_bytes(following, "little"), SETUP_CC_BLOB, 4, blob + _BLOB_AT))
    _poke(contents, blob + _BLOB_AT, _BLOB.pack(MAGIC, 0, 0, secrets, PAGE, 0, cpuid, PAGE, 0))
    return {secrets: PageType.SECRETS, cpuid: PageType.CPUID}


def _peek(contents: dict[int, bytearray], gpa: int, size: int) -> bytes:
    return bytes(contents[at & -PAGE][at % PAGE] for at in range(gpa, gpa + size))


def _poke(contents: dict[int, bytearray], gpa: int, data: bytes) -> None:
    for at, byte in enumerate(data, gpa):
        contents[at & -PAGE][at % PAGE] = byte
