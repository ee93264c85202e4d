"""The VMPLs of a vCPU as planes of the machine: making them, and going from one to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.apicbus import ApicBus
from emu.irq.lapic import LocalApic
from emu.irq.lapic_msr import LapicMsrs
from emu.plane import Plane
from emu.planes.snp.context import Context
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.planes.snp.guest import SnpGuest
    from emu.vcpu import VCpu

# What a new plane takes from VMPL0's: the machine, not the guest's state.
MODEL = (layout.A20_MASK, layout.CR4_VALID, layout.XCR0_VALID, layout.VENDOR, layout.TSC_SCALE, layout.TSC_OFFSET)


class Planes:
    """The planes of all vCPUs of a guest."""

    NOT_STATE = ("_buses",)

    def __init__(self, guest: SnpGuest) -> None:
        self._guest = guest
        pc = guest.machine.pc
        self._buses = {0: pc.apic_bus}
        pc.ioapic.connect(lambda message: self.bus(self.interrupted).send(message))
        pc.interrupted = lambda: guest.machine.vcpus[0].lapics[self.interrupted]

    @property
    def interrupted(self) -> int:
        """The plane that devices interrupt."""
        return self._guest.hypervisor.device_vmpl()

    def bus(self, number: int) -> ApicBus:
        """What links the local APICs of one VMPL."""
        return self._buses.setdefault(number, ApicBus(self._guest.machine.report))

    def ensure(self, vcpu: VCpu, number: int) -> Context:
        """The context of a plane, which is made if there is none yet, with those below it."""
        vp = self._guest.vps[vcpu.index]
        for n in range(len(vcpu.planes), number + 1):
            plane = Plane(vcpu.engine, vcpu.index, n)
            for offset in MODEL:
                plane.set(offset, vcpu.planes[0].get(offset))
            lapic = self._lapic(vcpu, n)
            vp.contexts.append(Context(n))
            vcpu.add_plane(plane, lapic, LapicMsrs(lapic))
            self._guest.configure(plane, n, 0)
        return vp.contexts[number]

    def resize(self, vcpu: VCpu, count: int) -> None:
        """As many planes as a saved state has."""
        vp = self._guest.vps[vcpu.index]
        self.ensure(vcpu, count - 1)
        while len(vcpu.planes) > count:
            self.bus(len(vcpu.planes) - 1).detach(vcpu.remove_plane())
            vp.contexts.pop()

    def _lapic(self, vcpu: VCpu, number: int) -> LocalApic:
        """A VMPL's own local APIC."""
        machine, bus = self._guest.machine, self.bus(number)

        def ended(vector: int) -> None:
            if self.interrupted == number:
                machine.pc.ioapic.eoi(vector)

        def changed() -> None:
            if len(vcpu.planes) > number:
                vcpu.interrupt_changed(number)

        def signal(kind: str, vector: int) -> None:
            if kind == "nmi":
                self._guest.hypervisor.nmi(vcpu, number)
            elif kind in ("init", "sipi"):
                self._guest.hypervisor.startup(vcpu)

        lapic = LocalApic(vcpu.index, machine.clock, send=bus.send, notify=changed, signal=signal,
                          eoi=ended, extint=machine.pc.pic.acknowledge, bsp=vcpu.lapics[0].bsp)
        bus.attach(lapic)
        return lapic

    def resume(self, vcpu: VCpu) -> None:
        """VMRUN of the plane that the policy chooses; the hypervisor is told if that fails."""
        group, engine = vcpu.group, self._guest.machine.engine
        source = vcpu.plane
        number = engine.select(group.address)
        if number == group.active and source.get(layout.ACTIVITY):
            return
        problem = self._guest.world.vmrun(vcpu, number)
        if problem is not None:
            self._guest.hypervisor.vmrun_failed(vcpu, number, *problem)
        elif number != group.active:
            source.set(layout.ARG, number)
            source.set(layout.ARG + 8, source.get(layout.RIP))
            engine.call("enter_plane", source)

    def permit(self, vcpu: VCpu, number: int, runnable: bool) -> None:
        """A plane may be chosen, or not any more."""
        vcpu.group.mark(group_layout.ENABLED, number, True)
        vcpu.group.mark(group_layout.RUNNABLE, number, runnable)
