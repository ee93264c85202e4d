"""The run structure of a vCPU (struct kvm_run, Documentation/virt/kvm/api.rst 5, and the planes series' additions)."""

from __future__ import annotations

from dataclasses import dataclass, field

(KVM_EXIT_HYPERCALL, KVM_EXIT_HLT, KVM_EXIT_IRQ_WINDOW_OPEN, KVM_EXIT_SHUTDOWN, KVM_EXIT_INTR, KVM_EXIT_SYSTEM_EVENT,
 KVM_EXIT_MWAIT, KVM_EXIT_MEMORY_FAULT, KVM_EXIT_INTERNAL_ERROR) = 3, 5, 7, 8, 10, 24, 38, 39, 17
KVM_SYSTEM_EVENT_SHUTDOWN, KVM_SYSTEM_EVENT_RESET = 1, 2
KVM_EXIT_PAUSE, KVM_EXIT_HYPERV_VTL_INTERRUPT = 0x100, 0x101       # not KVM's numbers, which are not known
USERSPACE_EXIT_MWAIT, USERSPACE_EXIT_HLT, USERSPACE_EXIT_PAUSE = 1, 2, 4
IDLE_HLT, IDLE_MWAIT = 1, 2


@dataclass
class PlaneEvent:
    """kvm_plane_event_exit. `target`: a set of planes, in oct24 the number of one. `plane` and `extra` are the later
    series': for CREATE_VCPU the plane and the APIC ID that are wanted."""

    cause: int = 0
    pending_event_planes: int = 0
    target: int = 0
    plane: int = 0
    extra: tuple[int, ...] = ()


@dataclass
class MemoryFault:
    """kvm_run.memory_fault. `flags`: what was tried, 1 read, 2 write, 4 execute."""

    flags: int = 0
    gpa: int = 0
    size: int = 0


@dataclass
class Hypercall:
    """kvm_run.hypercall; `ret` goes to RAX when the vCPU runs again."""

    nr: int = 0
    args: tuple[int, ...] = ()
    ret: int = 0


@dataclass
class Run:
    """In: plane, req_exit_planes, immediate_exit, userspace_exits, request_interrupt_window. Out: the rest."""

    plane: int = 0
    req_exit_planes: int = 0
    suspended_planes: int = 0
    immediate_exit: int = 0
    userspace_exits: int = 0
    exit_reason: int = 0
    idle: int = 0
    if_flag: int = 0
    cr8: int = 0
    apic_base: int = 0
    request_interrupt_window: int = 0
    ready_for_interrupt_injection: int = 0
    plane_event: PlaneEvent = field(default_factory=PlaneEvent)
    memory_fault: MemoryFault = field(default_factory=MemoryFault)
    hypercall: Hypercall = field(default_factory=Hypercall)
    system_event_type: int = 0
