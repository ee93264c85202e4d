"""The CPUID page: functions that the firmware has looked at, for a guest to believe (FWABI 8.17.2.6 and 7.1)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from emu.planes.snp.launch import PAGE

MAX_ENTRIES = 64
_HEADER, _ENTRY = struct.Struct("<I12x"), struct.Struct("<IIQQIIII8x")
XSAVE_STATE, EXTENDED_FEATURES = 0xD, 7

# (EAX, EBX, ECX, EDX) of a function and index
Read = Callable[[int, int], tuple[int, int, int, int]]

# Registers of which each bit says that the processor has something, so a page may not have more of them than it.
_FEATURE_WORDS = {(1, 0): (2, 3), (7, 0): (1, 2, 3), (7, 1): (0, 1, 2, 3), (XSAVE_STATE, 1): (0,),
                  (0x8000_0001, 0): (2, 3), (0x8000_0007, 0): (3,), (0x8000_0008, 0): (1,), (0x8000_001F, 0): (0,),
                  (0x8000_0021, 0): (0,)}
_BY_INDEX = {4: 8, 7: 2, 0xB: 2, XSAVE_STATE: 20, 0x8000_001D: 8}      # those that look at ECX: how far to ask


class Entry(NamedTuple):
    """What one function gives; XCR0 and XSS are inputs of function 0xD only."""

    function: int
    subleaf: int
    xcr0: int
    xss: int
    eax: int
    ebx: int
    ecx: int
    edx: int

    @property
    def registers(self) -> tuple[int, int, int, int]:
        """EAX, EBX, ECX, EDX."""
        return self[4:8]


def pack(entries: Iterable[Entry]) -> bytes:
    """The page with these entries. ValueError: they are more than MAX_ENTRIES."""
    rows = list(entries)
    if len(rows) > MAX_ENTRIES:
        raise ValueError(f"a CPUID page has at most {MAX_ENTRIES} functions, not {len(rows)}")
    return (_HEADER.pack(len(rows)) + b"".join(_ENTRY.pack(*row) for row in rows)).ljust(PAGE, b"\0")


def unpack(page: bytes) -> list[Entry]:
    """The entries of a page. ValueError: its count is above MAX_ENTRIES."""
    count, = _HEADER.unpack_from(page)
    if count > MAX_ENTRIES:
        raise ValueError(f"count is {count}, at most {MAX_ENTRIES} functions fit a CPUID page")
    return [Entry(*_ENTRY.unpack_from(page, _HEADER.size + _ENTRY.size * n)) for n in range(count)]


def _indexes(read: Read) -> Iterator[tuple[int, int]]:
    for first in (0, 0x4000_0000, 0x8000_0000):
        last = read(first, 0)[0]
        for function in range(first, last + 1 if first <= last < first + 0x100 else first):
            for index in range(_BY_INDEX.get(function, 1)):
                yield function, index


def entries(read: Read) -> list[Entry]:
    """Every function of a processor that gives something, of 0xD with XCR0 = 1 and XSS = 0, as the guest starts.

    A function's size with other components is the guest's to add up from the further indexes of 0xD.
    """
    found = []
    for function, index in _indexes(read):
        registers = read(function, index)
        if any(registers):
            xcr0 = 1 if function == XSAVE_STATE and index < 2 else 0
            found.append(Entry(function, index, xcr0, 0, *registers))
    return found[:MAX_ENTRIES]


def contents(wanted: bytes, read: Read) -> bytes:
    """The page that a hypervisor hands to the firmware: what the processor has, then what the loaded page (empty for
    none) asks for beyond that and still fits. ValueError: that page is none."""
    rows = entries(read)
    known = {(row.function, row.subleaf) for row in rows}
    for row in unpack(wanted) if wanted else ():
        if (row.function, row.subleaf) not in known and len(rows) < MAX_ENTRIES:
            rows.append(row._replace(**dict(zip(("eax", "ebx", "ecx", "edx"), read(row.function, row.subleaf),
                                                strict=True))))
    return pack(rows)


def corrected(page: bytes, read: Read) -> bytes | None:
    """What firmware returns for a page with values that its policy forbids, or None if there are none.

    A feature that the processor does not have is forbidden, as is a size of 0xD's save area other than the processor's.
    """
    rows, changed = unpack(page), False
    for number, row in enumerate(rows):
        own, given = read(row.function, row.subleaf), list(row.registers)
        for register in _FEATURE_WORDS.get((row.function, row.subleaf), ()):
            given[register] &= own[register]
        if row.function == XSAVE_STATE and row.subleaf > 1:
            given[0] = own[0]
        if tuple(given) != row.registers:
            rows[number], changed = Entry(*row[:4], *given), True
    return pack(rows) if changed else None
