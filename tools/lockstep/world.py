"""The address space every random program runs in, and the whole state that two engines must agree on."""

from __future__ import annotations

import ctypes
import hashlib

from emu.mem.ram import PAGE
from emu.plane import GPR_NAMES
from jit import fpu_layout, layout
from tools.lockstep.bare import NAMES, Bare, status_flags
from tools.lockstep.program import Program
from tools.lockstep.tables import NX, RW, P, Tables

CODE, CODE_PAGES = 0x400000, 4
DATA, DATA_STEP, DATA_AREAS = 0x1000_0000, 0x20_0000, 5     # areas whose pages share TLB entries (512 of 4 KiB)
STACK, STACK_PAGES = 0x7000_0000, 2
RAM = 1 << 18
TABLES = 0x20000
DEVICE = 0x800000
FILL = b"\xf4"                                              # HLT: where a program runs off its code, it ends
SYSTEM = ("cr0", "dr6", "efer", "cr2", "cr3", "cr4", "cpl", "mode", "rflags_other", "rip", "activity",
          "shadow", "fault_pending")
PENDING = ("fault_vector", "fault_kind", "fault_has_error", "fault_error", "fault_address")


_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


class World:
    """One engine with a program in it."""

    def __init__(self, mode: str) -> None:
        self.bare = Bare(mode, RAM, 1 << 24)
        self.origin = 0

    def start(self, program: Program) -> None:
        """Put a program at its start, in memory that holds nothing else."""
        self.origin = program.origin
        bare = self.bare
        bare.ram.view[:] = bytes(RAM)
        bare.reset()
        bare.mode(program.bits)
        for number in (4, 5):
            bare.plane.set(layout.seg(number, layout.SEG_BASE), 64 * number)
        tables = Tables(bare, program.paging, TABLES)
        frames = iter(range(PAGE, TABLES, PAGE))
        for page in range(CODE_PAGES):                      # each second frame, so that neighbours are not adjacent
            frame = next(frames)
            tables.map(CODE + (page * 3 % CODE_PAGES) * PAGE, frame)
            bare.memory.write(frame, FILL * PAGE)
        for area in range(DATA_AREAS - 1):
            for page in range(2):
                frame = next(frames)
                writable = 0 if (area, page) == (3, 0) else RW
                tables.map(DATA + area * DATA_STEP + page * PAGE, frame,
                           P | writable | (NX if program.paging != "32-bit" else 0))
                bare.memory.write(frame, hashlib.shake_128(b"%d %d" % (program.seed, frame)).digest(PAGE))
        tables.map(DATA + (DATA_AREAS - 1) * DATA_STEP, DEVICE)
        for page in range(STACK_PAGES):
            tables.map(STACK + page * PAGE, next(frames))
        tables.use()
        data = program.encode()
        assert program.origin + len(data) <= CODE + CODE_PAGES * PAGE
        for at in range(len(data)):
            gpa = bare.translate(program.origin + at)
            assert gpa is not None
            bare.memory.write(gpa, data[at:at + 1])
        bare.plane.flush()
        for number, value in enumerate(program.registers):
            bare.gpr(number, value)
        bare.plane.set(layout.RIP, program.origin)

    def go(self, budget: int) -> str:
        """Run at most `budget` instructions. Gives the name of the exit."""
        return NAMES[self.bare.run(budget)]

    def go_on(self, status: str) -> None:
        """After a stop at an instruction: go on past it, or from the program's start where it cannot be fetched."""
        if status == "HALT" or not self.bare.skip():
            self.bare.plane.set(layout.FAULT_PENDING, 0)
            self.bare.plane.set(layout.RIP, self.origin)

    def state(self) -> dict[str, int]:
        """Everything architectural but memory, by name."""
        plane = self.bare.plane
        found: dict[str, int] = {name: self.bare.gpr(n) for n, name in enumerate(GPR_NAMES)}
        found |= {name: plane.get(layout.FIELDS[name].offset) for name in SYSTEM}
        if plane.get(layout.FAULT_PENDING):
            found |= {name: plane.get(layout.FIELDS[name].offset) for name in PENDING}
        found["flags"] = status_flags(plane)
        found["left"] = self.bare.left()
        for at in range(layout.SEG, layout.SEG + 8 * layout.SEG_BYTES, 8):
            found[f"segment[{(at - layout.SEG) // 8}]"] = plane.get(at)
        found["devices"] = self.bare.device_trace
        for at in range(0, fpu_layout.TMPV, 8):
            found[f"fpu[{at}]"] = plane.fpu_get(at)
        return found

    def brief(self) -> tuple[int | bytes, ...]:
        """The part of the state that nearly every difference shows in, cheaply."""
        plane = self.bare.plane
        return (ctypes.string_at(plane.address + layout.GPR, 128), plane.get(layout.RIP), plane.get(layout.RFL),
                status_flags(plane), plane.get(layout.BUDGET), plane.get(layout.FAULT_VECTOR))

    def same_memory(self, other: World) -> bool:
        """Whether both have the same RAM, page tables included."""
        return _memcmp(self.bare.ram.address, other.bare.ram.address, RAM) == 0
