"""A plane's register file seen from Python: the block of jit/layout.py with names."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from emu.mem.ram import PAGE, HostBlock
from jit import exits, fpu_layout, layout

if TYPE_CHECKING:
    from emu.engine import Engine

SMBASE_RESET = 0x30000
PAT_RESET = 0x0007_0406_0007_0406       # SDM Vol. 3A 11.12.4
STATUS_FLAGS = 0x8D5             # CF PF AF ZF SF OF: held apart, in the lazy form of jit/flags.py
RFLAGS_FIXED = 2
DEBUGCTL_BTF = 2
RFLAGS_TF, DR6_HITS, DR6_BS, DB = 1 << 8, 0xF, 1 << 14, 1
GPR_NAMES = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
SEGMENT_NAMES = "es cs ss ds fs gs ldtr tr".split()


def flags_of(res: int, aux: int, carry: int, others: int) -> int:
    """RFLAGS from the words of jit/flags.py and RFL."""
    cf, sf = carry & 1, res >> 63 ^ carry >> 1 & 1
    pf = ((res ^ carry >> 8) & 0xFF).bit_count() & 1 ^ 1
    of = aux >> 63 ^ cf
    status = cf | pf << 2 | aux & 0x10 | (res == 0) << 6 | sf << 7 | of << 11
    return others & ~STATUS_FLAGS | RFLAGS_FIXED | status


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
        for n in range(layout.TLB_SETS):        # so that the flush below empties them
            self.sets.view[n * layout.SET_BYTES + layout.SET_USED] = 1
        self.set(layout.FILLS, layout.FILL_LIMIT + 1)
        cpu = engine.cpu
        self.set(layout.PHYS_MASK, (1 << cpu.model.physical) - 1)
        self.set(layout.A20_MASK, (1 << 64) - 1)
        self.set(layout.VCPU, vcpu)
        engine.monitors.add(vcpu)
        self.set(layout.PLANE, number)
        self.set(layout.TSC_SCALE, 1)
        self.set(layout.TSC_RATIO, layout.TSC_RATIO_ONE)
        engine.regions.sampling(self)
        self.set(layout.CR4_VALID, cpu.cr4_valid)
        self.set(layout.EFER_VALID, cpu.efer_valid)
        self.set(layout.XCR0_VALID, cpu.xcr0_valid)
        self.set(layout.XSS_VALID, cpu.xss_valid)
        self.set(layout.CET_VALID, cpu.cet_valid)
        self.set(layout.VENDOR, layout.VENDOR_AMD if cpu.amd else layout.VENDOR_INTEL)
        self.set(layout.XCR0, 1)
        self.set(layout.SMBASE, SMBASE_RESET)
        self.set(layout.PAT, PAT_RESET)
        self.flush()
        self.update_mode()

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

    @property
    def rflags(self) -> int:
        """RFLAGS. Writing it changes no mode: call `update_mode` where VM or AC may have changed."""
        return flags_of(*map(self.get, (layout.RES, layout.AUX, layout.CARRY, layout.RFL)))

    @rflags.setter
    def rflags(self, value: int) -> None:
        cf, sf, of = value & 1, value >> 7 & 1, value >> 11 & 1
        self.set(layout.RFL, value & ~STATUS_FLAGS | RFLAGS_FIXED)
        self.set(layout.RES, 0 if value & 0x40 else 0x100)
        self.set(layout.AUX, (cf ^ of) << 63 | value & 0x10)
        self.set(layout.CARRY, cf | sf << 1 | (~value >> 2 & 1) << 8)

    def use_fpu(self, address: int) -> None:
        """Work on the FPU file at a host address: this plane's own, or one that planes share."""
        self.set(layout.FPU, address)
        self.fpu_words = (ctypes.c_uint64 * (fpu_layout.FPU_BYTES // 8)).from_address(address)

    def reset_fpu(self) -> None:
        """The FPU file as after power-up (SDM Vol. 3A table 9-1)."""
        ctypes.memset(self.get(layout.FPU), 0, fpu_layout.FPU_BYTES)
        for offset, value in fpu_layout.RESET.items():
            self.fpu_set(offset, value)

    @property
    def pkru(self) -> int:
        """PKRU, which is put aside while another plane that has its own works on this one's FPU file."""
        aside = self.get(layout.PKRU_ASIDE)
        return aside & 0xFFFFFFFF if aside else self.fpu_get(fpu_layout.PKRU)

    @pkru.setter
    def pkru(self, value: int) -> None:
        if self.get(layout.PKRU_ASIDE):
            self.set(layout.PKRU_ASIDE, 1 << 32 | value)
        else:
            self.fpu_set(fpu_layout.PKRU, value)

    def init_fpu(self) -> None:
        """The FPU file as after FNINIT and XRSTOR of initial states (SDM Vol. 1 8.1.12, 13.6)."""
        self.reset_fpu()
        self.fpu_set(fpu_layout.FCW, fpu_layout.FCW_INIT)
        self.fpu_set(fpu_layout.FTW, 0)

    def fpu_get(self, offset: int) -> int:
        """An 8-byte word of the FPU file, unsigned; `offset` as in jit/fpu_layout.py."""
        return self.fpu_words[offset >> 3]

    def fpu_set(self, offset: int, value: int) -> None:
        """Write an 8-byte word of the FPU file."""
        self.fpu_words[offset >> 3] = value & 0xFFFF_FFFF_FFFF_FFFF

    def update_mode(self) -> None:
        """Recompute what follows from control registers, CS, SS, CPL and RFLAGS after writing any of them."""
        self.engine.call("update_mode", self)

    def raise_exception(self, vector: int, error: int | None = None) -> None:
        """An exception of the instruction at RIP: delivered when the plane runs again."""
        self._pend(vector, exits.KIND_FAULT, error)

    def inject_interrupt(self, vector: int) -> None:
        """An external interrupt that the controller acknowledged; the caller saw the INTERRUPT exit."""
        self._pend(vector, exits.KIND_INTERRUPT)

    def _pend(self, vector: int, kind: int, error: int | None = None) -> None:
        self.set(layout.FAULT_VECTOR, vector)
        self.set(layout.FAULT_KIND, kind)
        self.set(layout.FAULT_ERROR, error or 0)
        self.set(layout.FAULT_HAS_ERROR, int(error is not None))
        self.set(layout.FAULT_PENDING, 1)

    def retire(self) -> None:
        """Python carried out the instruction at RIP: go past it, count it, and trap if it was single-stepped."""
        self.set(layout.RIP, self.get(layout.NEXT_RIP))
        self.set(layout.BUDGET, self.get(layout.BUDGET) - 1)
        self.set(layout.IDLE_FAULTS, 0)
        if self.get(layout.RFL) & RFLAGS_TF and not self.get(layout.DEBUGCTL) & DEBUGCTL_BTF:
            self.set(layout.DR6, self.get(layout.DR6) & ~DR6_HITS | DR6_BS)
            self._pend(DB, exits.KIND_TRAP)

    def flush(self) -> None:
        """Drop every cached translation of this plane."""
        self.engine.call("flush_all", self)
