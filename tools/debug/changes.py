"""What an instruction, or a stretch of the run, changed: registers of all planes from one stop to the next."""

from __future__ import annotations

from emu import Machine
from emu.state_names import REGISTERS

GENERAL = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{n}" for n in range(8, 16)))
SYSTEM = ("rip", "rflags", "cs", "ss", "ds", "es", "fs", "gs", "fs_base", "gs_base", "kernel_gs_base", "cr0", "cr2",
          "cr3", "cr4", "cr8", "efer", "xcr0", "gdtr_base", "gdtr_limit", "idtr_base", "idtr_limit", "ldtr", "tr",
          "star", "lstar", "cstar", "sfmask", "sysenter_cs", "sysenter_esp", "sysenter_eip", "pat", "tsc_aux",
          "tsc_offset", "dr0", "dr1", "dr2", "dr3", "dr6", "dr7")
FPU = ("fcw", "fsw", "mxcsr", *(f"xmm{n}" for n in range(16)))
NAMES = (*GENERAL, *SYSTEM, *FPU)
assert set(NAMES) <= set(REGISTERS)
Values = dict[tuple[int, int], dict[str, int]]      # (vCPU, plane) -> register -> value


def observe(machine: Machine) -> Values:
    """The registers of every plane of every vCPU."""
    return {(vcpu.index, plane.number): plane.regs.dump(NAMES) for vcpu in machine.vcpu for plane in vcpu.plane}


class Changes:
    """Compares each stop with the one before."""

    def __init__(self) -> None:
        self.before: Values = {}
        self.now: Values = {}

    def note(self, values: Values) -> None:
        """The machine has stopped."""
        self.before, self.now = self.now, values

    def again(self, values: Values) -> None:
        """Something was changed by hand: the same stop, with other values."""
        self.now = values

    def changed(self, vcpu: int, plane: int, name: str) -> bool:
        """Whether a register has another value than at the stop before; a plane that is new has changed nowhere."""
        old = self.before.get((vcpu, plane))
        return old is not None and old[name] != self.now.get((vcpu, plane), old)[name]
