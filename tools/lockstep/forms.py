"""Random operands for any instruction form that the decoder can lower."""

from __future__ import annotations

import functools
import random
from typing import NamedTuple

from iced_x86 import Code, Encoder, Instruction, Mnemonic, OpCodeInfo, OpCodeOperandKind, OpKind, Register

from emu.decode import lowering

K = OpCodeOperandKind
FIXED = {K.AL: Register.AL, K.CL: Register.CL, K.AX: Register.AX, K.DX: Register.DX, K.EAX: Register.EAX,
         K.RAX: Register.RAX}
REGISTER_BITS = {K.R8_REG: 8, K.R8_OPCODE: 8, K.R16_REG: 16, K.R16_RM: 16, K.R16_OPCODE: 16, K.R32_REG: 32,
                 K.R32_RM: 32, K.R32_OPCODE: 32, K.R32_VVVV: 32, K.R64_REG: 64, K.R64_RM: 64, K.R64_OPCODE: 64,
                 K.R64_VVVV: 64}
REGISTER_OR_MEMORY = {K.R8_OR_MEM: 8, K.R16_OR_MEM: 16, K.R32_OR_MEM: 32, K.R64_OR_MEM: 64}
VECTOR_REGISTER = {getattr(K, file + kind): file for file in ("XMM", "YMM", "MM")
                   for kind in ("_REG", "_RM", "_VVVV", "_OR_MEM") if hasattr(K, file + kind)}
VECTOR_REGISTER |= {K.ST0: "ST", K.STI_OPCODE: "ST"}
MAY_BE_MEMORY = {*REGISTER_OR_MEMORY, K.XMM_OR_MEM, K.YMM_OR_MEM, K.MM_OR_MEM}
IMMEDIATES = {K.IMM8: (OpKind.IMMEDIATE8, 8), K.IMM16: (OpKind.IMMEDIATE16, 16), K.IMM32: (OpKind.IMMEDIATE32, 32),
              K.IMM64: (OpKind.IMMEDIATE64, 64), K.IMM8SEX16: (OpKind.IMMEDIATE8TO16, 8),
              K.IMM8SEX32: (OpKind.IMMEDIATE8TO32, 8), K.IMM8SEX64: (OpKind.IMMEDIATE8TO64, 8),
              K.IMM32SEX64: (OpKind.IMMEDIATE32TO64, 32)}
LOW = {8: ("AL", "CL", "DL", "BL", "AH", "CH", "DH", "BH"), 16: ("AX", "CX", "DX", "BX", "SI"),
       32: ("EAX", "ECX", "EDX", "EBX", "ESI"), 64: ("RAX", "RCX", "RDX", "RBX", "RSI")}
EXTENDED = {8: ("SIL", "R8L", "R9L", "R10L", "R11L"), 16: ("R8W", "R9W", "R10W", "R11W"),
            32: ("R8D", "R9D", "R10D", "R11D"), 64: ("R8", "R9", "R10", "R11")}
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, 1 << 63,
         (1 << 63) - 1, (1 << 64) - 1)
# Control transfer and what belongs to the system has items of its own (tools/lockstep/generate.py), or none.
STRUCTURED = {Mnemonic.CALL, Mnemonic.RET, Mnemonic.JMP, Mnemonic.LEAVE, Mnemonic.ENTER, Mnemonic.POPF, Mnemonic.POPFD,
              Mnemonic.POPFQ, Mnemonic.POPA, Mnemonic.POPAD, Mnemonic.INT, Mnemonic.INT1, Mnemonic.INT3,
              Mnemonic.INTO, Mnemonic.RDTSC, Mnemonic.RDTSCP}
# Families by what a program may draw: the rest needs descriptor tables or ports.
INTEGER = frozenset(("move", "alu", "shift", "muldiv", "bits", "bcd", "exchange", "flags", "control", "stack",
                     "string"))
VECTOR = frozenset(("sse_move", "sse_integer", "sse_shuffle", "sse_float", "sse_convert", "sse_state", "x87"))


def value(rng: random.Random, bits: int = 64) -> int:
    """A number at an edge or anywhere."""
    chosen = rng.choice(EDGES) if rng.random() < 0.4 else rng.getrandbits(rng.choice((4, 8, 16, 32, 64)))
    return chosen & ((1 << bits) - 1)


@functools.cache
def forms(bits: int, families: frozenset[str] = INTEGER) -> tuple[tuple[int, ...], ...]:
    """Every form of some families that has a lowering and only plain operands, grouped by mnemonic so that each is as
    likely."""
    lowering.load_families()
    groups: dict[int, list[int]] = {}
    for name, code in vars(Code).items():
        if not isinstance(code, int) or name.startswith("_"):
            continue
        info = OpCodeInfo(code)
        function = lowering.CODES.get(code) or lowering.TABLE.get(info.mnemonic)
        if function and function.__module__.partition(".lower_")[2] in families and _suitable(info, bits):
            groups.setdefault(info.mnemonic, []).append(code)
    return tuple(tuple(codes) for codes in groups.values())


def _suitable(info: OpCodeInfo, bits: int) -> bool:
    if not info.is_instruction or info.mnemonic in STRUCTURED or not (info.mode64 if bits == 64 else info.mode32):
        return False
    if info.is_privileged or info.must_be_cpl0 or info.is_input_output or info.fwait:
        return False
    return all(kind in FIXED or kind in REGISTER_BITS or kind in REGISTER_OR_MEMORY or kind in IMMEDIATES
               or kind in VECTOR_REGISTER or kind in (K.MEM, K.IMM8_CONST_1, K.MEM_OFFS) for kind in info.op_kinds())


