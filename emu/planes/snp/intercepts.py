"""What a hypervisor intercepts of an SEV-ES guest: events that become #VC (APM Vol. 2 15.35.4; appendix C)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iced_x86 import Decoder

from emu.planes.snp import exits, ghcb, vmsa
from emu.walk import read_virtual
from jit import guards, layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane

BY_TRAP = {guards.DR7_READ: exits.READ_DR7, guards.DR7_WRITE: exits.WRITE_DR7, guards.RDTSC: exits.RDTSC,
           guards.RDTSCP: exits.RDTSCP, guards.INVD: exits.INVD, guards.WBINVD: exits.WBINVD,
           guards.MONITOR: exits.MONITOR, guards.MWAIT: exits.MWAIT, guards.XCR0_WRITE: exits.XSETBV}
DEBUG = frozenset((exits.READ_DR7, exits.WRITE_DR7))
# What KVM intercepts of SEV-ES guests; not XSETBV, since it could not carry it out. CPUID and ports always are, HLT,
# PAUSE and SHUTDOWN exit by themselves.
DEFAULT = frozenset((exits.READ_DR7, exits.WRITE_DR7, exits.RDPMC, exits.INVD, exits.WBINVD, exits.MSR, exits.MONITOR,
                     exits.MWAIT))
INSTRUCTION_BYTES = 15


def traps(wanted: frozenset[int], features: int) -> int:
    """The set of jit/traps.py for some exit codes: DebugSwap takes DR7 off it."""
    return sum(1 << number for number, code in BY_TRAP.items()
               if code in wanted and not (code in DEBUG and features & vmsa.DEBUG_SWAP))


def ioio_info(machine: Machine, plane: Plane, port: int, size: int, reads: bool) -> int:
    """EXITINFO1 of IOIO for the instruction at RIP (APM Vol. 2 15.10.2)."""
    info = port << ghcb.IOIO_PORT_SHIFT | size << ghcb.IOIO_SIZE_SHIFT | (ghcb.IOIO_IN if reads else 0)
    bits = (16, 32, 64)[plane.get(layout.MODE) & 3]
    code = read_virtual(machine, plane, plane.get(layout.RIP) + plane.get(layout.CS_BASE), INSTRUCTION_BYTES)
    insn = Decoder(bits, code).decode()
    if insn.is_string_instruction:
        info |= ghcb.IOIO_STRING | (ghcb.IOIO_REP if insn.has_rep_prefix else 0)
    return info | {16: ghcb.IOIO_ADDRESS_16, 32: ghcb.IOIO_ADDRESS_32, 64: ghcb.IOIO_ADDRESS_64}[bits]
