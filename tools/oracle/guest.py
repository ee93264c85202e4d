"""The engine's side of a comparison: the arena as user-mode pages of a guest, one instruction at a time."""

from __future__ import annotations

import ctypes

from emu.mem.ram import HostBlock, PhysicalMemory
from jit import exits, fpu_layout, layout, pmap, run_slots, uops
from jit.paging import CR4_LA57
from tools.lockstep.bare import NAMES, Bare
from tools.oracle.arena import AREAS, ARENA_BYTES, CODE, PAGE, TOP, Area, offset_of
from tools.oracle.case import OPMASKS, ZMM_BYTES, ZMMS, Case, Outcome, VectorState
from tools.oracle.host import cpu_flags

P, RW, US, ACCESSED_DIRTY = 1, 2, 4, 0x60
TABLES = 0x10_0000              # guest-physical address of the page tables
CR0 = 0x8005_0033               # PG AM WP NE ET MP PE
CR4 = 0x5_06A0                  # OSXSAVE FSGSBASE OSXMMEXCPT OSFXSR PGE PAE and so on, without SMAP
EFER = 0xD01                    # NXE LMA LME SCE
USER_CODE, USER_CODE32, USER_DATA = 0x33, 0x23, 0x2B
FLAT = 0xFFFF_FFFF
CODE64_ATTR, CODE32_ATTR, DATA_ATTR = 0xA0FB, 0xC0FB, 0xC0F3
JUMP = b"\xeb\0"                # to the next instruction
PATIENCE = 20_000               # exits to Python after which a program counts as hanging
TOGETHER = 24                   # instructions that a region is made of
SEGMENTS = (layout.ES, layout.CS, layout.SS, layout.DS, layout.FS, layout.GS)


class UnimplementedCase(Exception):
    """The engine lacks the instruction."""


class UnexpectedExit(Exception):
    """The engine left as no instruction in user mode should make it."""


