"""x87 instructions. Operand words are packed as in jit/x87/sources.py."""

from iced_x86 import Instruction, MemorySize, Mnemonic, Register

from emu.decode.emitter import Address, Emitter, address_bits
from emu.decode.lowering import NotImplementedInstruction, lowers
from emu.decode.operands import GPR_SLOT, MEMORY, SEGMENT_NUMBER, TMP
from jit import layout
from jit.x87 import sources as x87

POINTER = TMP[6]                # effective address of the memory operand, which becomes FDP
_FROM = {MemorySize.FLOAT32: (x87.FROM_F32, 32), MemorySize.FLOAT64: (x87.FROM_F64, 64),
         MemorySize.INT16: (x87.FROM_I16, 16), MemorySize.INT32: (x87.FROM_I32, 32),
         MemorySize.INT64: (x87.FROM_I64, 64)}
_TO = {MemorySize.FLOAT32: x87.TO_F32, MemorySize.FLOAT64: x87.TO_F64, MemorySize.FLOAT80: x87.TO_F80,
       MemorySize.INT16: x87.TO_I16, MemorySize.INT32: x87.TO_I32, MemorySize.INT64: x87.TO_I64,
       MemorySize.BCD: x87.TO_DECIMAL}
_TO_BYTES = {x87.TO_F32: 4, x87.TO_F64: 8, x87.TO_F80: 10, x87.TO_I16: 2, x87.TO_I32: 4, x87.TO_I64: 8,
             x87.TO_DECIMAL: 10}

_ARITHMETIC = {
    Mnemonic.FADD: ("add", 0), Mnemonic.FADDP: ("add", 0), Mnemonic.FIADD: ("add", 0),
    Mnemonic.FSUB: ("add", x87.VARIANT), Mnemonic.FSUBP: ("add", x87.VARIANT), Mnemonic.FISUB: ("add", x87.VARIANT),
    Mnemonic.FSUBR: ("add", x87.VARIANT | x87.SWAP), Mnemonic.FSUBRP: ("add", x87.VARIANT | x87.SWAP),
    Mnemonic.FISUBR: ("add", x87.VARIANT | x87.SWAP),
    Mnemonic.FMUL: ("multiply", 0), Mnemonic.FMULP: ("multiply", 0), Mnemonic.FIMUL: ("multiply", 0),
    Mnemonic.FDIV: ("divide", 0), Mnemonic.FDIVP: ("divide", 0), Mnemonic.FIDIV: ("divide", 0),
    Mnemonic.FDIVR: ("divide", x87.SWAP), Mnemonic.FDIVRP: ("divide", x87.SWAP), Mnemonic.FIDIVR: ("divide", x87.SWAP),
}
_POPPING = {Mnemonic.FADDP, Mnemonic.FSUBP, Mnemonic.FSUBRP, Mnemonic.FMULP, Mnemonic.FDIVP, Mnemonic.FDIVRP}
_COMPARE = {Mnemonic.FCOM: (0, 0), Mnemonic.FCOMP: (1, 0), Mnemonic.FCOMPP: (2, 0), Mnemonic.FICOM: (0, 0),
            Mnemonic.FICOMP: (1, 0), Mnemonic.FUCOM: (0, x87.VARIANT), Mnemonic.FUCOMP: (1, x87.VARIANT),
            Mnemonic.FUCOMPP: (2, x87.VARIANT)}
_COMPARE_FLAGS = {Mnemonic.FCOMI: (0, 0), Mnemonic.FCOMIP: (1, 0), Mnemonic.FUCOMI: (0, x87.VARIANT),
                  Mnemonic.FUCOMIP: (1, x87.VARIANT)}
_ON_STACK_TOP = {
    Mnemonic.FSQRT: ("sqrt", 0), Mnemonic.FRNDINT: ("round", 0), Mnemonic.FABS: ("sign", 0), Mnemonic.FCHS: ("sign", 1),
    Mnemonic.FXAM: ("examine", 0), Mnemonic.FSCALE: ("scale", 0), Mnemonic.FXTRACT: ("extract", 0),
    Mnemonic.FPREM: ("remainder", 0), Mnemonic.FPREM1: ("remainder", 1),
    Mnemonic.FLD1: ("push_constant", 0), Mnemonic.FLDL2T: ("push_constant", 1), Mnemonic.FLDL2E: ("push_constant", 2),
    Mnemonic.FLDPI: ("push_constant", 3), Mnemonic.FLDLG2: ("push_constant", 4),
    Mnemonic.FLDLN2: ("push_constant", 5), Mnemonic.FLDZ: ("push_constant", 6),
    Mnemonic.F2XM1: ("exp2m1", 0), Mnemonic.FYL2X: ("log2", 0), Mnemonic.FYL2XP1: ("log2", 1),
    Mnemonic.FPTAN: ("tangent", 0), Mnemonic.FPATAN: ("arctangent", 0),
    Mnemonic.FSIN: ("sine", x87.SINE), Mnemonic.FCOS: ("sine", x87.COSINE),
    Mnemonic.FSINCOS: ("sine", x87.SINE | x87.COSINE),
}
_CONDITIONS = {Mnemonic.FCMOVB: 2, Mnemonic.FCMOVNB: 3, Mnemonic.FCMOVE: 4, Mnemonic.FCMOVNE: 5, Mnemonic.FCMOVBE: 6,
               Mnemonic.FCMOVNBE: 7, Mnemonic.FCMOVU: 10, Mnemonic.FCMOVNU: 11}
