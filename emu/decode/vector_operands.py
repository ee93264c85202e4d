"""Operands of vector instructions: registers of the FPU file, memory through its temporaries, and the encodings' rules.

A legacy SSE instruction reads and writes its first operand, keeps the rest of the vector register, and needs its
16-byte memory operands aligned; a VEX-encoded one has a destination of its own, clears the rest, and takes any
address (SDM Vol. 2A 2.3.10.1, 2.4, tables 2-18 ff.). An EVEX-encoded one (emu/decode/evex.py) that has a mask leaves
its result in a temporary, `target`, from which `finish` takes what the mask selects.
"""

from iced_x86 import EncodingKind, Instruction, OpKind, Register, RegisterExt

from emu.decode.emitter import Address, Emitter
from emu.decode.evex import Evex
from emu.decode.operands import GPR_SLOT, MEMORY, MEMORY_BITS, REGISTER, TMP
from jit import fpu_layout
from jit.semantics.wiring import (
    AVX512_UD,
    AVX_UD,
    ELEMENT_SHIFT,
    MASKED_ALIGNED,
    MMX_UD,
    OPMASK_SHIFT,
    SSE_UD,
)

IMMEDIATE = OpKind.IMMEDIATE8
RESULT = 4                      # the vector temporary of a result under a mask; 5 to 7 are for neutral operands


def _slots() -> dict[int, tuple[int, int]]:
    found = {}
    for name in dir(Register):
        register = getattr(Register, name)
        if name.startswith("_") or not isinstance(register, int):
            continue
        number = RegisterExt.number(register)
        if RegisterExt.is_mm(register):
            found[register] = (fpu_layout.mm(number), 8)
        elif RegisterExt.is_k(register):
            found[register] = (fpu_layout.opmask(number), 8)
        elif RegisterExt.is_vector_register(register):
            found[register] = (fpu_layout.xmm(number), RegisterExt.size(register))
    return found


LETTERS = {1: "b", 2: "w", 4: "d", 8: "q"}
VECTOR_SLOT = _slots()          # iced vector or opmask register -> (byte offset in the FPU file, bytes)


def xmm0() -> int:
    """Offset of the register that some instructions use without naming it."""
    return fpu_layout.xmm(0)


