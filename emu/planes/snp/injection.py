"""Events that VMRUN injects from a VMSA, and which are legal (APM Vol. 2 15.36.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.planes.snp import vmsa
from emu.planes.snp.context import Context
from emu.planes.snp.vmsa import Vmsa
from jit import exits as engine_exits
from jit import layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.vcpu import VCpu

HV, VC = 28, 29
BREAKPOINTS = (3, 4)                    # #BP and #OF, which only software raises
KINDS = {vmsa.EVENT_EXTERNAL: engine_exits.KIND_INTERRUPT, vmsa.EVENT_NMI: engine_exits.KIND_NMI,
         vmsa.EVENT_EXCEPTION: engine_exits.KIND_TRAP}


def event_problem(event: int, restricted: bool) -> str | None:
    """Why an event in the form of EVENTINJ must not be injected into an SEV-ES guest."""
    if not event & vmsa.EVENT_VALID:
        return None
    kind, vector = event & vmsa.EVENT_TYPE, event & vmsa.EVENT_VECTOR
    if restricted and (vector != HV or kind != vmsa.EVENT_EXCEPTION or event & vmsa.EVENT_ERROR_VALID):
        return f"event {event:#x} under restricted injection, which takes #HV alone"
    if kind not in KINDS:
        return f"event {event:#x} is of a type that SEV-ES guests do not take"
    if kind == vmsa.EVENT_EXCEPTION and (vector in BREAKPOINTS or vector > 31):
        return f"event {event:#x}: no exception {vector} can be injected"
    return None


def illegal(features: int, state: Vmsa, event: int) -> str | None:
    """Why features and events make VMRUN fail. `event`: that of the VMCB, which counts without alternate injection."""
    if features & vmsa.RESTRICTED_INJECTION and features & vmsa.ALTERNATE_INJECTION:
        return "restricted and alternate injection exclude each other"
    if features & vmsa.ALTERNATE_INJECTION:
        return event_problem(state["eventinj"], restricted=False)
    return event_problem(event, bool(features & vmsa.RESTRICTED_INJECTION))


def enter(plane: Plane, context: Context, state: Vmsa, event: int) -> None:
    """The event of the VMCB is taken, or under alternate injection that of the VMSA. Interrupt requests are loaded with
    the registers."""
    if context.has(vmsa.ALTERNATE_INJECTION):
        event = state["eventinj"]
        state["eventinj"] = event & ~vmsa.EVENT_VALID
    if event & vmsa.EVENT_VALID:
        inject(plane, event)


def requested(state: Vmsa, priority: int) -> int | None:
    """The vector that VINTR_CTRL requests, if its priority is above a task's, or None."""
    control = state["vintr_ctrl"]
    if not control & vmsa.V_IRQ:
        return None
    above = (control & vmsa.V_PRIORITY) >> vmsa.V_PRIORITY_SHIFT > priority
    return (control & vmsa.V_VECTOR) >> vmsa.V_VECTOR_SHIFT if above or control & vmsa.V_IGNORE_TPR else None


def take(plane: Plane, state: Vmsa) -> None:
    """Deliver the interrupt that VINTR_CTRL requests."""
    vector = (state["vintr_ctrl"] & vmsa.V_VECTOR) >> vmsa.V_VECTOR_SHIFT
    state["vintr_ctrl"] &= ~vmsa.V_IRQ
    plane.set(layout.INTERRUPT, 0)
    inject(plane, vector | vmsa.EVENT_EXTERNAL | vmsa.EVENT_VALID)


def leave(context: Context, state: Vmsa, reflected: bool, interrupted: int) -> None:
    """What #VMEXIT writes back of it."""
    if reflected and interrupted and context.has(vmsa.ALTERNATE_INJECTION):
        state["vintr_ctrl"] |= vmsa.V_BUSY


def inject(plane: Plane, event: int) -> None:
    """Deliver an event in the form of EVENTINJ before the next instruction."""
    plane.set(layout.FAULT_VECTOR, event & vmsa.EVENT_VECTOR)
    plane.set(layout.FAULT_KIND, KINDS[event & vmsa.EVENT_TYPE])
    plane.set(layout.FAULT_ERROR, event >> vmsa.EVENT_ERROR_SHIFT)
    plane.set(layout.FAULT_HAS_ERROR, int(bool(event & vmsa.EVENT_ERROR_VALID)))
    plane.set(layout.FAULT_PENDING, 1)


def keep_only_the_hosts(plane: Plane) -> None:
    """An event whose delivery an exit interrupted is injected again if it came from the hypervisor; what instructions
    raised, they raise again. For a VMSA that was changed meanwhile."""
    if plane.get(layout.FAULT_KIND) not in (engine_exits.KIND_INTERRUPT, engine_exits.KIND_NMI):
        plane.set(layout.FAULT_PENDING, 0)


def pending(vcpu: VCpu) -> int:
    """The event that the active plane is delivering, in the form of EXITINTINFO; 0: none."""
    plane = vcpu.plane
    if not plane.get(layout.FAULT_PENDING):
        return 0
    kind = plane.get(layout.FAULT_KIND)
    found = {engine_exits.KIND_INTERRUPT: vmsa.EVENT_EXTERNAL, engine_exits.KIND_NMI: vmsa.EVENT_NMI}.get(
        kind, vmsa.EVENT_EXCEPTION)
    event = plane.get(layout.FAULT_VECTOR) | found | vmsa.EVENT_VALID
    if plane.get(layout.FAULT_HAS_ERROR):
        event |= vmsa.EVENT_ERROR_VALID | plane.get(layout.FAULT_ERROR) << vmsa.EVENT_ERROR_SHIFT
    return event