_ENVIRONMENTS = {MemorySize.FPU_ENV14: 0, MemorySize.FPU_ENV28: x87.ENV_WIDE,
                 MemorySize.FPU_STATE94: x87.ENV_REGISTERS, MemorySize.FPU_STATE108: x87.ENV_WIDE | x87.ENV_REGISTERS}
_IGNORED = (Mnemonic.FNENI, Mnemonic.FNDISI, Mnemonic.FNSETPM)


def stack_number(register: int) -> int:
    """i of ST(i)."""
    return register - Register.ST0


def where(e: Emitter, insn: Instruction, control: int = 0) -> int:
    """The immediate that tells FIP and FOP: FOP is the low three bits of the opcode and ModRM (SDM Vol. 1 8.1.9)."""
    e.placed = True
    at = next(i for i, byte in enumerate(e.data) if 0xD8 <= byte <= 0xDF)
    opcode = (e.data[at] & 7) << 8 | e.data[at + 1]
    return insn.ip & x87.WHERE_OFFSET | (x87.WHERE_NARROW if e.bits != 64 else 0) | opcode << x87.OPCODE_SHIFT | \
        control << x87.CONTROL_SHIFT


def operand_address(e: Emitter, insn: Instruction, size: int) -> Address:
    """Operand words of the memory operand, after the checks that come before it and noting its offset."""
    e.op("x87_ready")
    bits = address_bits(insn, e.bits)
    e.op(f"lea{'' if bits == 64 else bits}.64", POINTER, *e.effective(insn))
    return e.address(insn, size)


