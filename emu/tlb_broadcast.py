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

GP, RCX = 13, layout.gpr(1)


def execute(machine: Machine, plane: Plane) -> None:
    """The instruction that the engine left in IO_VALUE; CPL and mode were checked."""
    if plane.get(layout.IO_VALUE) == SNP_INVLPGB:
        if plane.get(RCX) & 0xFFFF > INVLPGB_MAX_PAGES:
            plane.raise_exception(GP, 0)
            return
        machine.flush_all()
    plane.retire()
