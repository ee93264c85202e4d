"""Guest bytes -> micro-op records, once for each physical code page and mode.

A block runs from an instruction to the next branch, system instruction, already decoded instruction or page end. Every
instruction start in it is entered in the page's table, so that a jump into a block's middle needs no second decoding.
Direct branches within the page are linked to the records themselves.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from iced_x86 import Code, Decoder, DecoderError, DecoderOptions, EncodingKind, FlowControl, Instruction

from emu.decode import lowering
from emu.decode.emitter import Emitter, Uop
from emu.decode.lower_cet import lower_waiting
from emu.isa.cpu import Cpu, bare
from emu.mem.ram import PAGE, HostBlock, PhysicalMemory
from jit import pmap, uops
from jit.registry import PLAIN

if TYPE_CHECKING:
    from jit.compiler import Compiler

RECORD = struct.Struct("<QQIIIHBBQQIIQ")
REMAINING = struct.Struct("<I")
assert RECORD.size == uops.SIZE
MAX_INSTRUCTIONS = 64
MAX_LENGTH = 15
MAX_KEPT = 1 << 16              # instructions whose micro-ops are kept
ARENA_BYTES = 1 << 29           # reserved, touched as needed
MODE_BITS = (16, 32, 64)


class CodePage:
    """The records decoded from one guest-physical page for one mode."""

    def __init__(self, gpa: int, mode: int, address: int) -> None:
        self.gpa, self.mode, self.address = gpa, mode, address
        self.table = (ctypes.c_uint64 * PAGE).from_address(address + uops.PAGE_TABLE)
        self.records: list[tuple[int, int]] = []                # (first record, how many)
        self.pending: dict[int, list[int]] = {}                 # page offset -> addresses of link fields to fill


class Translator:
    """Owns the arena of records and the code directory of one machine, whose processors are all of one kind."""

    def __init__(self, memory: PhysicalMemory, compiler: Compiler, cpu: Cpu | None = None) -> None:
        self.memory, self.compiler, self.cpu = memory, compiler, cpu or bare()
        self.arena = HostBlock(ARENA_BYTES)
        self.next = 0
        pages = memory.top // PAGE
        self.directory_block = HostBlock((pages * 8 + PAGE - 1) // PAGE * PAGE)
        self.directory = self.directory_block.view.cast("Q")
        self.decoded_block = HostBlock((pages * 8 + PAGE - 1) // PAGE * PAGE)
        self.decoded = self.decoded_block.view.cast("Q")        # 64-byte lines that hold decoded instructions
        self.pages: dict[int, list[CodePage]] = {}
        self.spill: dict[int, set[int]] = {}                    # page -> pages with an instruction that runs into it
        self._handlers: dict[str, tuple[int, int]] = {}
        self._kept: dict[tuple[int, bytes], tuple[list[Uop], bool]] = {}    # (mode, instruction) -> micro-ops, last?
        self._generations: dict[int, int] = {}                  # page -> how often it was invalidated
        self.instrument: Callable[[Emitter, Instruction, int], None] | None = None  # may put micro-ops in front
        lowering.load_families()

    # --- the arena ---------------------------------------------------------------------------------------------------

    def full(self) -> bool:
        """Whether the arena must be flushed before more is decoded."""
        return self.next + (1 << 20) > self.arena.size

    def invalidate_all(self, offset: int | None = None) -> None:
        """Drop what was decoded from every page, or from those that have an instruction at a page offset."""
        for gpa, pages in list(self.pages.items()):
            if offset is None or any(page.table[offset] for page in pages):
                self.invalidate(gpa)

    def flush(self) -> None:
        """Forget everything decoded. The caller empties the jump caches of every plane."""
        self.invalidate_all()
        self.next = 0

    def _allocate(self, size: int) -> int:
        address = self.arena.address + self.next
        self.next += (size + 63) // 64 * 64
        assert self.next <= self.arena.size
        return address

    # --- pages -------------------------------------------------------------------------------------------------------

    def page(self, gpa: int, mode: int) -> CodePage:
        """The record page of a guest-physical page, made if need be."""
        known = self.pages.setdefault(gpa, [])
        for page in known:
            if page.mode == mode:
                return page
        address = self._allocate(uops.PAGE_BYTES)
        ctypes.memset(address, 0, uops.PAGE_BYTES)
        page = CodePage(gpa, mode, address)
        header = (ctypes.c_uint64 * 2).from_address(address)
        header[0], header[1] = mode, self.directory[gpa // PAGE]
        self.directory[gpa // PAGE] = address
        known.append(page)
        return page

    def generation(self, gpa: int) -> int:
        """How often the page was invalidated: records read in one generation are not those of another."""
        return self._generations.get(gpa, 0)

    def invalidate(self, gpa: int) -> None:
        """Drop what was decoded from the page, and from pages whose last instruction runs into it."""
        gpa &= -PAGE
        self._generations[gpa] = self.generation(gpa) + 1
        stale = int(self.compiler.table[self.compiler.op_id("stale")])
        for page in self.pages.pop(gpa, ()):
            for first, count in page.records:
                for at in range(first, first + count * uops.SIZE, uops.SIZE):
                    ctypes.c_uint64.from_address(at).value = stale
                    ctypes.c_uint64.from_address(at + uops.REGION).value = 0
        self.directory[gpa // PAGE] = 0
        self.decoded[gpa // PAGE] = 0
        self.memory.map[gpa // PAGE] &= ~pmap.CODE
        for other in self.spill.pop(gpa, ()):
            self.invalidate(other)

    def _mark(self, gpa: int, size: int) -> bool:
        """Note that bytes hold instructions. True when the page had none: write permissions must be withdrawn."""
        first, last = (gpa % PAGE) >> 6, (gpa % PAGE + size - 1) >> 6
        self.decoded[gpa // PAGE] |= ((2 << last) - 1) & ~((1 << first) - 1)
        fresh = not self.memory.map[gpa // PAGE] & pmap.CODE
        self.memory.map[gpa // PAGE] |= pmap.CODE
        return fresh

    # --- decoding ----------------------------------------------------------------------------------------------------

    def decode(self, gpa: int, mode: int, next_page: int | None) -> list[int]:
        """Decode the block at `gpa`. `next_page` is the GPA of the linearly following page, if it can be executed.

        Gives the guest-physical pages that newly hold code. Afterwards the page's table has an entry for `gpa`,
        unless the instruction needs bytes of a next page that cannot be executed.
        """
        offset = gpa % PAGE
        page = self.page(gpa - offset, mode)
        emitter = Emitter(mode, self.cpu.offers)
        data = self.memory.read(gpa, PAGE - offset)
        table = page.table
        starts: list[tuple[int, int, int]] = []                 # (page offset, length, first micro-op)
        decoder = Decoder(MODE_BITS[mode & 3], data, self.cpu.decoder_options, ip=offset)
        for insn in decoder:
            ip, length = insn.ip, insn.len
            if ip != offset and table[ip]:
                break                                           # joins what is already decoded
            if (insn.code == Code.INVALID and PAGE - ip < MAX_LENGTH
                    and decoder.last_error == DecoderError.NO_MORE_BYTES):
                break                                           # runs into the next page
            starts.append((ip, length, len(emitter.uops)))
            if self.instrument is not None:
                self.instrument(emitter, insn, page.gpa + ip)
            self._lower(emitter, insn, data[ip - offset:ip - offset + MAX_LENGTH + 1])
            if emitter.ended or len(starts) == MAX_INSTRUCTIONS:
                break
        if not starts:
            return self._decode_across(page, gpa, next_page)
        end = starts[-1][0] + starts[-1][1]
        # Also after a branch, where it is never reached: no record may run into what is not one.
        emitter.op("goto", a=int(emitter.bits == 64), imm=end,
                   target=end if end < PAGE and emitter.flat and not emitter.ended else None)
        self._place(page, emitter.uops, starts)
        return [page.gpa] if self._mark(gpa, end - offset) else []

    def _decode_across(self, page: CodePage, gpa: int, next_page: int | None) -> list[int]:
        """One instruction whose bytes lie on two pages."""
        if next_page is None:
            return []
        here = PAGE - gpa % PAGE
        data = self.memory.read(gpa, here) + self.memory.read(next_page, MAX_LENGTH - here)
        insn = Decoder(MODE_BITS[page.mode & 3], data, self.cpu.decoder_options, ip=gpa % PAGE).decode()
        emitter = Emitter(page.mode, self.cpu.offers)
        emitter.op("check_next_page", imm=next_page)
        if self.instrument is not None:
            self.instrument(emitter, insn, gpa)
        self._lower(emitter, insn, data)
        emitter.op("goto", a=int(emitter.bits == 64), imm=insn.ip + insn.len)
        self._place(page, emitter.uops, [(insn.ip, insn.len, 0)])
        self.spill.setdefault(next_page, set()).add(page.gpa)
        fresh = [page.gpa] if self._mark(gpa, here) else []
        if insn.len > here and self._mark(next_page, insn.len - here):
            fresh.append(next_page)
        return fresh

    @staticmethod
    def _too_long(emitter: Emitter, insn: Instruction, data: bytes) -> bool:
        """Whether an invalid instruction is so for having more than 15 bytes. `data` are its bytes and some more."""
        if insn.len < MAX_LENGTH:
            return False
        shorter = Decoder(emitter.bits, data[1:], DecoderOptions.NONE, ip=0).decode()       # one prefix less
        return shorter.len >= MAX_LENGTH or shorter.code != Code.INVALID

    def _lower(self, emitter: Emitter, insn: Instruction, data: bytes) -> None:
        """Emit the micro-ops of an instruction. Those of one that does not depend on its place are kept: code has few
        different ones. `data` are its bytes and some more."""
        raw = data[:insn.len]
        known = self._kept.get((emitter.mode, raw))
        if known is not None:
            more, emitter.ended = known
            emitter.uops += more
            return
        function = lowering.CODES.get(insn.code) or lowering.TABLE.get(insn.mnemonic)
        before = len(emitter.uops)
        emitter.placed = insn.flow_control != FlowControl.NEXT or insn.is_ip_rel_memory_operand
        if emitter.bits != 64 and insn.encoding != EncodingKind.LEGACY:
            # VEX and EVEX are #UD in real and virtual-8086 mode (SDM Vol. 2A tables 2-18 ff.).
            emitter.op("protected_only")
        emitter.data = data
        if lower_waiting(emitter, insn):
            return
        try:
            if function is None or not self.cpu.allows(insn.code):
                raise lowering.NotImplementedInstruction
            function(emitter, insn)
        except lowering.NotImplementedInstruction:
            del emitter.uops[before:]
            name = "unimplemented"
            if insn.code == Code.INVALID:
                name = "too_long" if self._too_long(emitter, insn, data) else "undefined"
            emitter.op(name)
            emitter.end()
            return
        more = emitter.uops[before:]
        if not emitter.placed and all(uop.target is None and uop.follows is None for uop in more):
            if len(self._kept) == MAX_KEPT:
                self._kept.clear()
            self._kept[emitter.mode, raw] = more, emitter.ended

    def _place(self, page: CodePage, block: list[Uop], starts: list[tuple[int, int, int]]) -> None:
        address = self._allocate(len(block) * uops.SIZE)
        page.records.append((address, len(block)))
        last = block[-1].name
        assert self.compiler.op_id(last) >= 0 and self.compiler.compiled["op." + last].kind != PLAIN, last
        for offset, _, first in starts:
            page.table[offset] = address + first * uops.SIZE
        handlers, link = self._handlers, self._link
        records = bytearray(len(block) * uops.SIZE)
        total, number, beyond = len(starts), 0, starts[1][2] if len(starts) > 1 else len(block)
        offset, length, _ = starts[0]
        for index, (name, d, a, b, imm, target, follows) in enumerate(block):
            if index == beyond:
                number += 1
                offset, length, _ = starts[number]
                beyond = starts[number + 1][2] if number + 1 < total else len(block)
            handler, op = handlers.get(name) or self._handler(name)
            at = index * uops.SIZE
            RECORD.pack_into(records, at, handler, imm, d, a, b, offset, length, 0,
                             0 if target is None else link(page, target, address + at + uops.TARGET),
                             0 if follows is None else link(page, follows, address + at + uops.NEXT),
                             total - number, op, 0)
        # The last record, `goto`, belongs to no instruction: nothing of the block is left to be done there.
        REMAINING.pack_into(records, len(records) - uops.SIZE + uops.REM, 0)
        ctypes.memmove(address, bytes(records), len(records))
        if page.pending:
            for offset, _, first in starts:
                for field in page.pending.pop(offset, ()):
                    ctypes.c_uint64.from_address(field).value = address + first * uops.SIZE

    def _handler(self, name: str) -> tuple[int, int]:
        """Interpreter handler and id of a micro-op."""
        op = self.compiler.op_id(name)
        found = self._handlers[name] = int(self.compiler.table[op]), op
        return found

    @staticmethod
    def _link(page: CodePage, target: int, field: int) -> int:
        if not page.table[target]:
            page.pending.setdefault(target, []).append(field)
        return page.table[target]


