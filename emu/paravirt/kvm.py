"""KVM's interface for its guests: the signature, and the hypercalls that need no memory shared with the host.

Linux, Documentation/virt/kvm/x86/cpuid.rst and hypercalls.rst: RAX has the number, RBX, RCX, RDX and RSI the arguments;
RAX gets the result, 64 bits wide in 64-bit mode and 32 otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.apicbus import ApicMessage
from emu.isa.cpuid import Registers
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.vcpu import VCpu

RUNNING, HALTED = 0, 1                                                      # ACTIVITY of jit/layout.py
SIGNATURE_LEAF, FEATURES_LEAF = 0x40000000, 0x40000001
SIGNATURE: Registers = (FEATURES_LEAF, 0x4B4D564B, 0x564B4D56, 0x4D)       # "KVMKVMKVM"
PV_UNHALT, PV_SEND_IPI, PV_SCHED_YIELD = 1 << 7, 1 << 11, 1 << 13
VAPIC_POLL_IRQ, KICK_CPU, SEND_IPI, SCHED_YIELD = 1, 5, 10, 11
ENOSYS, EPERM, EINVAL = 1000, 1, 22
DESTINATION, SHORTHAND, MODE, NMI_MODE, FIXED = 0x800, 0xC0000, 0x700, 0x400, 0
RAX, ARGUMENTS = layout.gpr(0), tuple(layout.gpr(n) for n in (3, 1, 2, 6))


class KvmInterface:
    """The hypercalls of a machine, and its hypervisor CPUID leaves."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._reported: set[int] = set()
        for vcpu in machine.vcpus:
            vcpu.cpuid.overlay = self.leaf
            vcpu.group.set(group_layout.INTERFACE, group_layout.INTERFACE_OTHER)

    @staticmethod
    def leaf(number: int, subleaf: int) -> Registers | None:
        """A leaf of the hypervisor's range, or None outside it."""
        if number == SIGNATURE_LEAF:
            return SIGNATURE
        if number == FEATURES_LEAF:
            return PV_UNHALT | PV_SEND_IPI | PV_SCHED_YIELD, 0, 0, 0
        return None

    def hypercall(self, _vcpu: VCpu, plane: Plane) -> None:
        """VMCALL or VMMCALL at RIP."""
        wide = plane.get(layout.MODE) & 3 == layout.MODE_64
        mask = (1 << (64 if wide else 32)) - 1
        number, *arguments = (plane.get(register) & mask for register in (RAX, *ARGUMENTS))
        result = -EPERM if plane.get(layout.CPL) else self._call(number, arguments, wide)
        plane.set(RAX, result & mask)
        plane.retire()

    def _call(self, number: int, arguments: list[int], wide: bool) -> int:
        if number in (VAPIC_POLL_IRQ, SCHED_YIELD):
            self._machine.reschedule = number == SCHED_YIELD or self._machine.reschedule
            return 0
        if number == KICK_CPU:
            return self._kick(arguments[1])
        if number == SEND_IPI:
            return self._send(arguments, 64 if wide else 32)
        if number not in self._reported:
            self._reported.add(number)
            self._machine.report(f"KVM hypercall {number} is not implemented: -KVM_ENOSYS")
        return -ENOSYS

    def _kick(self, apic_id: int) -> int:
        for vcpu in self._machine.vcpus:
            if vcpu.index == apic_id and vcpu.plane.get(layout.ACTIVITY) == HALTED:
                vcpu.plane.set(layout.ACTIVITY, RUNNING)
        return 0

    def _send(self, arguments: list[int], width: int) -> int:
        """The ICR in the last argument, to the APICs of a bitmap that starts at the third; gives how many took it."""
        low, high, first, icr = arguments
        mode = icr & MODE
        if icr & (DESTINATION | SHORTHAND) or mode not in (FIXED, NMI_MODE):
            return -EINVAL
        bitmap, taken = low | high << width, 0
        for lapic in self._machine.pc.lapics:
            if first <= lapic.apic_id and bitmap >> (lapic.apic_id - first) & 1:
                lapic.accept(ApicMessage(icr & 0xFF, mode >> 8))
                taken += 1
        return taken
