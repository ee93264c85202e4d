"""Random states for an instruction: register values that make its memory operands hit the arena, its edges or nothing
at all, and operand values of the kind at which arithmetic goes wrong."""

from __future__ import annotations

from random import Random

from iced_x86 import Instruction, Mnemonic, OpKind, Register, RegisterExt

from tools.oracle.arena import DATA, READ_ONLY, STACK, Area
from tools.oracle.case import Case
from tools.oracle.encode import Encoded

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
FLAGS = 0x202
STATUS_BITS = (0x1, 0x4, 0x10, 0x40, 0x80, 0x800)
DF = 0x400
INTERESTING = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
               0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_8000_0000)
NON_CANONICAL = (0x0000_8000_0000_0000, 0x8000_0000_0000_0000, 0x0001_0000_0000_0000)
_SHIFTS = {Mnemonic.SHL, Mnemonic.SAL, Mnemonic.SHR, Mnemonic.SAR, Mnemonic.ROL, Mnemonic.ROR, Mnemonic.RCL,
           Mnemonic.RCR, Mnemonic.SHLD, Mnemonic.SHRD}
_BIT_STRINGS = {Mnemonic.BT, Mnemonic.BTS, Mnemonic.BTR, Mnemonic.BTC}
_DIVISIONS = {Mnemonic.DIV, Mnemonic.IDIV}
_FRAMES = {Mnemonic.ENTER, Mnemonic.LEAVE}
_POP_FLAGS = {Mnemonic.POPF, Mnemonic.POPFD, Mnemonic.POPFQ}
POPPED_FLAGS = 0x4CD5 | 0x3200      # what the kernel lets a traced process keep apart: without TF, RF, AC and ID
_MASKED = {OpKind.MEMORY_SEG_DI, OpKind.MEMORY_SEG_EDI, OpKind.MEMORY_SEG_RDI}
_SOURCE = {OpKind.MEMORY_SEG_SI, OpKind.MEMORY_SEG_ESI, OpKind.MEMORY_SEG_RSI}
_DESTINATION = {OpKind.MEMORY_ESDI, OpKind.MEMORY_ESEDI, OpKind.MEMORY_ESRDI}


