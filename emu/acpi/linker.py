"""The tables as firmware for virtual machines gets them: files of fw_cfg, and a script that says how to place and link
them, since only firmware knows where they can lie (QEMU, docs/specs and hw/acpi/bios-linker-loader).

A command has 128 bytes, little-endian, file names in 56 of them. Checksums are written over bytes of 0.
"""

from __future__ import annotations

import struct

from emu.acpi import tables

RSDP, TABLES, SCRIPT = "etc/acpi/rsdp", "etc/acpi/tables", "etc/table-loader"
ALLOCATE, ADD_POINTER, ADD_CHECKSUM = 1, 2, 3
ANYWHERE, F_SEGMENT = 1, 2
RSDP_ALIGNMENT, COMMAND = 16, 128
RSDP_CHECKSUMS = ((8, 20), (32, 36))            # (where, over how many bytes), ACPI 5.2.5.3
RSDP_POINTERS = ((16, 4), (24, 8))              # to the RSDT and the XSDT


def _allocate(file: str, alignment: int, zone: int) -> bytes:
    return struct.pack("<I56sIB", ALLOCATE, file.encode(), alignment, zone)


def _pointer(file: str, target: str, at: int, size: int) -> bytes:
    return struct.pack("<I56s56sIB", ADD_POINTER, file.encode(), target.encode(), at, size)


def _checksum(file: str, at: int, start: int, size: int) -> bytes:
    return struct.pack("<I56sIII", ADD_CHECKSUM, file.encode(), at, start, size)


def files(cpus: int, low_ram: int, pm_base: int, iommu: bool = False) -> dict[str, bytes]:
    """The three files by name, for the machine that `tables.linked` describes. Sizes do not depend on `pm_base`."""
    parts = tables.linked(cpus, low_ram, pm_base, iommu)
    root = bytearray(tables.rsdp(parts.rsdt, parts.xsdt))
    for at, _ in RSDP_CHECKSUMS:
        root[at] = 0
    commands = [
        _allocate(RSDP, RSDP_ALIGNMENT, F_SEGMENT), _allocate(TABLES, tables.ALIGNMENT, ANYWHERE),
        *(_pointer(TABLES, TABLES, at, size) for at, size in parts.pointers),
        *(_checksum(TABLES, at + tables.CHECKSUM, at, size) for at, size in parts.tables),
        *(_pointer(RSDP, TABLES, at, size) for at, size in RSDP_POINTERS),
        *(_checksum(RSDP, at, 0, size) for at, size in RSDP_CHECKSUMS)]
    return {RSDP: bytes(root), TABLES: parts.data, SCRIPT: b"".join(c.ljust(COMMAND, b"\0") for c in commands)}
