"""Telling a plane that runs of interrupts that wait for less privileged ones, under any policy (TLFS, Virtual Secure
Mode, "Virtual interrupt notification assist").

The register is laid out as HvRegisterVsmVina: bits 7:0 the vector, 8 enabled, 9 AutoReset. A plane that was told is not
told again until the register is written or, with AutoReset, the plane is entered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.apicbus import ApicMessage
from jit import group_layout as g

if TYPE_CHECKING:
    from emu.vcpu import VCpu

VECTOR, ENABLED, AUTO_RESET = 0xFF, 1 << 8, 1 << 9
FIRST_VECTOR = 16


def read(vcpu: VCpu, number: int) -> int:
    """The register of a plane."""
    group = vcpu.group
    enabled, resets = (group.get(word) >> number & 1 for word in (g.NOTIFY, g.NOTIFY_RESET))
    return group.get(g.NOTIFY_VECTOR + 8 * number) | enabled * ENABLED | resets * AUTO_RESET


def write(vcpu: VCpu, number: int, value: int) -> None:
    """Write it. ValueError, with nothing changed: reserved bits, or enabled with a vector below 16."""
    if value & ~(VECTOR | ENABLED | AUTO_RESET) or value & ENABLED and value & VECTOR < FIRST_VECTOR:
        raise ValueError(f"VINA {value:#x}")
    vcpu.group.set(g.NOTIFY_VECTOR + 8 * number, value & VECTOR)
    for word, present in ((g.NOTIFY, value & ENABLED), (g.NOTIFY_RESET, value & AUTO_RESET), (g.NOTIFIED, 0)):
        vcpu.group.mark(word, number, bool(present))
    notify(vcpu)


def entered(vcpu: VCpu) -> None:
    """Userspace has made another plane the active one; what jit/plane_call.py does for its own switches."""
    active = vcpu.group.active
    if vcpu.group.get(g.NOTIFY_RESET) >> active & 1:
        vcpu.group.mark(g.NOTIFIED, active, False)
    notify(vcpu)


def notify(vcpu: VCpu) -> None:
    """Tell the plane that runs, if something waits that it wants to know of."""
    active = vcpu.group.active
    if vcpu.group.get(g.NOTIFY) and vcpu.engine.notice_due(vcpu.group.address):
        vcpu.group.mark(g.NOTIFIED, active, True)
        vcpu.lapics[active].accept(ApicMessage(vcpu.group.get(g.NOTIFY_VECTOR + 8 * active)))
