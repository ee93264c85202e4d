"""The native side of breakpoints: the table of jit/probe_layout.py and its records."""

from __future__ import annotations

from typing import NamedTuple

from emu.mem.ram import HostBlock
from jit import probe_layout as layout

MASK64 = (1 << 64) - 1
BLOCK_BYTES = 1 << 16
WRITTEN_VALUE = -1              # as a slot: what a store writes
EVERY_PLANE = (1 << 16) - 1


class Comparison(NamedTuple):
    """A test of a register or value that compiled code makes: `(value & mask) - low <= span`, all modulo 2^64, or the
    opposite (`except_`). `slot`: the register's offset in jit/layout.py."""

    slot: int
    mask: int = MASK64
    low: int = 0
    span: int = MASK64
    except_: bool = False

    @property
    def is_equality(self) -> bool:
        """Whether it is `value == low`."""
        return self.mask == MASK64 and not self.span and not self.except_


class Record:
    """A record in native memory."""

    def __init__(self, words: memoryview, address: int) -> None:
        self._words, self.address = words, address

    def __getitem__(self, offset: int) -> int:
        return self._words[offset >> 3]

    def __setitem__(self, offset: int, value: int) -> None:
        self._words[offset >> 3] = value & MASK64

    def set_filter(self, test: Comparison | None, planes: int, vcpu: int | None, ignore: int) -> None:
        """The part of a record that all kinds have in common."""
        _, mask, low, span, except_ = test or Comparison(0)
        for offset, value in ((layout.MASK, mask), (layout.LOW, low), (layout.SPAN, span),
                              (layout.EXCEPT, int(except_)), (layout.PLANES, planes),
                              (layout.ONE_VCPU, -1 if vcpu is None else vcpu), (layout.IGNORE, ignore)):
            self[offset] = value


class Table:
    """The table, and records for probes in front of instructions, which are used again when they are given back."""

    def __init__(self) -> None:
        self._block = HostBlock(BLOCK_BYTES)
        self._more: list[HostBlock] = []
        self._free: list[Record] = []
        self._next = layout.TABLE_BYTES
        self.address = self._block.address
        self.words = self._block.words

    def record(self) -> Record:
        """A record for a probe, zeroed."""
        if self._free:
            record = self._free.pop()
            for offset in range(0, layout.RECORD_BYTES, 8):
                record[offset] = 0
            return record
        block = self._more[-1] if self._more else self._block
        if self._next + layout.RECORD_BYTES > block.size:
            block, self._next = HostBlock(BLOCK_BYTES), 0
            self._more.append(block)
        at, self._next = self._next, self._next + layout.RECORD_BYTES
        return Record(block.view[at:at + layout.RECORD_BYTES].cast("Q"), block.address + at)

    def give_back(self, record: Record) -> None:
        """A record that no decoded code refers to any more."""
        record[layout.ON] = 0
        self._free.append(record)

    def watch(self, number: int) -> Record:
        """The record of a watchpoint."""
        at = layout.WATCHES + number * layout.RECORD_BYTES
        return Record(self._block.view[at:at + layout.RECORD_BYTES].cast("Q"), self.address + at)

    def get(self, offset: int) -> int:
        """A word of the table."""
        return self.words[offset >> 3]

    def set(self, offset: int, value: int) -> None:
        """Write a word of the table."""
        self.words[offset >> 3] = value & MASK64
