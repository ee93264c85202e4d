"""Events that a higher VTL gives to a lower one, and what that VTL does not do for now (TLFS, "Virtual processor
registers": PendingEvent0, InterruptState, InternalActivityState)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.planes.vsm import codes
from emu.planes.vsm import register_names as names
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.vp_state import StateRegister
from emu.waiting import HALTED, RUNNING
from jit import exits, layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.vsm.vp import Vp

PENDING, TYPE_SHIFT, DELIVER_ERROR_CODE = 1, 1, 1 << 8
TYPE_EXCEPTION, TYPE_EXTERNAL_INTERRUPT = 0, 5
INTERRUPTION_EXTERNAL, INTERRUPTION_NMI, INTERRUPTION_EXCEPTION, INTERRUPTION_ERROR = 0, 2, 3, 1 << 4
DE, DB, NMI, BP, OF, DF, TS, GP, PF, VE, CP = 0, 1, 2, 3, 4, 8, 10, 13, 14, 20, 21
WITH_ERROR_CODE = frozenset((8, 10, 11, 12, 13, 14, 17, 21))
CONTRIBUTORY = frozenset((DE, *range(TS, GP + 1)))          # SDM Vol. 3A table 6-4
TRAPS = frozenset((DB, BP, OF))
MASK32, MASK64 = 0xFFFFFFFF, (1 << 64) - 1


def read_pending_event(vp: Vp, vtl: int) -> int:
    """0 pending, 3:1 type, 8 deliver error code, 31:16 vector, 63:32 error code, 127:64 parameter."""
    plane = vp.vcpu.planes[vtl]
    if not plane.get(layout.FAULT_PENDING):
        return 0
    interrupt = plane.get(layout.FAULT_KIND) == exits.KIND_INTERRUPT
    vector = plane.get(layout.FAULT_VECTOR)
    value = PENDING | (TYPE_EXTERNAL_INTERRUPT if interrupt else TYPE_EXCEPTION) << TYPE_SHIFT | vector << 16
    if plane.get(layout.FAULT_HAS_ERROR):
        value |= DELIVER_ERROR_CODE | plane.get(layout.FAULT_ERROR) << 32
    return value | (plane.get(layout.FAULT_ADDRESS) << 64 if vector == PF else 0)


def write_pending_event(vp: Vp, vtl: int, value: int) -> None:
    """The VTL takes the exception, or interrupt, before it executes anything; 0 takes back what was pending. An
    exception that meets another makes a double fault as on a processor. HvError: no such event."""
    plane = vp.vcpu.planes[vtl]
    kind, vector = value >> TYPE_SHIFT & 7, value >> 16 & 0xFFFF
    error = value >> 32 & MASK32 if value & DELIVER_ERROR_CODE else None
    if not value & PENDING:
        _take_back(vp, vtl, plane)
        return
    if kind == TYPE_EXCEPTION:
        legal = vector <= CP and vector not in (NMI, VE) and (error is None or vector in WITH_ERROR_CODE)
    else:
        legal = kind == TYPE_EXTERNAL_INTERRUPT and 16 <= vector <= 0xFF and error is None
    if not legal:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    first = plane.get(layout.FAULT_VECTOR) if plane.get(layout.FAULT_PENDING) and plane.get(
        layout.FAULT_KIND) == exits.KIND_FAULT else None
    _take_back(vp, vtl, plane)
    if kind == TYPE_EXTERNAL_INTERRUPT:
        plane.inject_interrupt(vector)
    elif first is not None and (vector in CONTRIBUTORY and (first in CONTRIBUTORY or first == PF)
                                or vector == PF == first):
        plane.raise_exception(DF, 0)
    else:
        plane.raise_exception(vector, error)
        plane.set(layout.FAULT_KIND, exits.KIND_TRAP if vector in TRAPS else exits.KIND_FAULT)
        if vector == PF:
            plane.set(layout.FAULT_ADDRESS, value >> 64 & MASK64)
        plane.set(layout.INJECTED, 1)
    plane.set(layout.RESUME, 0)
    plane.set(layout.IO_DONE, 0)
    vp.partition.tlb_locks.wake(plane)


def read_pending_interruption(vp: Vp, vtl: int) -> int:
    """0 pending, 3:1 type, 4 deliver error code, 31:16 vector, 63:32 error code: the same event as PendingEvent0 has,
    and NMIs."""
    plane = vp.vcpu.planes[vtl]
    if not plane.get(layout.FAULT_PENDING):
        return 0
    kinds = {exits.KIND_INTERRUPT: INTERRUPTION_EXTERNAL, exits.KIND_NMI: INTERRUPTION_NMI}
    kind = kinds.get(plane.get(layout.FAULT_KIND), INTERRUPTION_EXCEPTION)
    value = PENDING | kind << TYPE_SHIFT | plane.get(layout.FAULT_VECTOR) << 16
    if plane.get(layout.FAULT_HAS_ERROR):
        value |= INTERRUPTION_ERROR | plane.get(layout.FAULT_ERROR) << 32
    return value


def write_pending_interruption(vp: Vp, vtl: int, value: int) -> None:
    """As PendingEvent0, without an address for page faults. HvError: no such event."""
    kind, vector, plane = value >> TYPE_SHIFT & 7, value >> 16 & 0xFFFF, vp.vcpu.planes[vtl]
    if value & PENDING and kind == INTERRUPTION_NMI:
        if vector != NMI or value & INTERRUPTION_ERROR:
            raise HvError(codes.INVALID_REGISTER_VALUE)
        _take_back(vp, vtl, plane)
        plane.raise_exception(NMI, None)
        plane.set(layout.FAULT_KIND, exits.KIND_NMI)
        vp.partition.tlb_locks.wake(plane)
        return
    if value & PENDING and kind not in (INTERRUPTION_EXTERNAL, INTERRUPTION_EXCEPTION):
        raise HvError(codes.INVALID_REGISTER_VALUE)
    event = value & (PENDING | 0xFFFF << 16 | MASK32 << 32)
    if kind == INTERRUPTION_EXTERNAL:
        event |= TYPE_EXTERNAL_INTERRUPT << TYPE_SHIFT
    write_pending_event(vp, vtl, event | (DELIVER_ERROR_CODE if value & INTERRUPTION_ERROR else 0))


def read_nothing(vp: Vp, vtl: int) -> int:
    return 0


def write_nothing(vp: Vp, vtl: int, value: int) -> None:
    """Of the kinds that PendingEvent1 could hold there is none."""
    if value:
        raise HvError(codes.INVALID_REGISTER_VALUE)


def _take_back(vp: Vp, vtl: int, plane: Plane) -> None:
    """Nothing is pending: an interrupt that was taken but not delivered waits in the APIC again."""
    if plane.get(layout.FAULT_PENDING) and plane.get(layout.FAULT_KIND) == exits.KIND_INTERRUPT:
        lapic, bit = vp.vcpu.lapics[vtl], 1 << plane.get(layout.FAULT_VECTOR)
        lapic.isr &= ~bit
        lapic.irr |= bit
        vp.vcpu.interrupt_changed(vtl)
    plane.set(layout.FAULT_PENDING, 0)
    plane.set(layout.INJECTED, 0)


def read_interrupt_state(vp: Vp, vtl: int) -> int:
    """0 interrupt shadow, 1 NMI masked."""
    plane = vp.vcpu.planes[vtl]
    return bool(plane.get(layout.SHADOW)) | bool(plane.get(layout.NMI_BLOCKED)) << 1


def write_interrupt_state(vp: Vp, vtl: int, value: int) -> None:
    if value & ~3:
        raise HvError(codes.INVALID_REGISTER_VALUE)
    plane = vp.vcpu.planes[vtl]
    plane.set(layout.SHADOW, value & 1)
    plane.set(layout.NMI_BLOCKED, value >> 1)


def read_activity(vp: Vp, vtl: int) -> int:
    """0 waits for start-up, 1 halted."""
    activity = vp.vcpu.planes[vtl].get(layout.ACTIVITY)
    return (activity == 2) | (activity == HALTED) << 1


def write_activity(vp: Vp, vtl: int, value: int) -> None:
    plane = vp.vcpu.planes[vtl]
    if value & ~2 or plane.get(layout.ACTIVITY) not in (RUNNING, HALTED):
        raise HvError(codes.INVALID_REGISTER_VALUE)
    plane.set(layout.ACTIVITY, HALTED if value else RUNNING)


EVENTS = {
    names.PENDING_INTERRUPTION: StateRegister(read_pending_interruption, write_pending_interruption),
    names.PENDING_EVENT_1: StateRegister(read_nothing, write_nothing),
    names.PENDING_EVENT_0: StateRegister(read_pending_event, write_pending_event),
    names.INTERRUPT_STATE: StateRegister(read_interrupt_state, write_interrupt_state),
    names.INTERNAL_ACTIVITY_STATE: StateRegister(read_activity, write_activity),
}
