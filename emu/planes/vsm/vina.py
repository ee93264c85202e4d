"""Virtual interrupt notification assist: a VTL that runs is told that an interrupt waits for a lower one (TLFS, Virtual
Secure Mode, "Virtual interrupt notification assist")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.apicbus import ApicMessage
from emu.planes.vsm import codes
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.msrs import ENABLE, PAGE_BITS
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.planes.vsm.vp import Vp

VECTOR, ENABLED, AUTO_RESET, AUTO_EOI = 0xFF, 1 << 8, 1 << 9, 1 << 10
ASSERTED_AT = 0x0C              # in the VP assist page
RFLAGS_IF = 1 << 9


def read(vp: Vp, vtl: int) -> int:
    """VsmVina of a VTL above 0."""
    if vtl == 0:
        raise HvError(codes.INVALID_PARAMETER)
    return vp.vtls[vtl].vina


def write(vp: Vp, vtl: int, value: int) -> None:
    """Bits 63:11 are kept as they are written. HvError: for VTL0, or enabled with a vector below 16."""
    if vtl == 0:
        raise HvError(codes.INVALID_PARAMETER)
    if value >> 64 or value & ENABLED and value & VECTOR < 16:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    vp.vtls[vtl].vina = value
    vp.mark(group_layout.NOTIFY, vtl, bool(value & ENABLED))
    vp.mark(group_layout.NOTIFY_RESET, vtl, value & (ENABLED | AUTO_RESET) == ENABLED | AUTO_RESET)
    vp.vtls[vtl].synic.auto_eoi_also(1 << (value & VECTOR) if value & ENABLED and value & AUTO_EOI else 0)
    if vtl == vp.active:
        notify(vp)


def notify(vp: Vp) -> None:
    """Assert the notification of the VTL that runs, if one is due: it wants it, the last one was seen, and a lower VTL
    would take an interrupt at once. Without an assist page there is nowhere to note it."""
    vtl = vp.active
    state = vp.vtls[vtl]
    if not state.vina & ENABLED or not state.assist_page & ENABLE or not _lower_waits(vp, vtl):
        return
    at = (state.assist_page & PAGE_BITS) + ASSERTED_AT
    status = vp.partition.machine.memory.read(at, 1)[0]
    if not status & 1:
        vp.partition.store(vtl, at, bytes((status | 1,)))
        vp.vcpu.lapics[vtl].accept(ApicMessage(state.vina & VECTOR))


def _lower_waits(vp: Vp, vtl: int) -> bool:
    return any(vp.enabled >> m & 1 and vp.vcpu.lapics[m].pending() and vp.vcpu.planes[m].get(layout.RFL) & RFLAGS_IF
               for m in range(vtl))
