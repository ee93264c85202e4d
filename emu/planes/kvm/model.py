"""The planes of a KVM VM as the machine sees them: what ends a run, and the planes' local APICs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.apicbus import ApicBus
from emu.irq.lapic import LocalApic
from emu.irq.lapic_msr import LapicMsrs
from emu.plane import Plane
from emu.planes.model import PlaneModel
from emu.planes.policies import Policy
from emu.waiting import WAIT_FOR_SIPI
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.planes.kvm.vcpu import Vcpu
    from emu.planes.kvm.vm import KvmPlane
    from emu.vcpu import VCpu

MODEL = (layout.PHYS_MASK, layout.CR4_VALID, layout.EFER_VALID, layout.XCR0_VALID, layout.XSS_VALID, layout.CET_VALID,
         layout.VENDOR)


class KvmModel(PlaneModel):
    """One for each VM. `handlers` receive what happens on a vCPU, by its id."""

    def __init__(self, machine: Machine, policy: Policy) -> None:
        self.machine, self.policy = machine, policy
        self.handlers: dict[int, Vcpu] = {}
        self._buses = {0: machine.pc.apic_bus}
        machine.plane_model = self
        for vcpu in machine.vcpus:
            vcpu.group.offer(group_layout.INTERFACE_POLICY, ())
            policy.apply(vcpu.group)
            vcpu.group.set(group_layout.ENTERED, 1)

    def add_twin(self, number: int, plane: KvmPlane) -> None:
        """A vCPU's copy of state for a plane. Planes are numbered without gaps: those between come into being too,
        but are not enabled."""
        vcpu = self.machine.vcpus[number]
        for n in range(len(vcpu.planes), plane.number + 1):
            made = Plane(vcpu.engine, number, n)
            for offset in MODEL:
                made.set(offset, vcpu.planes[0].get(offset))
            lapic = self._lapic(vcpu, n)
            vcpu.add_plane(made, lapic, LapicMsrs(lapic))
        twin = vcpu.planes[plane.number]
        if plane.vm.shares_fpu:
            twin.use_fpu(vcpu.planes[0].get(layout.FPU))
        plane.bus.attach(vcpu.lapics[plane.number])
        vcpu.group.mark(group_layout.ENABLED, plane.number, True)
        if number:
            twin.set(layout.ACTIVITY, WAIT_FOR_SIPI)

    def _lapic(self, vcpu: VCpu, number: int) -> LocalApic:
        def changed() -> None:
            if len(vcpu.planes) > number:
                vcpu.interrupt_changed(number)

        def signal(kind: str, vector: int) -> None:
            if kind == "nmi":
                vcpu.planes[number].set(layout.NMI, 1)
            else:
                self.machine.report(f"{kind.upper()} to plane {number}: ignored")

        return LocalApic(vcpu.index, self.machine.clock, send=self.bus(number).send, notify=changed, signal=signal,
                         eoi=lambda vector: None, extint=lambda: 0xFF, bsp=vcpu.lapics[0].bsp)

    def bus(self, number: int) -> ApicBus:
        """What links the local APICs of a plane; devices are on plane 0's."""
        if number not in self._buses:
            self._buses[number] = ApicBus(self.machine.report)
        return self._buses[number]

    # --- what the machine asks -----------------------------------------------------------------------------------

    def plane_name(self, number: int) -> str:
        """plane 0 and so on."""
        return f"plane {number}"

    def accepts_startup(self, vcpu: VCpu) -> bool:
        """Always: no series says otherwise."""
        return True

    def hypercall(self, vcpu: VCpu, plane: Plane) -> None:
        self.handlers[vcpu.index].hypercall(plane)

    def plane_event(self, vcpu: VCpu) -> None:
        self.handlers[vcpu.index].plane_event()

    def waits(self, vcpu: VCpu, plane: Plane, instruction: str) -> None:
        if vcpu.index in self.handlers:
            self.handlers[vcpu.index].waits(plane, instruction)

    def memory_denied(self, vcpu: VCpu, plane: Plane) -> None:
        self.handlers[vcpu.index].memory_denied(plane)

    def interrupt_changed(self, vcpu: VCpu, number: int) -> None:
        if vcpu.index in self.handlers:
            self.handlers[vcpu.index].notice()
