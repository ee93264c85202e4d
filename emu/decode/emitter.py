"""Collects the micro-ops of one block while the lowering functions (emu/decode/lower_*.py) walk its instructions."""

from collections.abc import Callable
from typing import NamedTuple

from iced_x86 import Instruction, Register

from emu.decode.operands import (
    ADDRESS,
    GPR_SLOT,
    MEMORY,
    OFFSET,
    REGISTER,
    SEGMENT_NUMBER,
    TMP,
    immediate,
    is_immediate,
)
from jit import layout
from jit.semantics.wiring import (
    AREA_16,
    AREA_32,
    AREA_64,
    AREA_BASED,
    SCALE_SHIFT,
    SEGMENT_SHIFT,
    SIZE_SHIFT,
    STACK_SEGMENT,
    WIDTH_SHIFT,
    WRITE_ACCESS,
)

MASK64 = (1 << 64) - 1
STACK_BASES = (Register.SP, Register.BP, Register.ESP, Register.EBP, Register.RSP, Register.RBP)


class Uop(NamedTuple):
    """A micro-op before it is placed: op name, operand words, and the page offsets its branch may be linked to."""

    name: str
    d: int
    a: int
    b: int
    imm: int
    target: int | None          # page offset of the branch target, where it may be linked
    follows: int | None         # page offset of the instruction after a conditional branch, likewise


class Address(NamedTuple):
    """Operand words of a memory access."""

    a: int
    b: int
    imm: int


