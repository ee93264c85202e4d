"""Instructions as text, where a plane stands or elsewhere. Reading changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iced_x86 import Decoder

from emu.walk import read_virtual
from jit import layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane

LONGEST = 15


def instruction_text(machine: Machine, plane: Plane, rip: int) -> str:
    """The instruction at RIP, or why it cannot be read."""
    data = read_virtual(machine, plane, rip + plane.get(layout.CS_BASE), LONGEST)
    if not data:
        return "not mapped"
    insn = Decoder((16, 32, 64)[plane.get(layout.MODE) & 3], data, machine.cpu.decoder_options, ip=rip).decode()
    return f"{insn}" if insn else f"bytes {data[:4].hex()}"
