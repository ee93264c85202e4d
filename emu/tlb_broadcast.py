"""INVLPGB and TLBSYNC outside SEV-SNP guests (APM Vol. 3). An invalidation may drop more than it asks for, and has
taken effect on all processors when the instruction ends; there are no guests with ASIDs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.isa.cpuid import INVLPGB_MAX_PAGES
from jit import layout
from jit.semantics.wiring import SNP_INVLPGB

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane

GP, RAX, RCX, RDX = 13, layout.gpr(0), layout.gpr(1), layout.gpr(2)
RESERVED_RAX, RESERVED_ECX, RESERVED_EDX, PAGES = 0xFC0, 0x7FFF_0000, 0xF000_0000, 0xFFFF


def operands_fault(plane: Plane) -> bool:
    """Whether INVLPGB raises #GP(0) for its operands: reserved bits (rAX 11:6, ECX 30:16, EDX 31:28), or more pages
    than CPUID reports."""
    count = plane.get(RCX)
    return bool(plane.get(RAX) & RESERVED_RAX or count & RESERVED_ECX or plane.get(RDX) & RESERVED_EDX
                or count & PAGES > INVLPGB_MAX_PAGES)


def execute(machine: Machine, plane: Plane) -> None:
    """The instruction that the engine left in IO_VALUE; CPL and mode were checked."""
    if plane.get(layout.IO_VALUE) == SNP_INVLPGB:
        if operands_fault(plane):
            plane.raise_exception(GP, 0)
            return
        machine.flush_all()
    plane.retire()
