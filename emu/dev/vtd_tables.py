"""What an IOMMU looks up in memory (Intel Virtualization Technology for Directed I/O 4.1, chapters 3, 5 and 9): root
and context tables, second-stage tables, interrupt-remapping tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from emu.irq.apicbus import ApicMessage

PAGE = 4096
FRAME = 0x000F_FFFF_FFFF_F000
PRESENT, FAULT_DISABLED = 1, 2
READ, WRITE, LARGE = 1, 2, 0x80
PASS_THROUGH = 2
LEVELS = {1: 3, 2: 4}                           # by the context entry's AW: 39 and 48 bits
# Reasons of faults, appendix A
(NO_ROOT, NO_CONTEXT, BAD_CONTEXT, TOO_FAR, NO_WRITE, NO_READ, UNREADABLE_TABLE) = range(1, 8)
IR_INDEX, IR_ABSENT, IR_UNREADABLE, IR_COMPATIBLE, IR_SOURCE = 0x21, 0x22, 0x23, 0x25, 0x26


class Fault(Exception):
    """A request that is refused: `reason`, and whether it is to be recorded."""

    def __init__(self, reason: int, recorded: bool = True) -> None:
        super().__init__(f"reason {reason:#x}")
        self.reason, self.recorded = reason, recorded


class Remapped(NamedTuple):
    """Fields of an interrupt-remapping table entry."""

    message: ApicMessage
    fault_disabled: bool


Memory = Callable[[int, int], bytes]            # gives bytes at an address; ValueError outside RAM


def _word(memory: Memory, at: int, reason: int) -> int:
    try:
        return int.from_bytes(memory(at, 8), "little")
    except ValueError:
        raise Fault(reason) from None


def translate(memory: Memory, root: int, source: int, address: int, write: bool) -> int:
    """Where an access of a source (bus, device, function) goes: an address in memory. Fault: nowhere."""
    entry = _word(memory, root + 16 * (source >> 8), UNREADABLE_TABLE)
    if not entry & PRESENT:
        raise Fault(NO_ROOT)
    at = (entry & FRAME) + 16 * (source & 0xFF)
    low, high = _word(memory, at, UNREADABLE_TABLE), _word(memory, at + 8, UNREADABLE_TABLE)
    recorded = not low & FAULT_DISABLED
    if not low & PRESENT:
        raise Fault(NO_CONTEXT, recorded)
    kind, levels = low >> 2 & 3, LEVELS.get(high & 7)
    if kind > PASS_THROUGH or levels is None:
        raise Fault(BAD_CONTEXT, recorded)
    if kind == PASS_THROUGH:
        return address
    if address >> 12 + 9 * levels:
        raise Fault(TOO_FAR, recorded)
    table = low & FRAME
    for level in range(levels, 0, -1):
        shift = 12 + 9 * (level - 1)
        entry = _word(memory, table + 8 * (address >> shift & 0x1FF), UNREADABLE_TABLE)
        if not entry & (WRITE if write else READ):
            raise Fault(NO_WRITE if write else NO_READ, recorded)
        table = entry & FRAME
        if level == 1 or entry & LARGE and level <= 3:
            inside = (1 << shift) - 1
            return table & ~inside | address & inside
    raise AssertionError("a walk ends at level 1")


def remapped(memory: Memory, table: int, size: int, index: int, source: int | None) -> Remapped:
    """The interrupt of entry `index` in a table of `size` entries; `source` None: it is not verified."""
    if index >= size:
        raise Fault(IR_INDEX)
    low, high = (_word(memory, table + 16 * index + n, IR_UNREADABLE) for n in (0, 8))
    quiet = bool(low & FAULT_DISABLED)
    if not low & PRESENT:
        raise Fault(IR_ABSENT, not quiet)
    ignored = (0, 0b100, 0b110, 0b111)[high >> 16 & 3]
    verify, allowed = high >> 18 & 3, high & 0xFFFF
    if source is not None and (
            verify == 1 and (source ^ allowed) & ~ignored
            or verify == 2 and not allowed >> 8 <= source >> 8 <= allowed & 0xFF):
        raise Fault(IR_SOURCE, not quiet)
    return Remapped(ApicMessage(vector=low >> 16 & 0xFF, mode=low >> 5 & 7, destination=low >> 40 & 0xFF,
                                logical=bool(low & 4), level_triggered=bool(low & 16)), quiet)
