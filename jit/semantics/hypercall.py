"""VMCALL and VMMCALL (SDM Vol. 3C 31.3; APM Vol. 3 VMMCALL): what they mean is the hypervisor interface's to say."""

from jit import exits
from jit.native import State
from jit.registry import END, op


@op("hypercall", kind=END)
def hypercall(st: State, d: int, a: int, b: int, imm: int) -> int:
    """Leaves to the group loop (jit/group.py), which raises #UD where no hypervisor interface is offered."""
    return exits.HYPERCALL
