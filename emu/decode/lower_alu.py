"""Integer arithmetic and logic."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT, TMP, operand_width

_BINARY = {Mnemonic.ADD: "add", Mnemonic.ADC: "adc", Mnemonic.SUB: "sub", Mnemonic.SBB: "sbb", Mnemonic.AND: "and",
           Mnemonic.OR: "or", Mnemonic.XOR: "xor"}
_COMPARE = {Mnemonic.CMP: "cmp", Mnemonic.TEST: "test"}
_UNARY = {Mnemonic.NOT: "not", Mnemonic.NEG: "neg", Mnemonic.INC: "inc", Mnemonic.DEC: "dec"}
_CARRY = {Mnemonic.ADCX: "adcx", Mnemonic.ADOX: "adox"}


@lowers(*_BINARY)
def binary(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    name = f"{_BINARY[insn.mnemonic]}.{width}"
    slot, imm = e.source(insn, 1, width, TMP[1])
    e.modify(insn, width, lambda d: e.op(name, d, d, slot, imm))


@lowers(*_COMPARE)
def compare(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    first, _ = e.source(insn, 0, width, TMP[0])
    second, imm = e.source(insn, 1, width, TMP[1])
    e.op(f"{_COMPARE[insn.mnemonic]}.{width}", 0, first, second, imm)


@lowers(*_UNARY)
def unary(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    e.modify(insn, width, lambda d: e.op(f"{_UNARY[insn.mnemonic]}.{width}", d, d))


@lowers(*_CARRY)
def carry_chain(e: Emitter, insn: Instruction) -> None:
    width = operand_width(insn, 0)
    slot, _ = e.source(insn, 1, width)
    d = GPR_SLOT[insn.op0_register][0]
    e.op(f"{_CARRY[insn.mnemonic]}.{width}", d, d, slot)
