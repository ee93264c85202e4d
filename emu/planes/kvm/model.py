"""The planes of a KVM VM as the machine sees them: KVM's part, the planes' local APICs, and what goes to the VMM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from emu.irq.apicbus import ApicBus
from emu.irq.lapic import LocalApic
from emu.irq.lapic_msr import LapicMsrs
from emu.plane import Plane
from emu.planes.kvm import calls, cpuid, startup, vina
from emu.planes.model import PlaneModel
from emu.planes.policies import Policy
from emu.planes.shared import saved, shared_words
from emu.stop import POLICY
from emu.waiting import WAIT_FOR_SIPI
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.vcpu import VCpu

MODEL = (layout.PHYS_MASK, layout.A20_MASK, layout.CR4_VALID, layout.EFER_VALID, layout.XCR0_VALID,
         layout.XSS_VALID, layout.CET_VALID, layout.VENDOR)


class Vmm(Protocol):
    """What userspace does for one vCPU."""

    def hypercall(self, plane: Plane) -> None:
        """A hypercall that KVM does not carry out."""

    def plane_event(self) -> None:
        """A plane that userspace asked about has an event."""

    def create_vcpu(self, plane: Plane, number: int, apic_id: int) -> None:
        """A guest wants to start a plane that a vCPU does not have; its hypercall is made again."""

    def waits(self, plane: Plane, instruction: str) -> None:
        """HLT, MWAIT or PAUSE was executed."""

    def memory_denied(self, plane: Plane) -> None:
        """A plane's memory attributes denied an access."""

    def interrupt_window(self, plane: Plane) -> bool:
        """A plane could take an interrupt; whether that is userspace's."""

    def notice(self) -> None:
        """Something changed that may make the vCPU runnable."""


class KvmModel(PlaneModel):
    """One for each VM. `limit`: planes that may exist. `handlers`: what userspace does, by vCPU. `twins`: (vCPU, plane)
    of planes above 0 that exist; `armed`: contexts in which INIT starts one."""

    NOT_STATE = ("policy",)

    def __init__(self, machine: Machine, policy: Policy, limit: int = group_layout.MAX_PLANES) -> None:
        self.machine, self.policy, self.limit = machine, policy, limit
        self.shares_fpu = "fpu" in policy.shares
        self.handlers: dict[int, Vmm] = {}
        self.twins: set[tuple[int, int]] = set()
        self.armed: dict[tuple[int, int], bytes] = {}
        self.saved = (*saved(policy.shares), *(("pkru",) if self.shares_fpu else ()))
        self._buses = {0: machine.pc.apic_bus}
        machine.plane_model = self
        for vcpu in machine.vcpus:
            vcpu.group.offer(group_layout.INTERFACE_POLICY, shared_words(policy.shares))
            policy.apply(vcpu.group)
            vcpu.group.set(group_layout.ENTERED, 1)
            vcpu.cpuid.overlay = lambda leaf, _: cpuid.leaf(leaf, policy, limit)

    def add_twin(self, number: int, plane: int) -> None:
        """A vCPU's copy of state for a plane. Planes are numbered without gaps: those between come into being too,
        but are not enabled."""
        vcpu = self.machine.vcpus[number]
        for n in range(len(vcpu.planes), plane + 1):
            made = Plane(vcpu.engine, number, n)
            made.init_fpu()
            for offset in MODEL:
                made.set(offset, vcpu.planes[0].get(offset))
            lapic = self._lapic(vcpu, n)
            vcpu.add_plane(made, lapic, LapicMsrs(lapic))
        twin = vcpu.planes[plane]
        if self.shares_fpu:
            twin.use_fpu(vcpu.planes[0].get(layout.FPU))
            twin.set(layout.PKRU_ASIDE, 1 << 32)
        self.bus(plane).attach(vcpu.lapics[plane])
        self.twins.add((number, plane))
        vcpu.group.mark(group_layout.ENABLED, plane, True)
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
                startup.signal(self, vcpu, number, kind, vector)

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
        """INIT and SIPI to plane 0 are dropped where a more privileged plane runs, if the policy says so."""
        return not self.policy.drops_lower_init or vcpu.group.get(group_layout.ENTERED) == 1

    def resize(self, vcpu: VCpu, planes: int, enabled: int, state: dict[str, Any]) -> None:
        while len(vcpu.planes) > planes:
            number, lapic = len(vcpu.planes) - 1, vcpu.remove_plane()
            if (vcpu.index, number) in self.twins:
                self.bus(number).detach(lapic)
                self.twins.remove((vcpu.index, number))
        for number in range(1, planes):
            if enabled >> number & 1 and (vcpu.index, number) not in self.twins:
                self.add_twin(vcpu.index, number)

    def hypercall(self, vcpu: VCpu, plane: Plane) -> None:
        """VMCALL or VMMCALL that compiled code did not carry out (jit/plane_call.py)."""
        if not calls.carry_out(self, vcpu, plane):
            self.handlers[vcpu.index].hypercall(plane)

    def plane_event(self, vcpu: VCpu) -> None:
        if self.policy.mode == group_layout.MODE_SCRIPT:
            from emu.planes.script import fault
            self.machine.stop(POLICY, f"policy {self.policy.name}: {fault(vcpu.group)}", vcpu)
            return
        self.handlers[vcpu.index].plane_event()

    def waits(self, vcpu: VCpu, plane: Plane, instruction: str) -> None:
        if vcpu.index in self.handlers:
            self.handlers[vcpu.index].waits(plane, instruction)

    def memory_denied(self, vcpu: VCpu, plane: Plane) -> None:
        self.handlers[vcpu.index].memory_denied(plane)

    def interrupt_window(self, vcpu: VCpu, plane: Plane) -> bool:
        return vcpu.index in self.handlers and self.handlers[vcpu.index].interrupt_window(plane)

    def notify(self, vcpu: VCpu) -> None:
        vina.notify(vcpu)

    def interrupt_changed(self, vcpu: VCpu, number: int) -> None:
        if number != vcpu.group.active:
            vina.notify(vcpu)
        if vcpu.index in self.handlers:
            self.handlers[vcpu.index].notice()
