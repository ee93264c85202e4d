"""System instructions."""

from iced_x86 import Code, Instruction, Mnemonic, Register

from emu.decode.emitter import Address, Emitter
from emu.decode.lower_segment import selector_slot, store_word
from emu.decode.lowering import lowers, lowers_code
from emu.decode.names import code_name, mnemonic_name
from emu.decode.operands import GPR_SLOT, REGISTER, SEGMENT_NUMBER, TMP, operand_width
from jit import guards, layout

_CONTROL = {0: layout.CR0, 2: layout.CR2, 3: layout.CR3, 4: layout.CR4, 8: layout.CR8}
_TABLES = {"GDT": layout.GDTR_BASE, "IDT": layout.IDTR_BASE}
_PRIVILEGED = {Mnemonic.CLTS: "clts", Mnemonic.RDMSR: "rdmsr", Mnemonic.WRMSR: "wrmsr"}
_CACHES = (Mnemonic.INVD, Mnemonic.WBINVD, Mnemonic.WBNOINVD)
_ENDING = {Mnemonic.HLT: "hlt", Mnemonic.CPUID: "cpuid", Mnemonic.RDTSC: "rdtsc", Mnemonic.RDTSCP: "rdtscp",
           Mnemonic.RDPMC: "rdpmc", Mnemonic.XSETBV: "xsetbv", Mnemonic.RSM: "rsm"}
_INSPECT = (Mnemonic.VERR, Mnemonic.VERW, Mnemonic.LAR, Mnemonic.LSL)
_BASES = {"FS": layout.FS, "GS": layout.GS}


