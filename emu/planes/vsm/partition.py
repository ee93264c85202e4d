"""A partition and its VTLs (TLFS, Virtual Secure Mode): what the machine asks of it, and what hypercalls and MSRs
need."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from emu.irq.apicbus import ApicBus
from emu.mem.ram import PAGE
from emu.planes import policies
from emu.planes.model import PlaneModel
from emu.planes.vsm import (
    calls,
    codes,
    config,
    cpuid,
    enable,
    flush,
    install,
    ipi,
    launch,
    protect,
    return_actions,
    shape,
    start,
    translate,
    vina,
    vp_registers,
)
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.connections import TEST_PORT, TEST_PORTS, Connections
from emu.planes.vsm.dialects import DIALECTS
from emu.planes.vsm.hypercall import execute, read_input
from emu.planes.vsm.intercepts import Intercepts
from emu.planes.vsm.overlay import HypercallPages
from emu.planes.vsm.protection import Protections
from emu.planes.vsm.shared import PRIVATE, SHARED
from emu.planes.vsm.tlb_locks import TlbLocks
from emu.planes.vsm.vp import Vp
from jit import group_layout, layout, pmap

if TYPE_CHECKING:
    from emu.load.model import Image
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.planes.journal import Intercept
    from emu.planes.layers import Layer
    from emu.vcpu import VCpu

# Imported for the hypercalls that they register.
CALL_MODULES = (calls, enable, flush, install, ipi, protect, start, translate, vp_registers)


class PartitionVtl:
    """What a VTL has once for all virtual processors: MSRs of partition scope and its VsmPartitionConfig."""

    def __init__(self, mbec: bool = False) -> None:
        self.guest_os_id: int = 0
        self.hypercall: int = 0
        self.reference_tsc: int = 0
        self.config: int = config.RESET
        self.mbec: bool = mbec


class Partition(PlaneModel):
    """The hypervisor's side of one partition.

    dialect: a name from `DIALECTS`. max_vtl: the highest VTL that the guest may enable, 0 (no VSM) to 15.
    """

    saved = PRIVATE
    resets = True

    def __init__(self, machine: Machine, dialect: str = "ms", max_vtl: int = 1) -> None:
        assert 0 <= max_vtl < group_layout.MAX_PLANES
        self.machine: Machine = machine
        self.dialect, self.max_vtl = DIALECTS[dialect], max_vtl
        self.enabled = 1                                # set of VTLs
        self.paravisor = 0                              # the VTL that was there at the start, from VTL2 on; 0: none
        self.guest_max_vtl = max_vtl                    # the highest that VTLs below it may enable
        self.vtls: dict[int, PartitionVtl] = {0: PartitionVtl()}
        self.pages = HypercallPages(machine, amd=machine.cpu.amd)
        self.protections = Protections(machine)
        self.intercepts = Intercepts(self)
        self.vps: list[Vp] = []
        self.tlb_locks = TlbLocks(self.vps)
        self.connections = Connections(self)
        self.crash = [0] * 5
        self.stale: set[int] = set()                    # VTLs whose protections a hypercall has changed
        self.calls: dict[int, int] = {}                 # hypercalls so far, by code
        self._buses = {0: machine.pc.apic_bus}
        self._reported: set[str] = set()
        self.vps += [Vp(self, vcpu) for vcpu in machine.vcpus]
        machine.pc.bus.add_ports(TEST_PORT, TEST_PORTS, self.connections, "Hyper-V test device")
        for vp in self.vps:
            vp.vcpu.group.offer(group_layout.INTERFACE_VSM, SHARED)
            policies.VSM.apply(vp.vcpu.group)
            vp.vcpu.group.set(group_layout.ENTERED, group_layout.ALL_PLANES)    # VTLs are enabled with a context
            vp.vcpu.msrs.owners.append(vp.msrs)
            vp.vcpu.cpuid.overlay = partial(self._cpuid, vp)

    def _cpuid(self, vp: Vp, leaf: int, _: int) -> cpuid.Registers | None:
        bits = self.vps[0].vcpu.planes[0].get(layout.PHYS_MASK).bit_length()
        return cpuid.leaf(leaf, len(self.vps), bits, vsm=self.highest(vp.active) > 0)

    # --- what the machine asks (emu/planes/model.py) -------------------------------------------------------------

    @property
    def intercepts_seen(self) -> Sequence[Intercept]:
        """The last secure intercepts."""
        return tuple(self.intercepts.journal)

    def plane_name(self, number: int) -> str:
        """VTL0 and so on."""
        return f"VTL{number}"

    def hypercall(self, vcpu: VCpu, plane: Plane) -> None:
        """A hypercall other than VTL call and VTL return, which compiled code carries out (jit/vsm_call.py) but for
        a return that ends TLB locks or has a list of actions: it is executed again without them."""
        vp = self.vps[vcpu.index]
        if read_input(plane).code == codes.VTL_RETURN:
            self.tlb_locks.returned(vp, vp.active)
            return_actions.carry_out(vp, vp.active)
            return
        execute(vp, plane)
        if self.stale:
            for vp in self.vps:
                vp.refresh_assist_pages()
        while self.stale:
            self.protections.flush(self.stale.pop())

    @property
    def launches(self) -> int:
        """VTL1, and VTL2 where it is offered."""
        return self.max_vtl

    def launch(self, image: Image, plane: int) -> None:
        """A VTL was enabled before the guest's first instruction."""
        launch.start(self, image, plane)

    def resize(self, vcpu: VCpu, planes: int, enabled: int, state: dict[str, Any]) -> None:
        """As many planes and VTLs as a saved state has (emu/snapshot)."""
        shape.resize(self, self.vps[vcpu.index], planes, enabled, state[".enabled"])

    def restored(self) -> None:
        """The planes use the tables that follow from the masks."""
        self.protect()
        self.intercepts.forget_future(self.machine.clock.icount)

    def accepts_startup(self, vcpu: VCpu) -> bool:
        """INIT and SIPI to VTL0 are dropped once a higher VTL other than a paravisor is enabled there (TLFS, "VTL
        interrupts"), or one has set DenyLowerVtlStartup."""
        denied = any(vtl.config & config.DENY_LOWER_VTL_STARTUP for number, vtl in self.vtls.items() if number)
        return self.visible(self.vps[vcpu.index].enabled, 0) == 1 and not denied

    def intercepts_startup(self, vcpu: VCpu, vector: int) -> bool:
        sender = self.machine.vcpus[self.machine.turn]
        return self.intercepts.startup(self.vps[sender.index], sender.plane, vcpu.index, vector)

    def memory_denied(self, vcpu: VCpu, plane: Plane) -> None:
        self.intercepts.memory(self.vps[vcpu.index], plane)

    def layers(self, vcpu: VCpu, plane: Plane, gpa: int) -> list[Layer]:
        """The masks of the VTLs above."""
        return self.protections.layers(plane.number, gpa, self.vps[vcpu.index].mbec_active(plane.number))

    def register_trapped(self, vcpu: VCpu, plane: Plane) -> None:
        self.intercepts.register(self.vps[vcpu.index], plane)

    def notify(self, vcpu: VCpu) -> None:
        vina.notify(self.vps[vcpu.index])

    def interrupt_changed(self, vcpu: VCpu, number: int) -> None:
        if number < vcpu.group.active:
            vina.notify(self.vps[vcpu.index])

    def intercepts_msr(self, vcpu: VCpu, plane: Plane, index: int, value: int | None) -> bool:
        return self.intercepts.msr(self.vps[vcpu.index], plane, index, value)

    def intercepts_port(self, vcpu: VCpu, plane: Plane, port: int, size: int, value: int | None) -> bool:
        return (self.intercepts.installed.has_ports()
                and self.intercepts.port(self.vps[vcpu.index], plane, port, size, value))

    def intercepts_unmapped(self, vcpu: VCpu, plane: Plane, gpa: int, write: bool) -> bool:
        return self.intercepts.unmapped(self.vps[vcpu.index], plane, gpa, write)

    def intercepts_cpuid(self, vcpu: VCpu, plane: Plane, leaf: int, subleaf: int) -> bool:
        return self.intercepts.cpuid(self.vps[vcpu.index], plane, leaf, subleaf)

    def intercepts_shutdown(self, vcpu: VCpu, plane: Plane) -> bool:
        return self.intercepts.shutdown(self.vps[vcpu.index], plane)

    def device_may_access(self, gpa: int, write: bool) -> bool:
        """Devices are VTL0's (TLFS, "Memory access protections")."""
        return self.protections.allows(0, gpa, int(write))

    def reset(self) -> None:
        """All VTLs above 0 are gone, with what they configured; memory is cleared unless all of them said otherwise
        (TLFS, Virtual Secure Mode, "Partition reset")."""
        zero = any(state.config & config.ZERO_MEMORY_ON_RESET for vtl, state in self.vtls.items() if vtl)
        for vtl, state in self.vtls.items():
            if state.hypercall & 1:
                self.pages.disable(vtl, state.hypercall & -PAGE)
        self.protections.clear()
        self.tlb_locks.clear()
        self.intercepts.installed.clear()
        self.intercepts.results.clear()
        self.crash = [0] * len(self.crash)
        self.enabled, self.vtls = 1, {0: PartitionVtl()}
        self.paravisor, self.guest_max_vtl = 0, self.max_vtl
        for vp in self.vps:
            vp.reset()
        if zero:
            self.machine.map.clear()
            translator = self.machine.engine.translator
            for gpa in list(translator.pages):
                translator.invalidate(gpa)
            self.machine.flush_all()

    # --- for the hypercalls and MSRs -----------------------------------------------------------------------------

    def report(self, what: str) -> None:
        """Name something that is not implemented, once."""
        if what not in self._reported:
            self._reported.add(what)
            self.machine.report(f"Hyper-V: {what} is not implemented")

    def note_hypercall(self, code: int) -> None:
        """Count a hypercall."""
        self.calls[code] = self.calls.get(code, 0) + 1

    def is_ram(self, gpa: int) -> bool:
        """Whether a page may hold an overlay page: RAM, or another VTL's hypercall page."""
        memory = self.machine.memory
        return gpa < memory.top and (bool(memory.map[gpa // PAGE] & pmap.WRITE) or self.pages.enabled(gpa & -PAGE))

    def may_overlay(self, vtl: int, gpa: int) -> bool:
        """Whether a VTL may have an overlay page there, or a page that the hypervisor writes for it: not over memory
        that a higher VTL protects from its stores."""
        return self.is_ram(gpa) and all(self.protections.allows(vtl, gpa, access) for access in (0, 1))

    def store(self, vtl: int, gpa: int, data: bytes) -> None:
        """The hypervisor writes within a page on a VTL's behalf; what that VTL could not write itself, by now, is
        dropped."""
        memory = self.machine.memory
        if gpa < memory.top and memory.map[gpa // PAGE] & pmap.WRITE and self.protections.allows(vtl, gpa, 1):
            self.machine.dma_write(gpa, data)

    def enable_vtl(self, number: int, mbec: bool = False) -> None:
        """A VTL becomes available to all virtual processors."""
        self.enabled |= 1 << number
        self.vtls[number] = PartitionVtl(mbec)

    def highest(self, vtl: int) -> int:
        """The highest VTL that a VTL may enable, or has."""
        return self.max_vtl if vtl >= self.paravisor else self.guest_max_vtl

    def visible(self, vtls: int, viewer: int) -> int:
        """A set of VTLs as a VTL sees it: without the paravisor above it."""
        return vtls & ~(1 << self.paravisor) if viewer < self.paravisor else vtls

    def protect(self) -> None:
        """Protections changed as a whole: tell all virtual processors."""
        for vp in self.vps:
            vp.protect()

    def apic_bus(self, number: int) -> ApicBus:
        """What links the local APICs of one VTL: inter-processor interrupts never cross VTLs."""
        return self._buses.setdefault(number, ApicBus(self.machine.report))

    def check_self(self, partition_id: int) -> None:
        """HvError unless an operand names the caller's own partition."""
        if partition_id != codes.PARTITION_SELF:
            raise HvError(codes.INVALID_PARTITION_ID)

    def vp(self, caller: Vp, index: int) -> Vp:
        """The virtual processor that an operand names. HvError: there is none."""
        if index == codes.VP_SELF:
            return caller
        if index >= len(self.vps):
            raise HvError(codes.INVALID_VP_INDEX)
        return self.vps[index]
