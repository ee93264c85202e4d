"""The hypervisor as a whole: what it does at each exit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu import stop
from emu.mem.ram import PAGE
from emu.planes.snp import exits, ghcb, ghcb_msr
from emu.planes.snp.hypervisor.alternate import AlternateInjection
from emu.planes.snp.hypervisor.call import Call, Inject, Malformed
from emu.planes.snp.hypervisor.cpuid import CpuidLeaves
from emu.planes.snp.hypervisor.emulation import Emulation
from emu.planes.snp.hypervisor.guest_requests import GuestRequests
from emu.planes.snp.hypervisor.launch import Launch
from jit import layout

if TYPE_CHECKING:
    from emu.vcpu import VCpu

# The method that serves each request; `Hypervisor` finds it by name, so that a subclass may replace any.
EVENTS = {
    exits.READ_DR7: "read_dr7", exits.WRITE_DR7: "write_dr7", exits.RDTSC: "rdtsc", exits.RDPMC: "rdpmc",
    exits.CPUID: "cpuid", exits.INVD: "flush_caches", exits.WBINVD: "flush_caches", exits.IOIO: "ioio",
    exits.MSR: "msr", exits.VMMCALL: "vmmcall", exits.RDTSCP: "rdtscp", exits.MONITOR: "monitor", exits.MWAIT: "mwait",
    exits.MMIO_READ: "mmio_read", exits.MMIO_WRITE: "mmio_write", exits.NMI_COMPLETE: "nmi_complete",
    exits.AP_RESET_HOLD: "ap_reset_hold", exits.AP_JUMP_TABLE: "ap_jump_table", exits.PSC: "page_state_change",
    exits.GUEST_REQUEST: "guest_request", exits.EXT_GUEST_REQUEST: "extended_guest_request",
    exits.AP_CREATION: "ap_creation", exits.HV_DOORBELL: "hv_doorbell", exits.HV_IPI: "hv_ipi",
    exits.APIC_IDS: "apic_ids", exits.RUN_VMPL: "run_vmpl", exits.CONFIGURE_INJECTION: "configure_injection",
    exits.DISABLE_ALTERNATE_INJECTION: "disable_alternate_injection", exits.SPECIFIC_EOI: "specific_eoi",
    exits.HV_FEATURES: "hv_features", exits.TERMINATE: "terminate_request",
    exits.UNSUPPORTED: "unsupported_event",
}


class Hypervisor(Emulation, Launch, AlternateInjection, GuestRequests, CpuidLeaves):
    """KVM's behaviour where the specifications leave it open. Subclasses replace what they like."""

    def vmgexit(self, vcpu: VCpu) -> None:
        """VMGEXIT of the active plane, which is done; its GHCB MSR says what it wants."""
        value = vcpu.plane.get(layout.GHCB)
        if value & ghcb_msr.INFO:
            self.msr_protocol(vcpu, value)
        else:
            self.ghcb_exit(vcpu, value)

    def ghcb_exit(self, vcpu: VCpu, gpa: int) -> None:
        """A request in a GHCB. If that is not shared memory the guest goes on without an answer."""
        page = self.read_shared(gpa, PAGE) if gpa else None
        if page is None:
            return
        call = Call(self, vcpu, gpa, page)
        try:
            if self.channel(vcpu).ghcb != gpa:
                raise Malformed(ghcb.NOT_REGISTERED)
            if call.ghcb.usage != ghcb.USAGE_STANDARD:
                raise Malformed(ghcb.INVALID_USAGE)
            call.check()
            self.count(call.code)
            self.serve(call)
        except Malformed as problem:
            call.results.clear()
            call.info2 = problem.reason
            call.answer(ghcb.MALFORMED)
        except Inject as problem:
            call.results.clear()
            call.info2 = problem.event
            call.answer(ghcb.EXCEPTION)

    def serve(self, call: Call) -> None:
        """Carry out a well-formed request, and answer it."""
        name = EVENTS.get(call.code)
        if name is None:
            self.report_exit(call.code)
            raise Malformed(ghcb.INVALID_EVENT)
        getattr(self, name)(call)
        call.answer()
        call.after()

    def hv_features(self, call: Call) -> None:
        """Hypervisor features, as the MSR protocol gives them."""
        call.info2 = self.features

    def terminate_request(self, call: Call) -> None:
        """A termination request: reason set in bits 3:0, reason in bits 11:4."""
        info1, _ = call.info
        self.terminate(call.vcpu, info1 & 0xF, info1 >> 4 & 0xFF)

    def unsupported_event(self, call: Call) -> None:
        """INFO1: the error code of a #VC that the guest cannot handle, as it says before it gives up by itself."""
        self.guest.report(f"#VC of {exits.name(call.info[0])}", "is not handled by the guest, as it says")

    def shutdown(self, vcpu: VCpu) -> bool:
        """The guest shut down (triple fault); True: it is to go on anyway."""
        return False

    def halted(self, vcpu: VCpu) -> None:
        """The active plane halts. Whoever may run next is the policy's to say."""

    def vmrun_failed(self, vcpu: VCpu, number: int, code: int, reason: str) -> None:
        """VMRUN of a plane's VMSA gave no guest: `code` is exits.INVALID or exits.BUSY."""
        name = exits.name(code)
        self.machine.stop(stop.UNIMPLEMENTED, f"VMRUN of {self.guest.plane_name(number)} on vCPU {vcpu.index}: {name}, "
                          f"as {reason}", vcpu)