class Emitter:
    """One block's micro-ops. `bits` is the code size, `stack` the stack-pointer width, `flat` whether CS has no limit
    to check, so that direct branches within the page may be linked; `offers` says whether the processor has an
    extension, by its name of emu/isa/extensions.py."""

    def __init__(self, mode: int, offers: Callable[[str], bool] = lambda name: True) -> None:
        self.mode, self.offers = mode, offers
        self.bits = (16, 32, 64)[mode & 3]
        self.stack = 64 if self.bits == 64 else 32 if mode & layout.MODE_STACK32 else 16
        self.flat = self.bits == 64 or (self.bits == 32 and bool(mode & layout.MODE_FLAT_CODE))
        self.uops: list[Uop] = []
        self.ended = False
        self.placed = False             # the current instruction's micro-ops depend on where it is in its page
        self.linked = False             # some have links to others in the page
        self.data = b""                 # the current instruction's bytes, and some that follow

    def begin(self) -> None:
        """Forget what was emitted."""
        self.uops.clear()
        self.ended = self.placed = self.linked = False

    def op(self, name: str, d: int = 0, a: int = layout.ZERO, b: int = layout.ZERO, imm: int = 0,
           target: int | None = None, follows: int | None = None) -> None:
        """Append a micro-op of the current instruction."""
        self.uops.append(Uop(name, d, a, b, imm & MASK64, target, follows))
        if target is not None or follows is not None:
            self.linked = True

    def end(self) -> None:
        """The current instruction ends the block."""
        self.ended = True

    # --- operands ----------------------------------------------------------------------------------------------------

    def effective(self, insn: Instruction) -> Address:
        """Operand words for the effective address of the memory operand."""
        base, index = insn.memory_base, insn.memory_index
        a = layout.ZERO
        if base in (Register.RIP, Register.EIP):
            a = layout.PAGE_RIP
        elif base:
            a = GPR_SLOT[base][0]
        b = GPR_SLOT[index][0] if index else layout.ZERO
        return Address(a, b | (insn.memory_index_scale.bit_length() - 1) << SCALE_SHIFT, insn.memory_displacement)

    def address(self, insn: Instruction, size: int, write: bool = False, stack_bias: int = 0,
                computed: bool = False, width: int = 0, environment: bool = False) -> Address:
        """Operand words for an access of `size` bytes to the memory operand, after emitting its segment work.
        `stack_bias` is added to a base of RSP (POP computes its address after the increment). `computed`: the
        effective address is in the OFFSET slot. `width`: the segment need only allow those elements of that many
        bytes that the temporary opmask selects. `environment`: `size` is the form of an x87 environment or state
        (jit/x87/sources.py)."""
        a, b, imm = Address(OFFSET, layout.ZERO, 0) if computed else self.effective(insn)
        segment = insn.memory_segment
        if self.in_stack_segment(insn):
            b |= STACK_SEGMENT
        if a == layout.gpr(4):
            imm += stack_bias
        if self.bits == 64:
            base_slot = layout.ZERO
            if segment in (Register.FS, Register.GS):
                base_slot = layout.seg(SEGMENT_NUMBER[segment], layout.SEG_BASE)
            narrow = address_bits(insn, self.bits) == 32
            if base_slot == layout.ZERO and not narrow:
                return Address(a, b, imm)
            self.op("linear_base32" if narrow else "linear_base", ADDRESS, a, b | base_slot << SEGMENT_SHIFT, imm)
            return Address(ADDRESS, layout.ZERO | b & STACK_SEGMENT, 0)
        b |= SEGMENT_NUMBER[segment] << SEGMENT_SHIFT | min(size, 255) << SIZE_SHIFT
        if write:
            b |= WRITE_ACCESS
        if width:
            b |= width.bit_length() - 1 << WIDTH_SHIFT
        form = "_masked" if width else "_environment" if environment else ""
        self.op(f"linear_seg{form}.{address_bits(insn, self.bits)}", ADDRESS, a, b, imm)
        return Address(ADDRESS, layout.ZERO | b & STACK_SEGMENT, 0)

    def area(self, insn: Instruction) -> Address:
        """Operand words of a micro-op that works on a state area of XSAVE or FXSAVE (jit/area.py)."""
        a, b, imm = self.effective(insn)
        if self.in_stack_segment(insn):
            b |= STACK_SEGMENT
        form = SEGMENT_NUMBER[insn.memory_segment]
        if self.bits == 64:
            form |= AREA_64 | (AREA_BASED if insn.memory_segment in (Register.FS, Register.GS) else 0)
        form |= {16: AREA_16, 32: AREA_32, 64: 0}[address_bits(insn, self.bits)]
        return Address(a, b | form << SEGMENT_SHIFT, imm)

    def in_stack_segment(self, insn: Instruction) -> bool:
        """Whether the memory operand is in SS. 64-bit mode ignores overrides other than FS and GS, so there the base
        register decides (SDM Vol. 1 3.3.4)."""
        if self.bits != 64:
            return insn.memory_segment == Register.SS
        return insn.memory_segment not in (Register.FS, Register.GS) and insn.memory_base in STACK_BASES

    def load(self, insn: Instruction, width: int, into: int = TMP[0]) -> int:
        """Load the memory operand into a slot; gives the slot."""
        self.op(f"load.{width}", into, *self.address(insn, width // 8))
        return into

    def source(self, insn: Instruction, index: int, width: int, into: int = TMP[0]) -> tuple[int, int]:
        """(slot, immediate) of a source operand; memory is loaded into `into` first."""
        kind = insn.op_kind(index)
        if kind == REGISTER:
            return GPR_SLOT[insn.op_register(index)][0], 0
        if kind == MEMORY:
            return self.load(insn, width, into), 0
        assert is_immediate(insn, index)
        return layout.ZERO, immediate(insn, index, width)

    def modify(self, insn: Instruction, width: int, operate: Callable[[int], None], index: int = 0,
               computed: bool = False) -> None:
        """Read-modify-write of operand `index`: `operate(slot)` emits what changes the slot in place. `computed` is
        as for `address`."""
        if insn.op_kind(index) == REGISTER:
            operate(GPR_SLOT[insn.op_register(index)][0])
            return
        address = self.address(insn, width // 8, write=True, computed=computed)
        self.op(f"load_rw.{width}", TMP[0], *address)
        operate(TMP[0])
        self.op(f"store.{width}", TMP[0], *address)

    def assign(self, insn: Instruction, width: int, slot: int, index: int = 0) -> None:
        """Write operand `index` from a slot."""
        if insn.op_kind(index) == REGISTER:
            self.op(f"mov.{width}", GPR_SLOT[insn.op_register(index)][0], slot)
        else:
            self.op(f"store.{width}", slot, *self.address(insn, width // 8, write=True))


def address_bits(insn: Instruction, bits: int) -> int:
    """Address size of the instruction's memory operand, in bits."""
    from iced_x86 import RegisterExt
    for register in (insn.memory_base, insn.memory_index):
        if register in (Register.EIP, Register.RIP):
            return 32 if register == Register.EIP else 64
        if RegisterExt.is_gpr(register):                # the index may be a vector
            return RegisterExt.size(register) * 8
    size = insn.memory_displ_size
    if size in (2, 4, 8):
        return size * 8
    return bits