class Memory(NamedTuple):
    """A memory operand."""

    base: int = Register.NONE
    index_register: int = Register.NONE
    scale: int = 1
    displacement: int = 0
    size: int = 0               # of the displacement, as iced counts it
    segment: int = Register.NONE


class Maker:
    """Makes random instructions of one code size. `bases` are registers that point to data."""

    def __init__(self, rng: random.Random, bits: int, bases: tuple[int, ...], absolute: tuple[int, ...]) -> None:
        self.rng, self.bits, self.bases, self.absolute = rng, bits, bases, absolute
        self.groups = forms(bits)

    def add_vectors(self, count: int) -> None:
        """Let some instructions of the vector and x87 families take part, as often as all others together."""
        more = forms(self.bits, VECTOR)
        self.groups += tuple(self.rng.choice(more) for _ in range(count)) * (len(self.groups) // count)

    def register(self, bits: int) -> int:
        """A register that programs may overwrite."""
        names = LOW[bits] + (EXTENDED[bits] if self.bits == 64 else ())
        return int(getattr(Register, self.rng.choice(names)))

    def index(self) -> int:
        return self.register(self.bits)

    def memory(self, index: int | None = None) -> Memory:
        """A memory operand near a data pointer, near the end of a page, or at a fixed place."""
        rng = self.rng
        segment = rng.choice((Register.FS, Register.GS)) if rng.random() < 0.05 else Register.NONE
        if rng.random() < 0.1:
            place = rng.choice(self.absolute) + rng.choice((0, 0xFF8, 0xFFC, 0xFFE, 0xFFF, rng.randrange(0x1000)))
            return Memory(displacement=place, size=self.bits // 8, segment=segment)
        displacement, size = rng.choice(((0, 0), (rng.randrange(-128, 128), 1), (rng.randrange(0x1000), 4),
                                         (rng.randrange(-64, 4), 4)))
        if index is None and rng.random() < 0.02:
            index = self.index()                            # unmasked: most likely it faults
        size = (8 if self.bits == 64 else 4) if size == 4 else size
        return Memory(rng.choice(self.bases), index or Register.NONE, rng.choice((1, 2, 4, 8)) if index else 1,
                      displacement, size, segment)

    def instruction(self, index: int | None = None) -> Instruction:
        """Any instruction of `forms`; `index` is a register that holds a small number."""
        while True:
            insn = self.form(self.rng.choice(self.rng.choice(self.groups)), index)
            if insn is not None:
                return insn

    def form(self, code: int, index: int | None = None) -> Instruction | None:
        """An instruction of one form, or None when the operands drawn do not go together."""
        rng, info = self.rng, OpCodeInfo(code)
        insn = Instruction()
        insn.code = code
        in_memory = False
        for number, kind in enumerate(info.op_kinds()):
            if kind == K.MEM or kind in MAY_BE_MEMORY and rng.random() < 0.5:
                in_memory = True
                insn.set_op_kind(number, OpKind.MEMORY)
                self._address(insn, index)
            elif kind == K.MEM_OFFS:
                insn.set_op_kind(number, OpKind.MEMORY)
                insn.memory_displ_size = self.bits // 8
                insn.memory_displacement = rng.choice(self.absolute) + rng.randrange(0x1008)
            elif kind in IMMEDIATES:
                insn.set_op_kind(number, IMMEDIATES[kind][0])
                self._immediate(insn, number, kind)
            elif kind == K.IMM8_CONST_1:
                insn.set_op_kind(number, OpKind.IMMEDIATE8)
                insn.immediate8 = 1
            elif kind in VECTOR_REGISTER:
                insn.set_op_kind(number, OpKind.REGISTER)
                insn.set_op_register(number, Register.ST0 if kind == K.ST0 else
                                     getattr(Register, f"{VECTOR_REGISTER[kind]}{rng.randrange(8)}"))
            else:
                insn.set_op_kind(number, OpKind.REGISTER)
                insn.set_op_register(number, FIXED.get(kind) or self.register(
                    REGISTER_BITS.get(kind) or REGISTER_OR_MEMORY[kind]))
        if in_memory and info.can_use_lock_prefix and rng.random() < 0.15:
            insn.has_lock_prefix = True
        if info.can_use_rep_prefix and rng.random() < 0.5:
            insn.has_rep_prefix = True
        try:
            Encoder(self.bits).encode(insn, 0x400000)
        except ValueError:
            return None
        return insn

    def _address(self, insn: Instruction, index: int | None) -> None:
        operand = self.memory(index)
        insn.memory_base, insn.memory_index = operand.base, operand.index_register
        insn.memory_index_scale, insn.memory_displ_size = operand.scale, operand.size
        insn.memory_displacement = operand.displacement & (1 << self.bits) - 1
        insn.segment_prefix = operand.segment

    def _immediate(self, insn: Instruction, number: int, kind: int) -> None:
        bits = IMMEDIATES[kind][1]
        drawn = value(self.rng, bits)
        if kind in (K.IMM8SEX16, K.IMM8SEX32, K.IMM8SEX64, K.IMM32SEX64):
            drawn -= (1 << bits) if drawn >> (bits - 1) else 0
        insn.set_immediate_i64(number, drawn - (1 << 64) if drawn >> 63 == 1 else drawn)
