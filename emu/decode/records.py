"""Micro-ops as records (jit/uops.py), packed once for each instruction that means the same wherever it stands."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from emu.decode.emitter import Uop
from emu.mem.ram import HostBlock
from jit import layout, uops

if TYPE_CHECKING:
    from jit.compiler import Compiler

RECORD = struct.Struct("<QQIIIHBBQQIIQ")
assert RECORD.size == uops.SIZE
KEPT_BYTES = 16 << 20           # for instructions that are kept; code has few different ones
BLOCK_BYTES = 1 << 20           # for those of one block that are not


class Records(NamedTuple):
    """An instruction's `number` packed records. Each link is (record, field, page offset that it leads to)."""

    address: int
    number: int
    ends: bool                  # it is the last of its block
    links: Sequence[tuple[int, int, int]] = ()


class Block:
    """The steps of a block that is being decoded (jit/uops.py), written to `steps`; and its links, each the number of a
    word in the block's records and the page offset that it leads to."""

    __slots__ = ("_steps", "ends", "instructions", "links", "records")

    def __init__(self, steps: memoryview) -> None:
        self._steps, self.instructions, self.records, self.ends = steps, 0, 0, False
        self.links: list[tuple[int, int]] = []

    def add(self, offset: int, length: int, records: Records) -> None:
        """One more instruction, at a page offset."""
        address, number, self.ends, links = records
        steps, word = self._steps, 3 * self.instructions
        steps[word], steps[word + 1], steps[word + 2] = address, number, offset | length << uops.LENGTH_SHIFT
        for n, field, target in links:
            self.links.append((((self.records + n) * uops.SIZE + field) // 8, target))
        self.instructions += 1
        self.records += number

    def close(self, address: int) -> None:
        """The record after the last instruction, of which it keeps offset and length."""
        steps, word = self._steps, 3 * self.instructions
        steps[word], steps[word + 1], steps[word + 2] = address, 1, steps[word - 1]
        self.records += 1

    def offsets(self) -> list[int]:
        """Page offsets of the instructions."""
        return [where & 0xFFFF for where in self._steps[2:3 * self.instructions:3]]


class Packer:
    """Packs micro-ops into records without a place, which `place_records` (jit/placement.py) copies to theirs."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self._handlers: dict[str, tuple[int, int]] = {}
        self._kept: dict[int, dict[bytes, Records]] = {}
        self._block = HostBlock(KEPT_BYTES + BLOCK_BYTES)
        self._address, self._view = self._block.address, self._block.view
        self._next_kept, self._next = 0, KEPT_BYTES

    def begin(self) -> None:
        """A block begins: what was packed for the last one may be overwritten, and when room is short what was kept."""
        self._next = KEPT_BYTES
        if self._next_kept > KEPT_BYTES - BLOCK_BYTES:
            self._kept.clear()
            self._next_kept = 0

    def kept(self, mode: int) -> dict[bytes, Records]:
        """The kept records of a mode's instructions, by their bytes."""
        found = self._kept.get(mode)
        if found is None:
            found = self._kept[mode] = {}
        return found

    def keep(self, mode: int, code: bytes, micro_ops: list[Uop], ends: bool) -> Records:
        """Pack an instruction that does not depend on its place, for all that are to come."""
        at = self._next_kept
        self._next_kept = self._pack(micro_ops, at)
        found = self.kept(mode)[code] = Records(self._address + at, len(micro_ops), ends)
        return found

    def pack(self, micro_ops: list[Uop], ends: bool) -> Records:
        """Pack an instruction for the block that is being decoded."""
        at, links = self._next, []
        self._next = self._pack(micro_ops, at)
        for n, (_, _, _, _, _, target, follows) in enumerate(micro_ops):
            if target is not None:
                links.append((n, uops.TARGET, target))
            if follows is not None:
                links.append((n, uops.NEXT, follows))
        return Records(self._address + at, len(micro_ops), ends, links)

    def block_end(self, bits: int, offset: int) -> int:
        """Address of a record for what follows a block: a jump to the page offset where it ends."""
        handler, op = self._handlers.get("goto") or self._handler("goto")
        at = self._next
        RECORD.pack_into(self._view, at, handler, offset, 0, int(bits == 64), layout.ZERO, 0, 0, 0, 0, 0, 0, op, 0)
        self._next = at + uops.SIZE
        return self._address + at

    def _pack(self, micro_ops: list[Uop], at: int) -> int:
        """Write records from an offset on; gives the offset after them."""
        handlers, view = self._handlers, self._view
        for name, d, a, b, imm, _, _ in micro_ops:
            handler, op = handlers.get(name) or self._handler(name)
            RECORD.pack_into(view, at, handler, imm, d, a, b, 0, 0, 0, 0, 0, 0, op, 0)
            at += uops.SIZE
        return at

    def _handler(self, name: str) -> tuple[int, int]:
        """Interpreter handler and id of a micro-op."""
        op = self.compiler.op_id(name)
        found = self._handlers[name] = int(self.compiler.table[op]), op
        return found
