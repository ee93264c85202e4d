"""Operands of vector instructions: registers of the FPU file, memory through its temporaries, and the encodings' rules.

A legacy SSE instruction reads and writes its first operand, keeps the rest of the vector register, and needs its
16-byte memory operands aligned; a VEX-encoded one has a destination of its own, clears the rest, and takes any
address (SDM Vol. 2A 2.3.10.1, 2.4, tables 2-18 ff.).
"""

from iced_x86 import EncodingKind, Instruction, OpKind, Register, RegisterExt

from emu.decode.emitter import Emitter
from emu.decode.lowering import NotImplementedInstruction
from emu.decode.operands import GPR_SLOT, MEMORY, MEMORY_BITS, REGISTER, TMP
from jit import fpu_layout
from jit.semantics.wiring import AVX_UD, MMX_UD, SSE_UD

IMMEDIATE = OpKind.IMMEDIATE8


def _slots() -> dict[int, tuple[int, int]]:
    found = {}
    for name in dir(Register):
        register = getattr(Register, name)
        if name.startswith("_") or not isinstance(register, int):
            continue
        number = RegisterExt.number(register)
        if RegisterExt.is_mm(register):
            found[register] = (fpu_layout.mm(number), 8)
        elif RegisterExt.is_vector_register(register):
            found[register] = (fpu_layout.xmm(number), RegisterExt.size(register))
    return found


VECTOR_SLOT = _slots()          # iced register -> (byte offset in the FPU file, bytes)


def xmm0() -> int:
    """Offset of the register that some instructions use without naming it."""
    return fpu_layout.xmm(0)


class Form:
    """One vector instruction being lowered: its encoding, and its operands as words of micro-ops."""

    def __init__(self, e: Emitter, insn: Instruction, unaligned: bool = False, aligned: bool = False) -> None:
        """Emits the check that the instruction may run. `unaligned`: its legacy form takes any address; `aligned`: so
        does not its VEX form."""
        if insn.encoding not in (EncodingKind.LEGACY, EncodingKind.VEX):
            raise NotImplementedInstruction
        self.e, self.insn = e, insn
        self.vex = insn.encoding == EncodingKind.VEX
        self.mmx = any(insn.op_kind(i) == REGISTER and RegisterExt.is_mm(insn.op_register(i))
                       for i in range(insn.op_count))
        self.must_align = aligned if self.vex else not unaligned
        xmm = any(insn.op_kind(i) == REGISTER and RegisterExt.is_vector_register(insn.op_register(i))
                  for i in range(insn.op_count))
        if self.mmx:
            e.op("check_mmx", imm=SSE_UD if xmm else MMX_UD)
        else:
            e.op("check_vector", imm=AVX_UD if self.vex else SSE_UD)

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

    def source(self, index: int, temporary: int = 0) -> int:
        """Offset of a vector operand; memory is loaded into a temporary first."""
        if not self.is_memory(index):
            return self.slot(index)
        into = fpu_layout.tmpv(temporary)
        self.load(into, self.size(index))
        return into

    def _suffix(self, size: int) -> str:
        return f"{size}.a" if self.must_align and size >= 16 else str(size)

    def load(self, into: int, size: int, op: str = "loadv") -> None:
        """Load the memory operand to an offset of the FPU file."""
        self.e.op(f"{op}.{self._suffix(size)}", into, *self.e.address(self.insn, size))

    def store(self, slot: int, size: int) -> None:
        """Store from an offset of the FPU file to the memory operand."""
        self.e.op(f"storev.{self._suffix(size)}", slot, *self.e.address(self.insn, size, write=True))

    def general(self, index: int, size: int) -> int:
        """State slot of a general register or memory operand."""
        if self.is_memory(index):
            return self.e.load(self.insn, size * 8, TMP[0])
        return GPR_SLOT[self.insn.op_register(index)][0]

    def binary(self) -> tuple[int, int, int]:
        """(destination, first source, second source)."""
        if self.vex:
            return self.slot(0), self.slot(1), self.source(2)
        return self.slot(0), self.slot(0), self.source(1)

    def enter_mmx(self) -> None:
        """The x87 state changes before a floating-point exception is raised, as processors do it."""
        if self.mmx:
            self.e.op("mmx_state")

    def finish(self, slot: int | None = None, size: int = 0) -> None:
        """After the operation: clear what a VEX form clears of the destination, or put the x87 state in order for MMX.
        Without a slot no vector register was written."""
        if self.mmx:
            self.e.op("mmx_state")
        if slot is None:
            return
        if self.mmx and slot < fpu_layout.FCW:
            self.e.op("mmx_written", slot)
        elif self.vex:
            self.e.op(f"vzero.{size}", slot)


def mnemonics(*names: str) -> list[int]:
    """iced's mnemonics of these names and of their VEX forms, as far as they exist."""
    from iced_x86 import Mnemonic
    return [getattr(Mnemonic, n) for name in names for n in (name, "V" + name) if hasattr(Mnemonic, n)]
