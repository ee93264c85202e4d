"""VMRUN and #VMEXIT of an SEV-SNP guest: which VMSA may be run, loading it, saving it (APM Vol. 2 15.35.3,
15.36.12)."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from emu.mem.ram import PAGE
from emu.planes.snp import exits, injection, vmsa
from emu.planes.snp.context import Context, Vp, described
from emu.planes.snp.rmp import VMPLS
from emu.planes.snp.vmsa import Vmsa
from jit import group_layout, layout, pmap, vmsa_rules

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.planes.snp.guest import SnpGuest
    from emu.vcpu import VCpu

IMPLEMENTED = (vmsa.SNP_ACTIVE | vmsa.VTOM | vmsa.REFLECT_VC | vmsa.RESTRICTED_INJECTION | vmsa.ALTERNATE_INJECTION
               | vmsa.DEBUG_SWAP | vmsa.VMPL_SSS | vmsa.SECURE_TSC | vmsa.VMGEXIT_PARAMETER
               # What these forbid or flush is not there: IBS of the host, branch predictors, a sibling thread.
               | vmsa.PREVENT_HOST_IBS | vmsa.BTB_ISOLATION | vmsa.SMT_PROTECTION | vmsa.IBPB_ON_ENTRY)

# Exits that are not an instruction's: there is no RIP after it (APM Vol. 2 15.7.1)
NO_INSTRUCTION = frozenset((exits.INTR, exits.NPF, exits.PAGE_NOT_VALIDATED, exits.SHUTDOWN))
# What jit/vmsa_checks.py may find wrong with the registers
BROKEN = {
    vmsa_rules.NOT_SVME: "EFER.SVME is 0", vmsa_rules.BAD_CACHING: "CR0.NW is 1 without CR0.CD",
    vmsa_rules.BAD_CR0: "CR0 has bits above 31", vmsa_rules.BAD_CR3: "CR3 has bits beyond physical addresses",
    vmsa_rules.BAD_CR4: "CR4 has bits that this processor does not", vmsa_rules.BAD_DR6: "DR6 has bits above 31",
    vmsa_rules.BAD_DR7: "DR7 has bits above 31", vmsa_rules.BAD_EFER: "EFER has bits that this processor does not",
    vmsa_rules.BAD_CET: "CR4.CET is 1 without CR0.WP", vmsa_rules.BAD_PAE: "long mode has no CR4.PAE",
    vmsa_rules.BAD_PE: "CR0.PG is 1 without CR0.PE", vmsa_rules.BAD_CS: "CS is 64-bit and 32-bit code at once",
}


class World:
    """The processor's side of running a guest's VMSAs."""

    NOT_STATE = ("_views",)

    def __init__(self, guest: SnpGuest) -> None:
        self._guest = guest
        self._machine = guest.machine
        self._views: dict[int, Vmsa] = {}

    # --- pages -------------------------------------------------------------------------------------------------------

    def host(self, page: int) -> int:
        """Host address of a system-physical page."""
        return self._machine.memory.map[page] & ~pmap.FLAGS_MASK

    def view(self, page: int) -> Vmsa:
        """A VMSA in place. Whoever writes to it tells the memory (`note_written`)."""
        host = self.host(page)
        if host not in self._views:
            self._views[host] = Vmsa(memoryview((ctypes.c_ubyte * PAGE).from_address(host)).cast("B"))
        return self._views[host]

    def note_written(self, page: int) -> None:
        """A page was written behind the engine's back."""
        self._machine.memory.map[page] &= ~pmap.CLEAN

    # --- VMRUN -------------------------------------------------------------------------------------------------------

    def refusal(self, vp: Vp, context: Context, event: int = 0) -> tuple[int, str] | None:
        """Why VMRUN of a context's VMSA fails: exit code and reason; None: it does not. `event`: EVENTINJ of the
        VMCB."""
        guest, page = self._guest, context.page
        table = guest.rmp
        if page is None or not table.covered(page):
            return exits.INVALID, "there is no VMSA"
        if not table.assigned[page] or table.asid[page] != guest.asid or table.immutable[page] or not table.vmsa[page]:
            return exits.INVALID, "the RMP does not let its page be a VMSA"
        if any(other is not vp and not other.exited and guest.running(other).page == page for other in guest.vps):
            return exits.INVALID, "its VMSA runs on another processor"
        state = self.view(page)
        features = state["sev_features"]
        if not state["efer"] & vmsa.EFER_SVME:
            return exits.INVALID, "EFER.SVME is 0"
        if not features & vmsa.SNP_ACTIVE or features & ~(IMPLEMENTED & guest.hypervisor.allowed_features):
            return exits.INVALID, f"SEV_FEATURES {features:#x} ({described(features)}) are not allowed"
        if state["vmpl"] >= VMPLS:
            return exits.INVALID, f"there is no VMPL{state['vmpl']}"
        problem = injection.illegal(features, state, event)
        if problem:
            return exits.INVALID, problem
        if features & vmsa.ALTERNATE_INJECTION and state["vintr_ctrl"] & vmsa.V_BUSY:
            return exits.BUSY, "VINTR_CTRL.BUSY is 1"
        return None

    def vmrun(self, vcpu: VCpu, number: int) -> tuple[int, str] | None:
        """VMRUN of a plane's VMSA: None, or why it failed."""
        guest = self._guest
        vp = guest.vps[vcpu.index]
        context = vp.contexts[number]
        event, vp.eventinj = vp.eventinj, 0
        problem = self.refusal(vp, context, event)
        if problem is not None:
            return problem
        assert context.page is not None
        state, plane = self.view(context.page), vcpu.planes[number]
        self._set_up(vcpu, context, state, plane)
        if bytes(state.page) != context.saved:
            plane.set(layout.ARG, self.host(context.page))
            self._machine.engine.call("check_vmsa", plane)
            rule = plane.get(layout.ARG + 8)
            if rule != vmsa_rules.GOOD:
                return exits.INVALID, BROKEN[rule]
            self._machine.engine.call("load_vmsa", plane)
            plane.set(layout.RESUME, 0)
            injection.keep_only_the_hosts(plane)
        vp.exited = False
        self._follow_processor(vcpu, state, plane)
        injection.enter(plane, context, state, event)
        return None

    def _follow_processor(self, vcpu: VCpu, state: Vmsa, plane: Plane) -> None:
        """Translations of a VMSA that ran on another processor, or in which software wrote 0 to PCPU_ID, are dropped;
        another value there says that this is done (15.36.15)."""
        if state["pcpu_id"] != vcpu.index + 1:
            state["pcpu_id"] = vcpu.index + 1
            plane.flush()

    def _set_up(self, vcpu: VCpu, context: Context, state: Vmsa, plane: Plane) -> None:
        """What a VMSA's VMPL and features mean for the engine."""
        features, vmpl = state["sev_features"], state["vmpl"]
        guest = self._guest
        if (features, vmpl) == (context.features, context.vmpl) and plane.get(layout.SNP_ACTIVE):
            return
        context.features, context.vmpl = features, vmpl
        guest.configure(plane, vmpl, features)
        group = vcpu.group
        group.set(group_layout.VMSA_FEATURES + 8 * context.number, features)
        guest.publish(vcpu)
        plane.flush()

    # --- #VMEXIT -----------------------------------------------------------------------------------------------------

    def vmexit(self, vcpu: VCpu, code: int, info1: int = 0, info2: int = 0, interrupted: int = 0,
               reflected: int | None = None) -> None:
        """#VMEXIT of the active plane, RIP being where it goes on: all its registers, and why it left. `reflected`: the
        exit code that the guest is to see for VMEXIT_VC."""
        guest = self._guest
        vp = guest.vps[vcpu.index]
        if vp.exited:
            return
        context, plane = guest.running(vp), vcpu.plane
        vp.exited = True
        if context.page is None:
            return
        plane.set(layout.ARG, self.host(context.page))
        self._machine.engine.call("save_vmsa", plane)
        state = self.view(context.page)
        state["guest_exitcode"] = (code if reflected is None else reflected) & (1 << 64) - 1
        state["guest_exitinfo1"], state["guest_exitinfo2"] = info1, info2
        state["guest_exitintinfo"] = interrupted
        instruction = (code if reflected is None else reflected) not in NO_INSTRUCTION
        state["guest_nrip"] = plane.get(layout.NEXT_RIP) if instruction else 0
        injection.leave(context, state, reflected is not None, interrupted)
        self.note_written(context.page)
        context.saved = bytes(state.page)

    def initial(self, vcpu: VCpu, page: int, vmpl: int, features: int) -> None:
        """Make the registers of the active plane a VMSA, as a launch does with a VMM's registers."""
        vcpu.plane.set(layout.ARG, self.host(page))
        state = self.view(page)
        state["sev_features"] = features
        self._machine.engine.call("save_vmsa", vcpu.plane)
        state["vmpl"] = vmpl
        state["efer"] |= vmsa.EFER_SVME
        self.note_written(page)


