"""The synthetic interrupt controller's registers, one set for each VTL of a virtual processor (TLFS, "Inter-partition
communication", SynIC). Nothing posts messages or events yet, so they are state with its write rules."""

from __future__ import annotations

from collections.abc import Callable

from emu.irq.lapic_msr import GeneralProtection

SCONTROL, SVERSION, SIEFP, SIMP, EOM = 0x40000080, 0x40000081, 0x40000082, 0x40000083, 0x40000084
SINT0, SINTS = 0x40000090, 16
INDEXES = (SCONTROL, SVERSION, SIEFP, SIMP, EOM, *range(SINT0, SINT0 + SINTS))
VERSION = 1
ENABLE = 1
SINT_MASKED = 1 << 16


class Synic:
    """One instance. `usable(page address)` tells whether a message or event page may lie there."""

    def __init__(self, usable: Callable[[int], bool]) -> None:
        self._usable = usable
        self.values = dict.fromkeys((SCONTROL, SIEFP, SIMP), 0)
        self.values |= dict.fromkeys(range(SINT0, SINT0 + SINTS), SINT_MASKED)

    def read(self, index: int) -> int:
        """RDMSR of one of INDEXES."""
        if index == SVERSION:
            return VERSION
        return self.values.get(index, 0)

    def write(self, index: int, value: int) -> None:
        """WRMSR of one of INDEXES. GeneralProtection: SVERSION, an unmasked SINT with a vector below 16, a page that is
        not RAM."""
        if index == SVERSION:
            raise GeneralProtection
        if index == EOM:
            return
        if index >= SINT0 and not value & SINT_MASKED and value & 0xFF < 16:
            raise GeneralProtection
        if index in (SIEFP, SIMP) and value & ENABLE and not self._usable(value & ~0xFFF):
            raise GeneralProtection
        self.values[index] = value
