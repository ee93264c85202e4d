"""What a breakpoint or hook saw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emu.debug.breakpoint import Breakpoint

(EXECUTE, READ, WRITE, REGISTER, MSR, PORT, HYPERCALL, CPUID, INSTRUCTION, INTERRUPT, PLANE_SWITCH, VIOLATION) = (
    "execute", "read", "write", "register", "msr", "port", "hypercall", "cpuid", "instruction", "interrupt",
    "plane-switch", "violation")


@dataclass
class Event:
    """`kind` is one of the names above. `icount`: instructions retired. `rip`: of the next instruction. `linear`,
    `gpa`, `size`: the bytes accessed. `value`: what a write stored, or a register or MSR holds; `old`: before it.
    `index`: of the MSR, port, hypercall, CPUID leaf, or the vector. `source`, `target`, `cause`: of a plane switch."""

    kind: str
    breakpoint: Breakpoint = field(repr=False)
    vcpu: int
    plane: int
    icount: int
    rip: int
    linear: int | None = None
    gpa: int | None = None
    size: int | None = None
    value: int | None = None
    old: int | None = None
    index: int | None = None
    source: int | None = None
    target: int | None = None
    cause: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields that say something, as plain data."""
        return {name: value for name, value in vars(self).items() if value is not None and name != "breakpoint"}