class Guest:
    """One plane in user mode with the arena mapped at its addresses (the linear ones are also the guest-physical)."""

    def __init__(self, mode: str = "interp") -> None:
        self.memory = PhysicalMemory(TOP)
        self.memory.add_ram(TABLES, 64 * PAGE)
        self.block = HostBlock(ARENA_BYTES)
        for area in AREAS:
            self.memory.add(area.address, self.block, pmap.READ | pmap.WRITE, offset_of(area), area.size)
        self._next_table = TABLES + PAGE
        for area in AREAS:
            self._map(area)
        self.bare = Bare(mode, memory=self.memory)
        self.bare.patience = PATIENCE
        self.engine = self.bare.engine
        self.in_regions = mode == "blocks"
        self._with_jump: dict[int, bool] = {}   # where a region takes the jump after the instruction, too
        self.engine.runtime[run_slots.DELIVER] = 0          # a fault then comes out instead of being delivered
        self.plane = self.bare.plane
        self._start()

    def _map(self, area: Area) -> None:
        """Page-table entries of an area, making the tables on the way."""
        for linear in range(area.address, area.end, PAGE):
            table = TABLES
            for shift in (39, 30, 21):
                at = table + (linear >> shift & 0x1FF) * 8
                entry = int.from_bytes(self.memory.read(at, 8), "little")
                if not entry:
                    entry = self._next_table | P | RW | US
                    self._next_table += PAGE
                    self.memory.write(at, entry.to_bytes(8, "little"))
                table = entry & -PAGE
            leaf = linear | P | US | (RW if area.writable else 0) | ACCESSED_DIRTY
            self.memory.write(table + (linear >> 12 & 0x1FF) * 8, leaf.to_bytes(8, "little"))

    def _start(self) -> None:
        plane = self.plane
        for field, value in ((layout.CR0, CR0), (layout.CR3, TABLES), (layout.CR4, CR4), (layout.EFER, EFER),
                             (layout.CPL, 3), (layout.XCR0, 0xE7)):
            plane.set(field, value)
        if "la57" not in cpu_flags():           # bases of segments have the width that the processor has at most
            plane.set(layout.CR4_VALID, plane.get(layout.CR4_VALID) & ~CR4_LA57)
        for number in SEGMENTS:
            plane.set(layout.seg(number, layout.SEG_LIMIT), FLAT)
            plane.set(layout.seg(number, layout.SEG_ATTR), DATA_ATTR)
            plane.set(layout.seg(number, layout.SEG_SELECTOR), USER_DATA)
        self._bits = 0
        self._set_code_size(64)

    def _set_code_size(self, bits: int) -> None:
        """Make CS a 32- or 64-bit code segment."""
        if bits != self._bits:
            self._bits = bits
            self.plane.set(layout.seg(layout.CS, layout.SEG_ATTR), CODE64_ATTR if bits == 64 else CODE32_ATTR)
            self.plane.set(layout.seg(layout.CS, layout.SEG_SELECTOR), USER_CODE if bits == 64 else USER_CODE32)
            self.plane.update_mode()

    def write_code(self, slot_offset: int, code: bytes) -> None:
        """Put bytes at an offset of the CODE area. `forget` must follow before they run."""
        at = offset_of(CODE) + slot_offset
        self.block.view[at:at + len(code)] = code

    def forget(self) -> None:
        """Drop everything decoded."""
        self.bare.forget()

    def run(self, case: Case) -> Outcome:
        """Execute the case's instruction. UnimplementedCase: the engine lacks it."""
        self._put(case)
        plane = self.plane
        with_jump = self._with_jump.get(case.rip, False)
        plane.set(layout.BUDGET, 1 + with_jump)
        fault, address = None, 0
        while True:
            status = self.engine.run(plane.address)
            if status == exits.DECODE:
                for page in self.engine.translator.decode(plane.get(layout.WALK_GPA), plane.get(layout.MODE), None):
                    self.engine.withdraw_writes(plane.address, page)
            elif status == exits.RUNTIME and plane.get(layout.FAULT_PENDING):
                fault = plane.get(layout.FAULT_VECTOR)
                address = plane.get(layout.FAULT_ADDRESS) if fault == 14 else 0
                break
            elif status == exits.RUNTIME:
                self.engine.provide(plane.get(layout.IO_VALUE))
            elif status == exits.UNIMPLEMENTED:
                raise UnimplementedCase(case.describe())
            elif status == exits.EVENT:
                break
            elif status == exits.HOT:
                continue                # what is to be compiled was chosen beforehand
            else:
                raise UnexpectedExit(f"the engine left with {NAMES[status]}")
        return self._outcome(case, fault, address, len(JUMP) if with_jump and fault is None else 0)

    def execute(self, case: Case, count: int) -> tuple[Outcome, int]:
        """Execute up to `count` instructions of the program at RIP. Gives the outcome and how many of them ran.
        UnimplementedCase, UnexpectedExit, TimeoutError: the engine lacks one, left strangely or hangs."""
        self._put(case)
        status = self.bare.run(count)
        plane = self.plane
        if status == exits.UNIMPLEMENTED:
            raise UnimplementedCase(str(self.bare.instruction()))
        fault = plane.get(layout.FAULT_VECTOR) if plane.get(layout.FAULT_PENDING) else None
        if status != exits.EVENT and not (status == exits.RUNTIME and fault is not None):
            raise UnexpectedExit(f"the engine left with {NAMES[status]}")
        address = plane.get(layout.FAULT_ADDRESS) if fault == 14 else 0
        return self._outcome(case, fault, address, 0), count - self.bare.left()

    def _put(self, case: Case) -> None:
        """The state before the case."""
        plane = self.plane
        words = plane.words
        words[layout.GPR >> 3:(layout.GPR >> 3) + 16] = list(case.registers)
        plane.set(layout.RIP, case.rip)
        plane.rflags = case.flags
        plane.set(layout.seg(layout.FS, layout.SEG_BASE), case.fs_base)
        plane.set(layout.seg(layout.GS, layout.SEG_BASE), case.gs_base)
        self._set_code_size(case.bits)
        plane.set(layout.FAULT_PENDING, 0)
        plane.set(layout.RESUME, 0)
        plane.set(layout.SHADOW, 0)
        if case.vector:
            self._put_vector(case.vector)

    def _outcome(self, case: Case, fault: int | None, address: int, beyond: int) -> Outcome:
        """The state now; RIP is `beyond` bytes further than the instruction left it."""
        plane = self.plane
        registers = tuple(plane.words[layout.GPR >> 3:(layout.GPR >> 3) + 16])
        vector = self._vector() if case.vector else None
        bases = (plane.get(layout.seg(layout.FS, layout.SEG_BASE)), plane.get(layout.seg(layout.GS, layout.SEG_BASE)))
        return Outcome(registers, plane.get(layout.RIP) - beyond, plane.rflags, fault, address, vector, bases)

    def _put_vector(self, state: VectorState) -> None:
        """The FPU file from a case."""
        plane = self.plane
        fpu = plane.get(layout.FPU)
        for field, value in ((fpu_layout.MXCSR, state.mxcsr), (fpu_layout.FCW, state.fcw),
                             (fpu_layout.FSW, state.fsw), (fpu_layout.FTW, state.ftw), (fpu_layout.FOP, state.fop),
                             (fpu_layout.FIP, state.fip), (fpu_layout.FDP, state.fdp), (fpu_layout.FCS, 0),
                             (fpu_layout.FDS, 0)):
            plane.fpu_set(field, value)
        ctypes.memmove(fpu + fpu_layout.ST, state.st, 128)
        ctypes.memmove(fpu + fpu_layout.ZMM, state.zmm, len(state.zmm))
        ctypes.memmove(fpu + fpu_layout.OPMASK, state.opmask, len(state.opmask))

    def _vector(self) -> VectorState:
        plane = self.plane
        fpu = plane.get(layout.FPU)
        zmm = ctypes.string_at(fpu + fpu_layout.ZMM, ZMM_BYTES * ZMMS)
        fcw, fsw, ftw, fop, fip, fdp = (plane.fpu_get(word) for word in (
            fpu_layout.FCW, fpu_layout.FSW, fpu_layout.FTW, fpu_layout.FOP, fpu_layout.FIP, fpu_layout.FDP))
        return VectorState(plane.fpu_get(fpu_layout.MXCSR), zmm, ctypes.string_at(fpu + fpu_layout.ST, 128), fcw, fsw,
                           ftw, fop, fip, fdp, ctypes.string_at(fpu + fpu_layout.OPMASK, 8 * OPMASKS))

    def prepare(self, rips: list[int], bits: int) -> None:
        """In the block engine: decode the instructions at these addresses and compile them, many to a region."""
        if not self.in_regions:
            return
        self._set_code_size(bits)
        self._with_jump.clear()
        mode, translator = self.plane.get(layout.MODE), self.engine.translator
        pages: dict[int, list[int]] = {}
        for rip in rips:
            for page in translator.decode(rip, mode, None):
                self.engine.withdraw_writes(self.plane.address, page)
            pages.setdefault(rip & -PAGE, []).append(rip)
        for gpa, found in pages.items():
            table = translator.page(gpa, mode).table
            for rip in found:
                rem = ctypes.c_uint32.from_address(table[rip % PAGE] + uops.REM).value if table[rip % PAGE] else 1
                self._with_jump[rip] = rem > 1
            heads = [table[rip % PAGE] for rip in found if table[rip % PAGE]]
            for first in range(0, len(heads), TOGETHER):
                self.engine.regions.together(heads[first:first + TOGETHER], gpa, mode)

    @property
    def arena(self) -> int:
        """Host address of the arena's bytes."""
        return self.block.address


def address_of(buffer: object) -> int:
    """Address of a writable buffer's first byte."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))  # type: ignore[arg-type]
