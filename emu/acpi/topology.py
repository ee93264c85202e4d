"""SRAT, SLIT and PPTT: one package with one thread a core, one memory node (ACPI specification 6.4, 5.2.16, .17, .30).

A PC does not need them; IGVM files may ask a loader for them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from emu.acpi.tables import table

LOCAL_DISTANCE = 10
ENABLED = 1
PACKAGE, IDENTICAL, ID_VALID, LEAF = 1, 1 << 4, 1 << 1, 1 << 3      # processor node flags


def srat(cpus: int, memory: Iterable[tuple[int, int]]) -> bytes:
    """Every local APIC and every (base, size) of RAM in proximity domain 0."""
    body = struct.pack("<IQ", 1, 0)
    for apic_id in range(cpus):
        body += struct.pack("<BBBBIBBHI", 0, 16, 0, apic_id, ENABLED, 0, 0, 0, 0)
    for base, size in memory:
        body += struct.pack("<BBIHQQIIQ", 1, 40, 0, 0, base, size, 0, ENABLED, 0)
    return table(b"SRAT", 3, body)


def slit() -> bytes:
    """One locality, as far from itself as the specification wants it."""
    return table(b"SLIT", 1, struct.pack("<QB", 1, LOCAL_DISTANCE))


def pptt(cpus: int) -> bytes:
    """A package node, and under it a leaf for each processor of the MADT."""
    package = 36                        # offset in the table: the first node comes right after the header
    body = struct.pack("<BBHIIII", 0, 20, 0, PACKAGE | IDENTICAL, 0, 0, 0)
    for processor in range(cpus):
        body += struct.pack("<BBHIIII", 0, 20, 0, ID_VALID | LEAF, package, processor, 0)
    return table(b"PPTT", 2, body)