class Form:
    """One vector instruction being lowered: its encoding, and its operands as words of micro-ops."""

    def __init__(self, e: Emitter, insn: Instruction, unaligned: bool = False, aligned: bool = False) -> None:
        """Emits the check that the instruction may run. `unaligned`: its legacy form takes any address; `aligned`: so
        does not its VEX form."""
        self.e, self.insn = e, insn
        self.vex = insn.encoding != EncodingKind.LEGACY
        self.evex = Evex(insn) if insn.encoding == EncodingKind.EVEX else None
        registers = [insn.op_register(i) for i in range(insn.op_count) if insn.op_kind(i) == REGISTER]
        self.mmx = any(RegisterExt.is_mm(register) for register in registers)
        self.must_align = aligned if self.vex else not unaligned
        xmm = any(RegisterExt.is_vector_register(register) for register in registers)
        opmask = any(RegisterExt.is_k(register) for register in registers)
        if self.mmx:
            e.op("check_mmx", imm=SSE_UD if xmm else MMX_UD)
        else:
            e.op("check_vector", imm=AVX512_UD if self.evex or opmask else AVX_UD if self.vex else SSE_UD)
        if self.evex and self.evex.quiet:
            e.op("round_static.8", imm=self.evex.rounding)

    @property
    def immediate(self) -> int:
        """The instruction's 8-bit immediate, 0 if it has none."""
        last = self.insn.op_count - 1
        return self.insn.immediate(last) if self.insn.op_kind(last) == IMMEDIATE else 0

    def is_memory(self, index: int) -> bool:
        return bool(self.insn.op_kind(index) == MEMORY)

    def slot(self, index: int) -> int:
        """Offset of a vector register operand."""
        return VECTOR_SLOT[self.insn.op_register(index)][0]

    def size(self, index: int) -> int:
        """Width of a vector register operand in bytes, or of the memory operand."""
        if self.is_memory(index):
            return MEMORY_BITS[self.insn.memory_size] // 8
        return VECTOR_SLOT[self.insn.op_register(index)][1]

    @property
    def mask(self) -> int:
        """Number of the opmask register, 0 for none."""
        return self.evex.mask if self.evex else 0

    @property
    def mask_slot(self) -> int:
        """Offset of the mask's 64 bits in the FPU file; all ones where there is no mask."""
        return fpu_layout.opmask(self.mask) if self.mask else fpu_layout.NO_MASK

    @property
    def target(self) -> int:
        """Offset to which the operation writes its result: operand 0, or a temporary for `finish` to merge."""
        return fpu_layout.tmpv(RESULT) if self.mask else self.slot(0)

    def accumulator(self) -> int:
        """`target` for an operation that also reads its destination."""
        if self.mask:
            self.e.op(f"movv.{max(16, self.size(0))}", self.target, self.slot(0))
        return self.target

    def neutral(self, slot: int, temporary: int, value: int, element: int = 0, size: int = 0) -> int:
        """Offset of a source with `value` in the elements that are masked off, for operations that can raise
        exceptions. `temporary` is 5 to 7. `element` and `size` in bytes are the source's, where they are not those of
        the destination."""
        if not self.evex or not self.mask:
            return slot
        element = element or self.evex.facts.element
        into = fpu_layout.tmpv(temporary)
        low, size = ("_low", 16) if self.evex.facts.scalar else ("", max(16, size or self.size(0)))
        self.e.op(f"neutral{low}{element}.{size}", into, slot, self.mask_slot, value)
        return into

    def whole(self, index: int) -> int:
        """Width of a vector operand in bytes, memory that is broadcast counted as often as it is used."""
        return self.evex.facts.memory if self.evex and self.is_memory(index) else self.size(index)

    def source(self, index: int, temporary: int = 0) -> int:
        """Offset of a vector operand; memory is loaded into a temporary first."""
        if not self.is_memory(index):
            return self.slot(index)
        into = fpu_layout.tmpv(temporary)
        self.load(into, self.size(index))
        if self.evex and self.evex.broadcast:
            self.e.op(f"broadcast{LETTERS[self.evex.loaded]}.{max(16, self.evex.facts.memory)}", into, into)
        return into

    def _masked(self, slot: int, size: int, lanes: int, mask: int) -> int:
        """Operand word D of a masked access of `size` bytes."""
        aligned = MASKED_ALIGNED if self.must_align else 0
        return slot | mask << OPMASK_SHIFT | ((size // lanes).bit_length() - 1) << ELEMENT_SHIFT | aligned

    def _masked_address(self, size: int, mask: int, lanes: int, write: bool = False) -> Address:
        """Operand words for an access under an opmask register of which `lanes` bits count. Outside 64-bit mode the
        segment is asked only for what they select."""
        if self.e.bits == 64:
            return self.e.address(self.insn, size, write)
        if mask != fpu_layout.TEMPORARY_MASK:
            self.e.op("fold_mask.64", 0, fpu_layout.opmask(mask), imm=(1 << lanes) - 1)
        return self.e.address(self.insn, size, write, width=size // lanes)

    def lanes(self) -> int:
        """How many bits of the mask count."""
        assert self.evex
        facts = self.evex.facts
        if facts.scalar:
            return 1
        if facts.lanes:
            return facts.lanes
        widest = max(self.size(i) for i in range(self.insn.op_count)
                     if self.insn.op_kind(i) == REGISTER
                     and RegisterExt.is_vector_register(self.insn.op_register(i)))
        return widest // facts.element

    def _suffix(self, size: int) -> str:
        return f"{size}.a" if self.must_align and size >= 16 else str(size)

    def load(self, into: int, size: int, op: str = "loadv", mask: int = 0) -> None:
        """Load the memory operand to an offset of the FPU file, under the instruction's mask or opmask register `mask`
        where masked-off elements are not to be accessed."""
        mask = mask or self.mask
        if self.evex and mask and self.evex.facts.suppresses:
            lanes = self.lanes()
            if self.evex.broadcast or self.evex.facts.repeated:
                # An element is accessed where one of its copies is selected.
                whole = (1 << lanes) - 1
                lanes = 1 if self.evex.broadcast else max(1, size // self.evex.facts.element)
                self.e.op(f"fold_mask.{lanes}", 0, self.mask_slot, imm=whole)
                mask = fpu_layout.TEMPORARY_MASK
            word = self._masked(into, size, lanes, mask)
            self.e.op(f"loadm.{size}", word, *self._masked_address(size, mask, lanes))
        else:
            self.e.op(f"{op}.{self._suffix(size)}", into, *self.e.address(self.insn, size))

    def store(self, slot: int, size: int, mask: int = 0) -> None:
        """Store from an offset of the FPU file to the memory operand, under the instruction's mask or opmask register
        `mask`."""
        mask = mask or self.mask
        if self.evex and mask:
            element = self.evex.facts.element
            word = self._masked(slot, size, size // element, mask)
            if self.evex.facts.suppresses:
                address = self._masked_address(size, mask, size // element, write=True)
            else:
                address = self.e.address(self.insn, size, write=True)
                self.e.op(f"probev.{size}", 0, *address)
            self.e.op(f"storem.{size}.{element}", word, *address)
            return
        self.e.op(f"storev.{self._suffix(size)}", slot, *self.e.address(self.insn, size, write=True))

    def general(self, index: int, size: int) -> int:
        """State slot of a general register or memory operand."""
        if self.is_memory(index):
            return self.e.load(self.insn, size * 8, TMP[0])
        return GPR_SLOT[self.insn.op_register(index)][0]

    def binary(self) -> tuple[int, int, int]:
        """(destination, first source, second source)."""
        if self.vex:
            return self.target, self.slot(1), self.source(2)
        return self.slot(0), self.slot(0), self.source(1)

    def enter_mmx(self) -> None:
        """The x87 state changes before a floating-point exception is raised, as processors do it."""
        if self.mmx:
            self.e.op("mmx_state")

    def finish(self, slot: int | None = None, size: int = 0) -> None:
        """After the operation: clear what a VEX form clears of the destination, or put the x87 state in order for MMX,
        or take from `target` what the mask selects. Without a slot no vector register was written."""
        if self.mmx:
            self.e.op("mmx_state")
        if self.evex and self.evex.quiet:
            self.e.op("round_restore.8")
        if slot is None:
            return
        if self.mmx and slot < fpu_layout.FCW:
            self.e.op("mmx_written", slot)
        elif self.evex and self.mask:
            name = "zero" if self.evex.zeroing else "merge"
            low = "_low" if self.evex.facts.scalar else ""
            self.e.op(f"{name}{low}{self.evex.facts.element}.{size}", self.slot(0), slot, self.mask_slot)
        elif self.vex and size < fpu_layout.VECTOR_BYTES:
            self.e.op(f"vzero.{size}", slot)


def mnemonics(*names: str) -> list[int]:
    """iced's mnemonics of these names and of their VEX forms, as far as they exist."""
    from iced_x86 import Mnemonic
    return [getattr(Mnemonic, n) for name in names for n in (name, "V" + name) if hasattr(Mnemonic, n)]
