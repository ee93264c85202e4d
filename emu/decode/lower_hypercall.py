"""VMCALL and VMMCALL: a hypervisor takes either, whatever the processor's vendor."""

from iced_x86 import Instruction, Mnemonic

from emu.decode.emitter import Emitter
from emu.decode.lowering import lowers


@lowers(Mnemonic.VMCALL, Mnemonic.VMMCALL)
def hypercall(e: Emitter, insn: Instruction) -> None:
    e.end()
    e.op("hypercall")
