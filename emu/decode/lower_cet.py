"""Instructions about shadow stacks, and what ends an indirect branch."""

from iced_x86 import Code, Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers
from emu.decode.operands import GPR_SLOT
from jit.layout import MODE_TRACK, MODE_WAIT

WAITING = MODE_TRACK | MODE_WAIT
_WRITES = {Mnemonic.WRSSD: "wrss.32", Mnemonic.WRSSQ: "wrss.64", Mnemonic.WRUSSD: "wruss.32",
           Mnemonic.WRUSSQ: "wruss.64"}


def ends_branch(e: Emitter, insn: Instruction) -> bool:
    """Whether the instruction is the ENDBRANCH of this code size."""
    return insn.code == (Code.ENDBR64 if e.bits == 64 else Code.ENDBR32)


def lower_waiting(e: Emitter, insn: Instruction) -> bool:
    """Where the branch tracker waits (the mode has WAITING), emit what comes of an instruction, if that is not the
    instruction itself."""
    if ends_branch(e, insn):
        return False
    e.op("missing_endbranch", imm=insn.ip)
    e.end()
    return True


@lowers(Mnemonic.ENDBR64, Mnemonic.ENDBR32)
def endbranch(e: Emitter, insn: Instruction) -> None:
    """A no-operation, except where the tracker waits or is suppressed."""
    if e.mode & MODE_WAIT and ends_branch(e, insn):
        e.op("endbranch")
        e.end()
    else:
        e.op("nop")


@lowers(Mnemonic.RDSSPD, Mnemonic.RDSSPQ)
def rdssp(e: Emitter, insn: Instruction) -> None:
    if e.offers("cet_ss"):
        slot, width = GPR_SLOT[insn.op0_register]
        e.op(f"rdssp.{width}", slot)
    else:
        e.op("nop")


@lowers(Mnemonic.INCSSPD, Mnemonic.INCSSPQ)
def incssp(e: Emitter, insn: Instruction) -> None:
    slot, width = GPR_SLOT[insn.op0_register]
    e.op("protected_only")
    e.op("check_shadow")
    e.op(f"incssp.{width}", a=slot)


@lowers(*_WRITES)
def write(e: Emitter, insn: Instruction) -> None:
    """WRSS and WRUSS."""
    slot, width = GPR_SLOT[insn.op1_register]
    name = _WRITES[insn.mnemonic]
    e.op("protected_only")
    if name.startswith("wruss"):
        e.op("check_supervisor_shadow", imm=1)
    else:
        e.op("check_shadow", imm=1)
    e.op(name, slot, *e.address(insn, width // 8, write=True))


@lowers(Mnemonic.RSTORSSP)
def rstorssp(e: Emitter, insn: Instruction) -> None:
    e.op("protected_only")
    e.op("check_shadow")
    e.op("rstorssp", 0, *e.address(insn, 8, write=True))


@lowers(Mnemonic.SAVEPREVSSP)
def saveprevssp(e: Emitter, insn: Instruction) -> None:
    e.op("protected_only")
    e.op("check_shadow")
    e.op("saveprevssp")


@lowers(Mnemonic.SETSSBSY)
def setssbsy(e: Emitter, insn: Instruction) -> None:
    e.op("protected_only")
    e.op("check_supervisor_shadow")
    e.op("setssbsy")


@lowers(Mnemonic.CLRSSBSY)
def clrssbsy(e: Emitter, insn: Instruction) -> None:
    e.op("protected_only")
    e.op("check_supervisor_shadow")
    e.op("clrssbsy", 0, *e.address(insn, 8, write=True))