def value(rng: Random) -> int:
    """A 64-bit operand value."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(INTERESTING)
    if kind < 0.5:
        return rng.randrange(70)
    if kind < 0.6:
        return -rng.randrange(1, 70) & MASK64
    if kind < 0.7:
        return 1 << rng.randrange(64)
    if kind < 0.8:
        return rng.getrandbits(32)
    return rng.getrandbits(64)


def contents(size: int, rng: Random) -> bytes:
    """Initial bytes of the arena's data: the same kinds of value, so that comparisons find equal ones."""
    return b"".join(value(rng).to_bytes(8, "little") for _ in range(size // 8))


def address(rng: Random, area: Area = DATA, bits: int = 64) -> int:
    """Where a memory operand may lie."""
    kind = rng.random()
    if kind < 0.6:
        return area.address + rng.randrange(512, area.size - 512) & -8
    if kind < 0.7:
        return area.address + rng.randrange(512, area.size - 512)
    if kind < 0.8:
        return area.address + 4096 * rng.randrange(1, area.pages) - rng.randrange(1, 20)
    if kind < 0.86:
        return area.end - rng.randrange(1, 20)
    if kind < 0.9:
        return area.address - rng.randrange(1, 20)
    if kind < 0.97 or bits == 32:
        return READ_ONLY.address + rng.randrange(0, 4000)
    return rng.choice(NON_CANONICAL) - rng.randrange(0, 12) & MASK64


def number_of(register: int) -> int:
    """Number of a register, that of its widest form for a part of a general register."""
    return int(RegisterExt.number(RegisterExt.full_register(register)))


class Builder:
    """Registers and memory for one instruction."""

    def __init__(self, encoded: Encoded, bits: int, rng: Random, fixed: bool = False) -> None:
        """`fixed`: the instruction's bytes are not to change."""
        self.encoded, self.bits, self.rng, self.unchanged = encoded, bits, rng, fixed
        self.registers = [value(rng) for _ in range(16)]
        self.registers[RSP] = address(rng, STACK, bits) if rng.random() < 0.4 else STACK.address + 4096
        self.fs_base, self.gs_base = DATA.address + 0x1000, DATA.address + 0x1800
        self.pokes: list[tuple[int, bytes]] = []

    def build(self, rip: int) -> Case:
        """The case, with the code at `rip`."""
        insn = self.encoded.insn
        self._operands(insn)
        for index in range(insn.op_count):
            kind = insn.op_kind(index)
            if kind == OpKind.MEMORY:
                self._memory(insn, rip)
            elif kind in _SOURCE:
                self._string(RSI, insn)
            elif kind in _DESTINATION | _MASKED:
                self._string(RDI, insn)
        registers = self.registers
        if self.bits == 32:
            registers = [r & MASK32 if i < 8 else 0 for i, r in enumerate(registers)]
        flags = FLAGS | sum(bit for bit in STATUS_BITS if self.rng.random() < 0.5)
        if self.rng.random() < 0.25:
            flags |= DF
        return Case(self.encoded.data, self.bits, tuple(registers), flags, self.fs_base, self.gs_base,
                    tuple(self.pokes), rip=rip)

    def _operands(self, insn: Instruction) -> None:
        """Values that reach the interesting behaviour of particular instructions."""
        rng, registers = self.rng, self.registers
        if insn.mnemonic in _SHIFTS and rng.random() < 0.8:
            registers[RCX] = registers[RCX] & -256 | rng.randrange(70)
        elif insn.mnemonic in _BIT_STRINGS and insn.op1_kind == OpKind.REGISTER and rng.random() < 0.8:
            registers[number_of(insn.op1_register)] = rng.randrange(-20000, 20000) & MASK64
        elif insn.mnemonic in _DIVISIONS and rng.random() < 0.7:
            registers[RDX] = rng.choice((0, MASK64, rng.randrange(200), -rng.randrange(200) & MASK64))
            if rng.random() < 0.5:
                registers[RAX] = registers[RAX] & ~0xFF00 | rng.choice((0, 0xFF, 1, 0xFE)) << 8
        elif insn.mnemonic in _FRAMES and rng.random() < 0.9:
            registers[RBP] = address(rng, STACK, self.bits)
        elif insn.mnemonic in _POP_FLAGS:
            flags = rng.getrandbits(32) & POPPED_FLAGS
            self.pokes.append((registers[RSP], flags.to_bytes(8, "little")))
        elif insn.is_jcc_short_or_near or insn.is_loop or insn.is_loopcc:
            registers[RCX] = rng.choice((0, 1, 2, registers[RCX]))
        if insn.has_rep_prefix or insn.has_repne_prefix:
            registers[RCX] = rng.choice((0, 1, 2, 5, registers[RCX]))

    def _string(self, register: int, insn: Instruction) -> None:
        self.registers[register] = address(self.rng, DATA, self.bits)
        if insn.memory_segment in (Register.FS, Register.GS) and register == RSI and self.rng.random() < 0.8:
            self.registers[register] = self.rng.randrange(2000)

    def target(self) -> int:
        """Where the memory operand lies."""
        return address(self.rng, DATA, self.bits)

    def _memory(self, insn: Instruction, rip: int) -> None:
        """Make the effective address a chosen one, by the base, the index or the displacement."""
        rng, registers = self.rng, self.registers
        base, index = insn.memory_base, insn.memory_index
        target = self.target()
        if insn.memory_segment in (Register.FS, Register.GS):
            target -= self.fs_base if insn.memory_segment == Register.FS else self.gs_base
        if insn.mnemonic == Mnemonic.XLATB:
            registers[RBX] = target - (registers[RAX] & 0xFF) & MASK64
            return
        narrow = RegisterExt.size(base) == 4 or RegisterExt.size(index) == 4
        if insn.is_vsib:
            target, index = DATA.address + DATA.size // 2 + rng.randrange(64), Register.NONE
        if index and index != base:
            registers[number_of(index)] = rng.choice((0, 1, 8, rng.randrange(64), value(rng)))
        scaled = registers[number_of(index)] * insn.memory_index_scale if index else 0
        if base in (Register.RIP, Register.EIP):
            if not self.unchanged:
                self.encoded = self.encoded.with_displacement(target - rip - len(self.encoded.data))
        elif base and base != index:
            start = target - scaled - insn.memory_displacement & MASK64
            if narrow and self.bits == 64:
                start = start & MASK32 | rng.getrandbits(32) << 32
            registers[number_of(base)] = start
        elif not base and not index and self.encoded.offsets.has_displacement:
            if self.encoded.offsets.displacement_size >= 4 and not self.unchanged:
                self.encoded = self.encoded.with_displacement(target)
        elif index:
            scale = insn.memory_index_scale + (1 if base == index else 0)
            registers[number_of(index)] = (target - insn.memory_displacement & MASK64) // scale
