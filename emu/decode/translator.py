"""Guest bytes -> micro-op records, once for each physical code page and mode.

A block runs from an instruction to the next branch, system instruction, already decoded instruction or page end. Every
instruction start in it is entered in the page's table, so that a jump into a block's middle needs no second decoding.
Direct branches within the page are linked to the records themselves.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from iced_x86 import Code, Decoder, DecoderError, DecoderOptions, EncodingKind, FlowControl, Instruction, Mnemonic

from emu.decode import lowering
from emu.decode.emitter import Emitter
from emu.decode.keeper import Keeper
from emu.decode.lower_cet import WAITING, lower_waiting
from emu.decode.page_image import records_of
from emu.decode.records import Block, Packer, Records
from emu.decode.stored import StoredPages
from emu.isa.cpu import Cpu, bare
from emu.mem.ram import PAGE, HostBlock, PhysicalMemory
from jit import pmap, uops

if TYPE_CHECKING:
    from jit.compiler import Compiler

MAX_INSTRUCTIONS = 64
MAX_LENGTH = 15
ARENA_BYTES = 1 << 29           # reserved, touched as needed
MODE_BITS = (16, 32, 64)
ANYWHERE = {FlowControl.NEXT, FlowControl.RETURN, FlowControl.INDIRECT_BRANCH}     # no address of their own in them
BRANCHES = {FlowControl.UNCONDITIONAL_BRANCH, FlowControl.INDIRECT_BRANCH, FlowControl.CONDITIONAL_BRANCH,
            FlowControl.RETURN, FlowControl.CALL, FlowControl.INDIRECT_CALL, FlowControl.INTERRUPT}
HYPERCALLS = {Mnemonic.VMCALL, Mnemonic.VMMCALL, Mnemonic.VMGEXIT}      # calls for iced, no branches for processors
CONTROL_MOVES = {Code.MOV_R32_CR, Code.MOV_R64_CR, Code.MOV_CR_R32, Code.MOV_CR_R64}
_PLACE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class Form(NamedTuple):
    """A Code's lowering, None where the processor has not got the instruction; whether it means the same wherever it
    stands, unless it addresses memory relative to RIP; whether it is neither VEX nor EVEX."""

    function: Callable[[Emitter, Instruction], None] | None
    anywhere: bool
    legacy: bool


class CodePage:
    """The records decoded from one guest-physical page for one mode."""

    def __init__(self, gpa: int, mode: int, address: int) -> None:
        self.gpa, self.mode, self.address = gpa, mode, address
        self.table = (ctypes.c_uint64 * PAGE).from_address(address + uops.PAGE_TABLE)
        self.records: list[tuple[int, int]] = []                # (first record, how many)
        self.pending: dict[int, list[int]] = {}                 # page offset -> words of the arena to fill
        self.across: set[int] = set()                           # first records of what runs into the next page
        self.data = b""                                         # the page's bytes when it was made
        self.key: bytes | None = None                           # by which it may be stored (emu/decode/keeper.py)
        self.restored = 0                                       # of `records`, those that were


class Translator:
    """Owns the arena of records and the code directory of one machine, whose processors are all of one kind."""

    def __init__(self, memory: PhysicalMemory, compiler: Compiler, cpu: Cpu | None = None,
                 stored: StoredPages | None = None) -> None:
        self.memory, self.compiler, self.cpu = memory, compiler, cpu or bare()
        self.arena = HostBlock(ARENA_BYTES)
        self.next = 0
        pages = memory.top // PAGE
        self.directory_block = HostBlock((pages * 8 + PAGE - 1) // PAGE * PAGE)
        self.directory = self.directory_block.words
        self.decoded_block = HostBlock((pages * 8 + PAGE - 1) // PAGE * PAGE)
        self.decoded = self.decoded_block.words        # 64-byte lines that hold decoded instructions
        self.pages: dict[int, list[CodePage]] = {}
        self.spill: dict[int, set[int]] = {}                    # page -> pages with an instruction that runs into it
        self.packer = Packer(compiler)
        self._emitters: dict[int, Emitter] = {}
        self._forms: dict[int, Form] = {}
        self._steps = HostBlock((MAX_INSTRUCTIONS + 1) * uops.STEP + PAGE - 1 & -PAGE)
        self._place_records = _PLACE(compiler.function("place_records"))
        self._generations: dict[int, int] = {}                  # page -> how often it was invalidated
        self.instrument: Callable[[Emitter, Instruction, int], None] | None = None  # may put micro-ops in front
        self.counts_branches = False
        self._records = records_of(self.arena)
        self._keeper = Keeper(stored, compiler, self.arena, self.pages) if stored is not None else None
        if self._keeper is not None:
            weakref.finalize(self, self._keeper.save)
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
        if self._keeper is not None:
            self._keeper.save()
        self.invalidate_all()
        if self._keeper is not None:
            self._keeper.forget()               # the records of dropped pages are about to be overwritten
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
            if self._keeper is not None:
                self._keeper.drop(page)
            for first, count in page.records:
                number = (first - self.arena.address) // uops.SIZE
                records = self._records[number:number + count]
                records["handler"], records["region"] = stale, 0
        self.directory[gpa // PAGE] = 0
        self.decoded[gpa // PAGE] = 0
        self.memory.map[gpa // PAGE] &= ~pmap.CODE
        for other in self.spill.pop(gpa, ()):
            self.invalidate(other)

    def _mark(self, gpa: int, size: int) -> bool:
        """Note that bytes hold instructions. True when the page had none: write permissions must be withdrawn."""
        first, last = (gpa % PAGE) >> 6, (gpa % PAGE + size - 1) >> 6
        return self._mark_lines(gpa, ((2 << last) - 1) & ~((1 << first) - 1))

    def _mark_lines(self, gpa: int, lines: int) -> bool:
        """The same of a set of 64-byte lines."""
        self.decoded[gpa // PAGE] |= lines
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
        fresh = self._begin(page) if not page.data else []
        if page.table[offset]:
            return fresh
        data = self.memory.read(gpa, PAGE - offset)
        self.packer.begin()
        known, table, plain = self.packer.kept(mode), page.table, self._plain()
        block, end = Block(self._steps.words), offset
        decoder = Decoder(MODE_BITS[mode & 3], data, self.cpu.decoder_options, ip=offset)
        for insn in decoder:
            ip, length = insn.ip, insn.len
            if ip != offset and table[ip]:
                break                                           # joins what is already decoded
            at = ip - offset
            records = known.get(data[at:at + length])
            if records is None or not plain:
                if (insn.code == Code.INVALID and PAGE - ip < MAX_LENGTH
                        and decoder.last_error == DecoderError.NO_MORE_BYTES):
                    break                                       # runs into the next page
                emitter = self._emitter(mode)
                if not plain:
                    self._put_in_front(emitter, insn, page.gpa + ip)
                if records is None or emitter.uops:
                    records = self._lower(emitter, insn, data[at:at + MAX_LENGTH + 1])
            block.add(ip, length, records)
            end = ip + length
            if block.ends or block.instructions == MAX_INSTRUCTIONS:
                break
        if not block.instructions:
            return fresh + self._decode_across(page, gpa, next_page)
        self._place(page, block, end)
        if not plain or data[:end - offset] != page.data[offset:end]:
            page.key = None             # there are more micro-ops in it than its bytes', or these have changed since
        return [page.gpa] if self._mark(gpa, end - offset) else fresh

    def _begin(self, page: CodePage) -> list[int]:
        """Before the first instruction of a page is decoded: what earlier runs decoded is put back."""
        page.data = self.memory.read(page.gpa, PAGE)
        if self._keeper is None or not self._plain():
            return []
        lines = self._keeper.restore(page, self._allocate)
        return [page.gpa] if lines and self._mark_lines(page.gpa, lines) else []

    def _plain(self) -> bool:
        """Whether nothing is put in front of instructions."""
        return self.instrument is None and not self.counts_branches

    def _put_in_front(self, emitter: Emitter, insn: Instruction, gpa: int, next_page: int | None = None) -> None:
        """The micro-ops of debuggers and counters that belong to an instruction, which may run into another page."""
        if self.counts_branches and insn.flow_control in BRANCHES and insn.mnemonic not in HYPERCALLS:
            emitter.op("count_branch", imm=insn.ip)     # before whatever the instruction may leave at
        if next_page is not None:
            emitter.op("check_next_page", imm=next_page)
        if self.instrument is not None:
            self.instrument(emitter, insn, gpa)

    def count_branches(self, wanted: bool) -> bool:
        """Let branches be counted (jit/branch_trace.py), or no longer. Whether that changes something; the caller then
        flushes the planes."""
        if wanted == self.counts_branches:
            return False
        self.counts_branches = wanted
        self.invalidate_all()
        return True

    def _emitter(self, mode: int) -> Emitter:
        """A mode's emitter, with nothing in it."""
        found = self._emitters.get(mode)
        if found is None:
            found = self._emitters[mode] = Emitter(mode, self.cpu.offers)
        found.begin()
        return found

    def _decode_across(self, page: CodePage, gpa: int, next_page: int | None) -> list[int]:
        """One instruction whose bytes lie on two pages."""
        if next_page is None:
            return []
        here = PAGE - gpa % PAGE
        data = self.memory.read(gpa, here) + self.memory.read(next_page, MAX_LENGTH - here)
        insn = Decoder(MODE_BITS[page.mode & 3], data, self.cpu.decoder_options, ip=gpa % PAGE).decode()
        emitter = self._emitter(page.mode)
        self._put_in_front(emitter, insn, gpa, next_page)
        records = self._lower(emitter, insn, data)
        block = Block(self._steps.words)
        block.add(insn.ip, insn.len, records)
        page.across.add(self._place(page, block, insn.ip + insn.len))
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

    @staticmethod
    def _lock_mov(emitter: Emitter, insn: Instruction, data: bytes) -> Instruction:
        """An invalid instruction, unless it is LOCK MOV to or from CR0, which AMD's processors take for MOV CR8 where
        that has no encoding (APM Vol. 3 MOV CRn)."""
        found = Decoder(emitter.bits, data, DecoderOptions.AMD, ip=insn.ip).decode()
        return found if found.code in CONTROL_MOVES and found.len == insn.len else insn

    def _lower(self, emitter: Emitter, insn: Instruction, data: bytes) -> Records:
        """The records of an instruction, after what the emitter holds already. `data` are its bytes and some more."""
        alone = not emitter.uops
        placed = self._emit(emitter, insn, data)
        if alone and not placed:
            return self.packer.keep(emitter.mode, data[:insn.len], emitter.uops, emitter.ended)
        return self.packer.pack(emitter.uops, emitter.ended)

    def _emit(self, emitter: Emitter, insn: Instruction, data: bytes) -> bool:
        """Emit an instruction's micro-ops; whether they depend on its place, or on the processor's state."""
        if insn.code == Code.INVALID and self.cpu.offers("cr8legacy"):
            insn = self._lock_mov(emitter, insn, data)
        code = insn.code
        function, anywhere, legacy = self._forms.get(code) or self._form(insn)
        before = len(emitter.uops)
        emitter.placed = not anywhere or insn.is_ip_rel_memory_operand
        if not legacy and emitter.bits != 64:
            # VEX and EVEX are #UD in real and virtual-8086 mode (SDM Vol. 2A tables 2-18 ff.).
            emitter.op("protected_only")
        emitter.data = data
        if emitter.mode & WAITING == WAITING and lower_waiting(emitter, insn):
            return True
        try:
            if function is None:
                raise lowering.NotImplementedInstruction
            function(emitter, insn)
        except lowering.NotImplementedInstruction:
            del emitter.uops[before:]
            name = "unimplemented"
            if code == Code.INVALID:
                name = "too_long" if self._too_long(emitter, insn, data) else "undefined"
            emitter.op(name)
            emitter.end()
            return True
        return emitter.placed or emitter.linked

    def _form(self, insn: Instruction) -> Form:
        """What there is to know of all instructions of a Code."""
        code = insn.code
        function = lowering.CODES.get(code) or lowering.TABLE.get(insn.mnemonic)
        found = self._forms[code] = Form(function if self.cpu.allows(code) else None,
                                         insn.flow_control in ANYWHERE, insn.encoding == EncodingKind.LEGACY)
        return found

    def _place(self, page: CodePage, block: Block, end: int) -> int:
        """Write the records of a block that ends at a page offset, and enter its instructions in the page's table;
        gives the first record's address."""
        emitter, table, links = self._emitters[page.mode], page.table, block.links
        # Also after a branch, where it is never reached: no record may run into what is not one.
        if end < PAGE and emitter.flat and not block.ends:
            links.append(((block.records * uops.SIZE + uops.TARGET) // 8, end))
        block.close(self.packer.block_end(emitter.bits, end))
        first = self._allocate(block.records * uops.SIZE)
        self._place_records(self._steps.address, block.instructions, first, page.address + uops.PAGE_TABLE)
        page.records.append((first, block.records))
        words, base, pending = self.arena.words, (first - self.arena.address) // 8, page.pending
        for word, target in links:
            if table[target]:
                words[base + word] = table[target]
            else:
                pending.setdefault(target, []).append(base + word)
        if pending:
            for offset in block.offsets():
                if offset in pending:
                    for word in pending.pop(offset):
                        words[word] = table[offset]
        return first