@lowers(*_ENDING)
def ending(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op(_ENDING[insn.mnemonic])


@lowers(*_PRIVILEGED)
def privileged(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("privileged")
    e.op(_PRIVILEGED[insn.mnemonic])


@lowers(*_CACHES)
def caches(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("privileged")
    e.op("flush_caches", imm=guards.INVD if insn.mnemonic == Mnemonic.INVD else guards.WBINVD)


# --- control and debug registers ---------------------------------------------


@lowers_code(Code.MOV_R32_CR, Code.MOV_R64_CR, Code.MOV_CR_R32, Code.MOV_CR_R64)
def mov_control(e: Emitter, insn: Instruction) -> None:
    writes = insn.op1_register in GPR_SLOT
    register, control = (insn.op1_register, insn.op0_register) if writes else (insn.op0_register, insn.op1_register)
    number = control - Register.CR0
    if number not in _CONTROL:
        e.op("undefined")
        e.end()
        return
    slot, width = GPR_SLOT[register]
    e.op("privileged")
    if writes:
        e.op(f"write_cr.{width}", number, slot)
        e.end()
    else:
        e.op(f"mov.{width}", slot, _CONTROL[number])


@lowers_code(Code.MOV_R32_DR, Code.MOV_R64_DR, Code.MOV_DR_R32, Code.MOV_DR_R64)
def mov_debug(e: Emitter, insn: Instruction) -> None:
    e.end()
    writes = insn.op1_register in GPR_SLOT
    register, debug = (insn.op1_register, insn.op0_register) if writes else (insn.op0_register, insn.op1_register)
    number = debug - Register.DR0
    if number > 7:
        e.op("undefined")
        return
    slot, width = GPR_SLOT[register]
    e.op("privileged")
    if writes:
        e.op(f"write_dr.{width}", number, slot)
    else:
        e.op(f"read_dr.{width}", slot, imm=number)


@lowers(Mnemonic.LMSW)
def lmsw(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("privileged")
    slot, _ = e.source(insn, 0, 16)
    e.op("lmsw", a=slot)


@lowers(Mnemonic.SMSW)
def smsw(e: Emitter, insn: Instruction) -> None:
    e.op("umip")
    store_word(e, insn, layout.CR0)


# --- descriptor tables ---------------------------------------------


@lowers(Mnemonic.LGDT, Mnemonic.LIDT)
def load_table(e: Emitter, insn: Instruction) -> None:
    e.end()
    wide = e.bits == 64
    base = 24 if code_name(insn.code).endswith("_16") else e.bits if wide else 32
    e.op("privileged")
    a, b, imm = e.address(insn, 10 if wide else 6)
    e.op("load.16", TMP[0], *Address(a, b, imm))
    e.op(f"load.{64 if wide else 32}", TMP[1], *Address(a, b, imm + 2))
    e.op(f"load_table.{base}", _TABLES[mnemonic_name(insn.mnemonic)[1:]], TMP[0], TMP[1])


@lowers(Mnemonic.SGDT, Mnemonic.SIDT)
def store_table(e: Emitter, insn: Instruction) -> None:
    wide = e.bits == 64
    e.op("umip", imm=layout.NPIEP_SGDT if insn.mnemonic == Mnemonic.SGDT else layout.NPIEP_SIDT)
    address = e.address(insn, 10 if wide else 6, write=True)
    e.op(f"store_table.{64 if wide else 32}", _TABLES[mnemonic_name(insn.mnemonic)[1:]], *address)


@lowers(Mnemonic.SLDT, Mnemonic.STR)
def store_system(e: Emitter, insn: Instruction) -> None:
    local = insn.mnemonic == Mnemonic.SLDT
    e.op("protected_only")
    e.op("umip", imm=layout.NPIEP_SLDT if local else layout.NPIEP_STR)
    store_word(e, insn, selector_slot(layout.LDTR if local else layout.TR))


@lowers(Mnemonic.LLDT, Mnemonic.LTR)
def load_system(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("protected_only")
    e.op("privileged")
    slot, _ = e.source(insn, 0, 16)
    e.op("load_system", layout.LDTR if insn.mnemonic == Mnemonic.LLDT else layout.TR, slot)


@lowers(*_INSPECT)
def inspect(e: Emitter, insn: Instruction) -> None:
    e.op("protected_only")
    slot, _ = e.source(insn, insn.op_count - 1, 16)
    d, width = GPR_SLOT[insn.op0_register] if insn.op_count == 2 else (0, 16)
    e.op(f"inspect.{mnemonic_name(insn.mnemonic).lower()}.{width}", d, slot)


@lowers(Mnemonic.ARPL)
def arpl(e: Emitter, insn: Instruction) -> None:
    e.op("protected_only")
    source = GPR_SLOT[insn.op1_register][0]
    if insn.op0_kind == REGISTER:
        e.op("arpl", GPR_SLOT[insn.op0_register][0], source)
        return
    a, b, imm = e.address(insn, 2)
    e.op("load.16", TMP[0], a, b, imm)
    e.op("arpl_memory", source, a, b, SEGMENT_NUMBER[insn.memory_segment])


# --- segment bases, access control ---------------------------------------------


@lowers(Mnemonic.SWAPGS)
def swapgs(e: Emitter, insn: Instruction) -> None:
    e.op("privileged")
    e.op("swapgs")
    e.end()


@lowers(Mnemonic.RDFSBASE, Mnemonic.RDGSBASE, Mnemonic.WRFSBASE, Mnemonic.WRGSBASE)
def segment_base(e: Emitter, insn: Instruction) -> None:
    name = mnemonic_name(insn.mnemonic)
    base = layout.seg(_BASES[name[2:4]], layout.SEG_BASE)
    width = operand_width(insn, 0)
    slot = GPR_SLOT[insn.op0_register][0]
    e.op("fsgsbase")
    if name.startswith("RD"):
        e.op(f"mov.{width}", slot, base)
    else:
        e.op(f"write_base.{width}", base, slot)


@lowers(Mnemonic.STAC, Mnemonic.CLAC)
def set_ac(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("set_ac", imm=int(insn.mnemonic == Mnemonic.STAC))
