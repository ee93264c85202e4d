"""The GHCB MSR protocol (GHCB specification, 2.3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu import stop
from emu.mem.ram import PAGE
from emu.planes.snp import ghcb_msr
from emu.planes.snp.hypervisor.aps import ApCreation
from emu.planes.snp.hypervisor.memory import PageStates
from emu.planes.snp.hypervisor.vmpls import Vmpls
from jit import layout

if TYPE_CHECKING:
    from emu.vcpu import VCpu

ERROR = 1
STARTED = 1                     # AP_RESET_HOLD_RESPONSE bits 63:12: a start-up IPI has come


class MsrProtocol(PageStates, Vmpls, ApCreation):
    """Requests in the MSR itself. `features`: what the hypervisor says that it offers."""

    features = (ghcb_msr.HV_SNP | ghcb_msr.HV_AP_CREATION | ghcb_msr.HV_RESTRICTED_INJECTION | ghcb_msr.HV_APIC_IDS
                | ghcb_msr.HV_MULTI_VMPL | ghcb_msr.HV_PSC | ghcb_msr.HV_EXTENDED_INTERRUPTS)

    def msr_protocol(self, vcpu: VCpu, value: int) -> None:
        """Carry out a request. The MSR keeps its value where there is no such request."""
        code = ghcb_msr.info(value)
        self.count(code)
        plane = vcpu.plane
        if code == ghcb_msr.RUN_VMPL_REQUEST:       # the caller's answer is there before another plane runs
            target = ghcb_msr.run_vmpl_target(value)
            plane.set(layout.GHCB, ghcb_msr.with_error(ghcb_msr.RUN_VMPL_RESPONSE, int(not self.may_run(vcpu, target))))
            if self.may_run(vcpu, target):
                self.switch_vmpl(vcpu, target)
        elif code == ghcb_msr.AP_RESET_HOLD_REQUEST:
            plane.set(layout.GHCB, ghcb_msr.with_gfn(ghcb_msr.AP_RESET_HOLD_RESPONSE, STARTED))
            self.hold(vcpu)
        elif code == ghcb_msr.TERMINATE:
            self.terminate(vcpu, *ghcb_msr.termination(value))
        else:
            answer = self.msr_answer(vcpu, code, value)
            if answer is None:
                name = ghcb_msr.NAMES.get(code, "unknown")
                self.guest.report(f"GHCB MSR request {code:#x} ({name})")
            else:
                plane.set(layout.GHCB, answer)

    def msr_answer(self, vcpu: VCpu, code: int, value: int) -> int | None:
        """The answer to a request that only has one; None: there is no such request."""
        if code == ghcb_msr.SEV_INFO_REQUEST:
            return self.reset_ghcb()
        if code == ghcb_msr.CPUID_REQUEST:
            function, register = ghcb_msr.cpuid_fields(value)
            return ghcb_msr.cpuid_response(register, self.read_cpuid(vcpu, function, 0)[register])
        if code == ghcb_msr.PREFERRED_GPA_REQUEST:
            return ghcb_msr.with_gfn(ghcb_msr.PREFERRED_GPA_RESPONSE, ghcb_msr.NO_GPA)
        if code == ghcb_msr.REGISTER_GPA_REQUEST:
            frame = ghcb_msr.gfn(value)
            if not self.guest.nested.exists(frame):
                return ghcb_msr.with_gfn(ghcb_msr.REGISTER_GPA_RESPONSE, ghcb_msr.NO_GPA)
            self.register_ghcb(vcpu, frame * PAGE)
            return ghcb_msr.with_gfn(ghcb_msr.REGISTER_GPA_RESPONSE, frame)
        if code == ghcb_msr.PSC_REQUEST:
            frame, operation = ghcb_msr.psc_fields(value)
            done = operation in ghcb_msr.PSC_BY_MSR and self.change_state(frame, 1, operation)
            return ghcb_msr.with_error(ghcb_msr.PSC_RESPONSE, 0 if done else 1 << 31 | ERROR)
        if code == ghcb_msr.FEATURES_REQUEST:
            return ghcb_msr.with_gfn(ghcb_msr.FEATURES_RESPONSE, self.features)
        return None

    def read_cpuid(self, vcpu: VCpu, leaf: int, subleaf: int) -> tuple[int, int, int, int]:
        """What CPUID says to a guest that asks. XCR0 and XSS are not the hypervisor's to see; a GHCB may have them."""
        channel = self.channel(vcpu)
        return vcpu.cpuid.read_for((vcpu.plane.get(layout.CR4), channel.xcr0, channel.xss), leaf, subleaf)

    def terminate(self, vcpu: VCpu, reason_set: int, reason: int) -> None:
        """The guest asks for its end."""
        self.terminated = reason_set, reason
        self.machine.stop(stop.TERMINATED, f"the guest terminated itself: reason set {reason_set}, reason {reason}",
                          vcpu)