def loaded(e: Emitter, insn: Instruction) -> int:
    """Load the memory operand into TMP[0]; gives its FROM_ bits."""
    source, width = _FROM[insn.memory_size]
    e.op(f"load.{width}", TMP[0], *operand_address(e, insn, width // 8))
    return source << x87.FROM_SHIFT


@lowers(*_ARITHMETIC)
def arithmetic(e: Emitter, insn: Instruction) -> None:
    worker, control = _ARITHMETIC[insn.mnemonic]
    if insn.op0_kind == MEMORY:
        e.op(f"x87.{worker}", 0, TMP[0], POINTER, where(e, insn, control | loaded(e, insn)))
        return
    control |= stack_number(insn.op0_register) | stack_number(insn.op1_register) << x87.SOURCE_SHIFT
    if insn.mnemonic in _POPPING:
        control |= 1 << x87.POPS_SHIFT
    e.op(f"x87.{worker}", 0, layout.ZERO, 0, where(e, insn, control))


@lowers(*_COMPARE)
def compare(e: Emitter, insn: Instruction) -> None:
    pops, control = _COMPARE[insn.mnemonic]
    control |= pops << x87.POPS_SHIFT
    if insn.op_count and insn.op0_kind == MEMORY:
        e.op("x87_compare", 0, TMP[0], POINTER, where(e, insn, control | loaded(e, insn)))
        return
    other = stack_number(insn.op_register(insn.op_count - 1)) if insn.op_count else 1
    e.op("x87_compare", 0, layout.ZERO, 0, where(e, insn, control | other << x87.SOURCE_SHIFT))


@lowers(Mnemonic.FTST)
def test(e: Emitter, insn: Instruction) -> None:
    e.op("x87_compare", 0, layout.ZERO, 0, where(e, insn, x87.FROM_ZERO << x87.FROM_SHIFT))


@lowers(*_COMPARE_FLAGS)
def compare_flags(e: Emitter, insn: Instruction) -> None:
    pops, control = _COMPARE_FLAGS[insn.mnemonic]
    control |= pops << x87.POPS_SHIFT | x87.TO_RFLAGS | stack_number(insn.op1_register) << x87.SOURCE_SHIFT
    e.op("x87_compare_flags", 0, layout.ZERO, 0, where(e, insn, control))


@lowers(*_ON_STACK_TOP)
def on_stack_top(e: Emitter, insn: Instruction) -> None:
    worker, control = _ON_STACK_TOP[insn.mnemonic]
    e.op(f"x87.{worker}", 0, layout.ZERO, 0, where(e, insn, control))


@lowers(Mnemonic.FLD, Mnemonic.FILD, Mnemonic.FBLD)
def push(e: Emitter, insn: Instruction) -> None:
    if insn.op0_kind != MEMORY:
        e.op("x87.push_register", 0, layout.ZERO, 0, where(e, insn, stack_number(insn.op0_register)))
    elif insn.memory_size in _FROM:
        e.op("x87.push", 0, TMP[0], POINTER, where(e, insn, loaded(e, insn)))
    else:
        a, b, imm = operand_address(e, insn, 10)
        e.op("load.64", TMP[0], a, b, imm)
        e.op("mov.64", TMP[1])
        e.op("load.16", TMP[1], a, b, imm + 8)
        name = "push_decimal" if insn.mnemonic == Mnemonic.FBLD else "push_extended"
        e.op(f"x87_push_wide.{name}", TMP[1], TMP[0], POINTER, where(e, insn))


@lowers(Mnemonic.FST, Mnemonic.FSTP, Mnemonic.FSTPNCE, Mnemonic.FIST, Mnemonic.FISTP, Mnemonic.FISTTP, Mnemonic.FBSTP)
def store(e: Emitter, insn: Instruction) -> None:
    control = 0 if insn.mnemonic in (Mnemonic.FST, Mnemonic.FIST) else 1 << x87.POPS_SHIFT
    if insn.mnemonic == Mnemonic.FISTTP:
        control |= x87.TRUNCATE
    if insn.mnemonic == Mnemonic.FSTPNCE:
        control |= x87.QUIET
    if insn.op0_kind != MEMORY:
        e.op("x87.store_register", 0, layout.ZERO, 0, where(e, insn, control | stack_number(insn.op0_register)))
        return
    to = _TO[insn.memory_size]
    segment = 0 if e.bits == 64 else SEGMENT_NUMBER[insn.memory_segment] + 1
    address = operand_address(e, insn, _TO_BYTES[to])
    e.op(f"x87_store.{to}", (x87.STORE_TRUNCATES if control & x87.TRUNCATE else 0)
         | segment << x87.STORE_SEGMENT_SHIFT, *address)
    e.op("x87_stored", 0, layout.ZERO, POINTER, where(e, insn, control))


@lowers(Mnemonic.FXCH)
def exchange(e: Emitter, insn: Instruction) -> None:
    e.op("x87.exchange", 0, layout.ZERO, 0, where(e, insn, stack_number(insn.op1_register)))


@lowers(*_CONDITIONS)
def conditional_move(e: Emitter, insn: Instruction) -> None:
    e.op(f"x87_move.{_CONDITIONS[insn.mnemonic]}", 0, layout.ZERO, 0, where(e, insn, stack_number(insn.op1_register)))


@lowers(Mnemonic.FFREE, Mnemonic.FFREEP, Mnemonic.FINCSTP, Mnemonic.FDECSTP, Mnemonic.FNOP)
def adjust(e: Emitter, insn: Instruction) -> None:
    control = {Mnemonic.FINCSTP: x87.ROTATE_UP, Mnemonic.FDECSTP: x87.ROTATE_DOWN, Mnemonic.FFREE: x87.FREE,
               Mnemonic.FFREEP: x87.FREE_POP}.get(insn.mnemonic, 0)
    if control & (x87.FREE | x87.FREE_POP):
        control |= stack_number(insn.op0_register)
    e.op("x87_adjust", 0, layout.ZERO, 0, where(e, insn, control))


@lowers(*_IGNORED)
def ignored(e: Emitter, insn: Instruction) -> None:
    """FNENI, FNDISI and FNSETPM of older coprocessors do nothing (SDM Vol. 3B 22.18.9)."""
    e.op("x87_ready_unwaiting")


@lowers(Mnemonic.WAIT)
def wait(e: Emitter, insn: Instruction) -> None:
    e.op("x87_wait")


@lowers(Mnemonic.FNCLEX)
def clear(e: Emitter, insn: Instruction) -> None:
    e.op("x87_clear")


@lowers(Mnemonic.FNINIT)
def initialise(e: Emitter, insn: Instruction) -> None:
    e.op("x87_init")


@lowers(Mnemonic.FLDCW)
def load_control(e: Emitter, insn: Instruction) -> None:
    e.op("x87_ready")
    e.op("x87_load_control", 0, e.load(insn, 16))


@lowers(Mnemonic.FNSTCW, Mnemonic.FNSTSW)
def store_word(e: Emitter, insn: Instruction) -> None:
    name = "x87_read_word." + ("control" if insn.mnemonic == Mnemonic.FNSTCW else "status")
    if insn.op0_kind == MEMORY:
        e.op(name, TMP[0])
        e.assign(insn, 16, TMP[0])
    else:
        e.op(name, GPR_SLOT[insn.op0_register][0])


@lowers(Mnemonic.FLDENV, Mnemonic.FRSTOR, Mnemonic.FNSTENV, Mnemonic.FNSAVE)
def environment(e: Emitter, insn: Instruction) -> None:
    control = _ENVIRONMENTS.get(insn.memory_size)
    if control is None:
        raise NotImplementedInstruction
    stores = insn.mnemonic in (Mnemonic.FNSTENV, Mnemonic.FNSAVE)
    e.op("x87_ready_unwaiting" if stores else "x87_ready")
    address = e.address(insn, control, write=stores, environment=True)
    e.op("x87_store_environment" if stores else "x87_load_environment", control, *address)
