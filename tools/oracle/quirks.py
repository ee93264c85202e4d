"""Where host and engine may differ without either being wrong: traces of single-stepping, and what a faulting
instruction leaves behind that no program relies on."""

from iced_x86 import Instruction, Mnemonic, OpKind, Register

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
# Linux reports #BR and #OF as it does #GP: (host, engine)
SAME_SIGNAL = {(13, 5), (13, 4)}
# These store the first part of their operand before they find that another faults.
_STORES_EARLY = {Mnemonic.FSTP, Mnemonic.FBSTP, Mnemonic.FNSTENV, Mnemonic.FNSAVE, Mnemonic.VCOMPRESSPS,
                 Mnemonic.VCOMPRESSPD, Mnemonic.VPCOMPRESSB, Mnemonic.VPCOMPRESSW, Mnemonic.VPCOMPRESSD,
                 Mnemonic.VPCOMPRESSQ}
# These push before they find that they fault; what is below RSP then means nothing.
_PUSHES_EARLY = {Mnemonic.ENTER, Mnemonic.PUSHA, Mnemonic.PUSHAD}
_PUSH_FLAGS = {Mnemonic.PUSHF, Mnemonic.PUSHFD, Mnemonic.PUSHFQ}
_POPS_EARLY = {Mnemonic.POPA, Mnemonic.POPAD}
# These load control and status words, and registers, before they find that a part beyond wraps inside itself.
_LOADS_EARLY = {Mnemonic.FLDENV, Mnemonic.FRSTOR}
_MASKED_STORES = {Mnemonic.VMASKMOVPS, Mnemonic.VMASKMOVPD, Mnemonic.VPMASKMOVD, Mnemonic.VPMASKMOVQ}
_AREAS = {getattr(Mnemonic, name) for name in dir(Mnemonic)
          if name.startswith(("FXSAVE", "FXRSTOR", "XSAVE", "XRSTOR"))}
_NARROW = {OpKind.MEMORY_SEG_ESI, OpKind.MEMORY_ESEDI}


def pushes_trap_flag(insn: Instruction) -> bool:
    """Whether the host's memory holds the TF with which it was stepped, in the second byte at RSP."""
    return insn.mnemonic in _PUSH_FLAGS


def compares_memory(insn: Instruction, faulted: bool) -> bool:
    return not (faulted and insn.mnemonic in _PUSHES_EARLY | _STORES_EARLY)


def register_mask(insn: Instruction, faulted: bool) -> int:
    """The bits of general registers that count. POPA may have loaded some before it faults; a repeated instruction
    with a 32-bit address size clears the upper halves of its registers even where its first iteration faults."""
    if faulted and insn.mnemonic in _POPS_EARLY:
        return 0
    if faulted and any(insn.op_kind(i) in _NARROW for i in range(insn.op_count)):
        return MASK32
    return MASK64


def address_mask(insn: Instruction) -> int:
    """The bits of a page fault's address that count. Masked stores report the last byte of an operand that crosses into
    the page, chosen or not. Which byte of its area FXSAVE or XSAVE touches first no manual says."""
    if insn.mnemonic in _AREAS:
        return 0
    masked = insn.mnemonic in _MASKED_STORES or insn.op_mask != Register.NONE
    return -0x1000 & MASK64 if masked and insn.op0_kind == OpKind.MEMORY else MASK64


def enters_mmx_early(insn: Instruction) -> bool:
    """Whether the instruction, an MMX store, has made all registers valid and TOP 0 before it finds that it faults."""
    return (insn.op_count == 2 and insn.op0_kind == OpKind.MEMORY and insn.op1_kind == OpKind.REGISTER
            and Register.MM0 <= insn.op1_register <= Register.MM7)


def loads_x87_early(insn: Instruction) -> bool:
    """Whether the instruction has loaded a part of the x87 state before it finds that it faults."""
    return insn.mnemonic in _LOADS_EARLY
