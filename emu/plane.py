"""A plane's register file seen from Python: the block of jit/layout.py with names."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from jit import fpu_layout, layout

from emu.mem.ram import PAGE, HostBlock

if TYPE_CHECKING:
    from emu.engine import Engine

GPR_NAMES = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
SEGMENT_NAMES = "es cs ss ds fs gs ldtr tr".split()


class Plane:
    """One plane of one vCPU: its register file and its TLB sets.

    `words[offset // 8]` is any 8-byte field; `get` and `set` take an offset of jit/layout.py.
    """

    def __init__(self, engine: Engine, vcpu: int = 0, number: int = 0) -> None:
        self.engine, self.vcpu, self.number = engine, vcpu, number
        self.block = HostBlock((layout.STATE_BYTES + PAGE - 1) // PAGE * PAGE)
        self.sets = HostBlock((layout.TLB_SETS * layout.SET_BYTES + PAGE - 1) // PAGE * PAGE)
        self.address = self.block.address
        self.fpu_block = HostBlock((fpu_layout.FPU_BYTES + PAGE - 1) // PAGE * PAGE)
        self.words = (ctypes.c_uint64 * (layout.STATE_BYTES // 8)).from_address(self.address)
        for field, value in engine.constants().items():
            self.set(field, value)
        self.set(layout.SELF, self.address)
        self.use_fpu(self.fpu_block.address)
        self.reset_fpu()
        self.set(layout.SETS, self.sets.address)
        self.set(layout.PHYS_MASK, (1 << 46) - 1)
        self.set(layout.A20_MASK, (1 << 64) - 1)
        self.set(layout.VCPU, vcpu)
        self.set(layout.PLANE, number)
        self.set(layout.TSC_SCALE, 1)
        engine.regions.sampling(self)
        self.use_set(0)
        self.flush()

    def get(self, offset: int) -> int:
        """An 8-byte field, unsigned."""
        return self.words[offset >> 3]

    def set(self, offset: int, value: int) -> None:
        """Write an 8-byte field (the low 64 bits of `value`)."""
        self.words[offset >> 3] = value & 0xFFFF_FFFF_FFFF_FFFF

    def signed(self, offset: int) -> int:
        """An 8-byte field, signed."""
        value = self.get(offset)
        return value - (1 << 64) if value >> 63 else value

    def use_fpu(self, address: int) -> None:
        """Work on the FPU file at a host address: this plane's own, or one that planes share."""
        self.set(layout.FPU, address)
        self.fpu_words = (ctypes.c_uint64 * (fpu_layout.FPU_BYTES // 8)).from_address(address)

    def reset_fpu(self) -> None:
        """The FPU file as after power-up (SDM Vol. 3A table 9-1)."""
        ctypes.memset(self.get(layout.FPU), 0, fpu_layout.FPU_BYTES)
        for offset, value in fpu_layout.RESET.items():
            self.fpu_set(offset, value)

    def fpu_get(self, offset: int) -> int:
        """An 8-byte word of the FPU file, unsigned; `offset` as in jit/fpu_layout.py."""
        return self.fpu_words[offset >> 3]

    def fpu_set(self, offset: int, value: int) -> None:
        """Write an 8-byte word of the FPU file."""
        self.fpu_words[offset >> 3] = value & 0xFFFF_FFFF_FFFF_FFFF

    def use_set(self, number: int) -> None:
        """Make TLB set `number` the one in force."""
        base = self.sets.address + number * layout.SET_BYTES
        self.set(layout.TLB_SET, number)
        self.set(layout.TLB, base)
        self.set(layout.JUMPS, base + layout.JUMP_CACHE)

    def flush(self) -> None:
        """Drop every cached translation of this plane."""
        self.engine.call("flush_all", self)
