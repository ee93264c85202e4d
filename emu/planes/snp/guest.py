"""An SEV-SNP guest as the machine sees it: its planes are VMPLs, each with a VMSA for every vCPU (APM Vol. 2
15.36.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from emu.mem.ram import PAGE
from emu.planes.model import PlaneModel
from emu.planes.policies import parse as parse_policy
from emu.planes.snp import cipher, exits, injection, instructions, intercepts, vc, vmsa
from emu.planes.snp.checks import NPF_RSV, Access, NestedFault, NotValidated, check
from emu.planes.snp.context import Context, Vp
from emu.planes.snp.firmware import Firmware
from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.layers import layers
from emu.planes.snp.msrs import SnpMsrs
from emu.planes.snp.nested import NestedTable
from emu.planes.snp.options import ASID, C_BIT, Options
from emu.planes.snp.planes import Planes
from emu.planes.snp.rmp import Rmp
from emu.planes.snp.tables import Tables
from emu.planes.snp.world import World
from jit import group_layout, guards, layout, run_slots

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.planes.layers import Layer
    from emu.vcpu import VCpu

WRITE, FETCH = 1, 2                     # DENIED_ACCESS


class SnpGuest(PlaneModel):
    """The processor's side of one guest: RMP, VMSAs, exceptions and exits. `hypervisor` is the other side: the class of
    emu/planes/snp/hypervisor, or one of the user's."""

    saved = ("VMSA",)

    def __init__(self, machine: Machine, options: Options | None = None,
                 hypervisor: type[Hypervisor] = Hypervisor) -> None:
        self.machine, self.options, self.asid = machine, options or Options(), ASID
        frames = machine.map.space // PAGE
        ram = np.frombuffer(machine.memory.map_block.view, np.uint64)[:frames] != 0        # a copy: launches add to it
        self.rmp = Rmp(machine.memory.top // PAGE)
        self.nested = NestedTable(frames, ram)
        unseen = cipher.view_of if self.options.ciphertext else lambda frame, page: frame + frames
        self.tables = Tables(self.rmp, self.nested, self.asid, unseen, self.flush)
        self.tables.lazy = self.options.lazy
        self.rmp.running = self._running_pages
        self.rmp.vmsas_changed = self._publish_all
        self.cipher = cipher.Cipher(machine, self.rmp)
        self.vps: list[Vp] = [Vp(vcpu.index) for vcpu in machine.vcpus]
        self.world = World(self)
        self.planes = Planes(self)
        self._reported: set[str] = set()
        policy = parse_policy(self.options.policy)
        machine.engine.provide(run_slots.VMGEXIT)
        for vcpu in machine.vcpus:
            vcpu.group.offer(group_layout.INTERFACE_POLICY, ())
            vcpu.group.set(group_layout.SNP, 1)
            vcpu.group.set(group_layout.ENTERED, 1)
            policy.apply(vcpu.group)
            vcpu.msrs.owners.insert(0, SnpMsrs(self, vcpu))
        self.firmware = Firmware(machine.seed, machine.vcpus[0].cpuid.signature, machine.vcpus[0].cpuid.read)
        self.hypervisor = hypervisor(self)
        for vcpu in machine.vcpus:
            vcpu.cpuid.overlay = self.hypervisor.cpuid_leaf
            self.configure(vcpu.plane, 0, vmsa.SNP_ACTIVE)
            self.publish(vcpu)

    # --- what parts of it ask ------------------------------------------------------------------------------------

    def running(self, vp: Vp) -> Context:
        """The context of a vCPU's active plane."""
        return vp.contexts[self.machine.vcpus[vp.index].group.active]

    def _running_pages(self) -> list[int]:
        pages = (self.running(vp).page for vp in self.vps if not vp.exited)
        return [page for page in pages if page is not None]

    def vmpl(self, vcpu: VCpu, plane: Plane) -> int:
        """The VMPL at which a plane runs."""
        return self.vps[vcpu.index].contexts[plane.number].vmpl

    def report(self, what: str, verdict: str = "is not implemented") -> None:
        """Name something, by default something that is not implemented, once."""
        if what not in self._reported:
            self._reported.add(what)
            self.machine.report(f"SEV-SNP: {what} {verdict}")

    def flush(self) -> None:
        """Drop all translations of the guest."""
        self.machine.flush_all()

    def configure(self, plane: Plane, vmpl: int, features: int) -> None:
        """Make a plane one of an SNP guest, at a VMPL."""
        by_address = bool(features & vmsa.VTOM)
        physical = min(self.machine.cpu.model.physical, C_BIT)
        for field, value in ((layout.SNP_ACTIVE, 1), (layout.NESTED, self.tables.places),
                             (layout.NESTED_PAGES, self.nested.frames), (layout.DENIALS, self.tables.denials(vmpl)),
                             (layout.C_BIT, 0 if by_address else 1 << C_BIT), (layout.PHYS_MASK, (1 << physical) - 1),
                             (layout.EFER_VALID, self.machine.cpu.efer_valid | vmsa.EFER_SVME),
                             (layout.VMPL_SSS, int(bool(features & vmsa.VMPL_SSS))),
                             (layout.TSC_RATIO, layout.TSC_RATIO_ONE),
                             (layout.TRAPS, intercepts.traps(self.hypervisor.intercepts, features))):
            plane.set(field, value)

    def publish(self, vcpu: VCpu) -> None:
        """Tell compiled code which VMSAs it may run by itself (jit/vmgexit.py)."""
        group = vcpu.group
        group.set(group_layout.SNP_DIRECT, int(self.hypervisor.direct))
        for context in self.vps[vcpu.index].contexts:
            page = context.page
            runs = page is not None and self.rmp.vmsa[page] and context.features
            group.set(group_layout.VMSAS + 8 * context.number, self.world.host(page) if runs and page else 0)

    def _publish_all(self) -> None:
        for vcpu in self.machine.vcpus:
            self.publish(vcpu)

    def resume(self, vcpu: VCpu) -> None:
        """VMRUN of the plane that the policy chooses."""
        self.planes.resume(vcpu)

    def refuse(self, vcpu: VCpu, plane: Plane, nested: NestedFault | None) -> None:
        """An access is #NPF, or without one #VC for a page that is not validated."""
        linear = plane.get(layout.DENIED_LINEAR)
        if nested is None:
            vc.event(self, vcpu, exits.PAGE_NOT_VALIDATED, linear=linear)
        elif self.hypervisor.is_mmio(nested):
            vc.event(self, vcpu, exits.NPF, nested.info1 | NPF_RSV, nested.gpa)
        else:
            self.world.vmexit(vcpu, exits.NPF, nested.info1, nested.gpa, injection.pending(vcpu))
            self.hypervisor.nested_fault(vcpu, nested)
            self.resume(vcpu)

    # --- what the machine asks -----------------------------------------------------------------------------------

    def plane_name(self, number: int) -> str:
        """VMPL0 and so on."""
        return f"VMPL{number}"

    def loaded(self) -> None:
        self.hypervisor.launch()

    def accepts_startup(self, vcpu: VCpu) -> bool:
        """INIT and start-up IPIs change no registers of an SNP guest; what waits for them goes on."""
        self.hypervisor.startup(vcpu)
        return False

    def slice_begins(self, vcpu: VCpu) -> None:
        for context in self.vps[vcpu.index].contexts:
            if context.page is not None:
                self.world.note_written(context.page)       # compiled switches do not say so (jit/vmgexit.py)
        if self.vps[vcpu.index].exited:
            self.resume(vcpu)

    def slice_ends(self, vcpu: VCpu) -> None:
        self.world.vmexit(vcpu, exits.INTR)

    def plane_event(self, vcpu: VCpu) -> None:
        self.world.vmexit(vcpu, exits.INTR)
        self.resume(vcpu)

    def memory_denied(self, vcpu: VCpu, plane: Plane) -> None:
        kind, how = plane.get(layout.DENIED_ACCESS), plane.get(layout.DENIED_HOW)
        access = Access(plane.get(layout.DENIED_GPA), kind == WRITE, kind == FETCH, bool(how & guards.HOW_WALK),
                        not how & guards.HOW_SHARED, plane.get(layout.CPL) == 3, self.vmpl(vcpu, plane),
                        bool(how & guards.HOW_SHADOW_STACK), bool(plane.get(layout.VMPL_SSS)))
        refusal = check(self.rmp, self.nested, self.asid, access)
        if refusal is not None:
            self.refuse(vcpu, plane, None if isinstance(refusal, NotValidated) else refusal)

    def layers(self, vcpu: VCpu, plane: Plane, gpa: int) -> list[Layer]:
        """Nested page table and RMP."""
        return layers(self, self.vmpl(vcpu, plane), gpa)

    def snp_instruction(self, vcpu: VCpu, plane: Plane) -> None:
        instructions.execute(self, vcpu, plane)

    def vmgexit(self, vcpu: VCpu, plane: Plane) -> None:
        """Trap-like: the exit is after the instruction (15.35.6)."""
        plane.retire()
        self.world.vmexit(vcpu, exits.VMGEXIT)
        self.hypervisor.vmgexit(vcpu)
        self.resume(vcpu)

    def hypercall(self, vcpu: VCpu, plane: Plane) -> None:
        vc.event(self, vcpu, exits.VMMCALL)

    def register_trapped(self, vcpu: VCpu, plane: Plane) -> None:
        vc.event(self, vcpu, intercepts.BY_TRAP[plane.get(layout.TRAPPED)])

    def waits(self, vcpu: VCpu, plane: Plane, instruction: str) -> None:
        if instruction == "HLT":
            self.world.vmexit(vcpu, exits.HLT)
            self.hypervisor.halted(vcpu)
            if not plane.get(layout.ACTIVITY):
                self.resume(vcpu)

    def intercepts_counter(self, vcpu: VCpu, plane: Plane) -> bool:
        return self._intercepts(vcpu, exits.RDPMC)

    def intercepts_msr(self, vcpu: VCpu, plane: Plane, index: int, value: int | None) -> bool:
        return index not in SnpMsrs.SWAPPED and self._intercepts(vcpu, exits.MSR, int(value is not None))

    def intercepts_port(self, vcpu: VCpu, plane: Plane, port: int, size: int, value: int | None) -> bool:
        """Always, whatever the hypervisor's bitmap says (15.36.12). #VC does not say more than that."""
        reflects = self.running(self.vps[vcpu.index]).has(vmsa.REFLECT_VC)
        vc.event(self, vcpu, exits.IOIO,
                 intercepts.ioio_info(self.machine, plane, port, size, value is None) if reflects else 0)
        return True

    def intercepts_cpuid(self, vcpu: VCpu, plane: Plane, leaf: int, subleaf: int) -> bool:
        """Always, likewise."""
        vc.event(self, vcpu, exits.CPUID)
        return True

    def _intercepts(self, vcpu: VCpu, code: int, info1: int = 0) -> bool:
        if code not in self.hypervisor.intercepts:
            return False
        vc.event(self, vcpu, code, info1)
        return True

    def intercepts_shutdown(self, vcpu: VCpu, plane: Plane) -> bool:
        self.world.vmexit(vcpu, exits.SHUTDOWN)
        return self.hypervisor.shutdown(vcpu)

    def injects(self, vcpu: VCpu, plane: Plane) -> bool:
        return self.hypervisor.injects(vcpu, plane)

    def interrupt_changed(self, vcpu: VCpu, number: int) -> None:
        self.hypervisor.interrupt_changed(vcpu, number)

    def nmi(self, vcpu: VCpu, number: int) -> None:
        self.hypervisor.nmi(vcpu, number)

    def keeps_priority(self, vcpu: VCpu, number: int) -> bool:
        """Under alternate injection it is V_TPR of the VMSA."""
        return self.hypervisor.alternate(vcpu, number)

    def device_address(self, gpa: int) -> int:
        """Devices see shared memory only."""
        return self.nested.shared_backing(gpa // PAGE) * PAGE + gpa % PAGE

    def restored(self) -> None:
        self.tables.refresh(0, self.nested.frames)
        for vcpu, vp in zip(self.machine.vcpus, self.vps, strict=True):
            for context in vp.contexts:
                self.configure(vcpu.planes[context.number], context.vmpl, context.features)
                context.saved = b""
            active = self.running(vp)
            if active.page is not None:                     # its registers are those in the page, or further on
                active.saved = bytes(self.world.view(active.page).page)
            self.publish(vcpu)

    def resize(self, vcpu: VCpu, planes: int, enabled: int, state: dict[str, Any]) -> None:
        self.planes.resize(vcpu, planes)
