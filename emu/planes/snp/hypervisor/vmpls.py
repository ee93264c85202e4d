"""Running VMPLs: on request, and when one needs another (GHCB specification, RUN_VMPL)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.planes.snp import ghcb
from emu.planes.snp.hypervisor.base import INIT_HOLD, Base
from emu.planes.snp.hypervisor.call import Call, Malformed
from emu.planes.snp.rmp import VMPLS
from emu.waiting import HALTED, RUNNING
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.vcpu import VCpu


class Vmpls(Base):
    """Which plane of a vCPU runs."""

    def device_vmpl(self) -> int:
        """The VMPL whose local APICs devices interrupt: the least privileged one that the first vCPU has, which is the
        operating system's where there is an SVSM."""
        contexts = self.guest.vps[0].contexts
        return max((context.number for context in contexts if context.page is not None), default=0)

    def may_run(self, vcpu: VCpu, target: int) -> bool:
        """Whether there is a VMPL of that number on this vCPU."""
        contexts = self.guest.vps[vcpu.index].contexts
        return target < min(VMPLS, len(contexts)) and contexts[target].page is not None

    def switch_vmpl(self, vcpu: VCpu, target: int) -> None:
        """Run a VMPL instead of the caller, which waits until it is asked for. One that was created for an INIT starts
        by this too: so do SVSMs start their guest. One that had halted goes on after HLT: whether it has an interrupt
        only the caller may know."""
        channel, plane = self.channel(vcpu, target), vcpu.planes[target]
        created = channel.holds == INIT_HOLD
        if created:
            channel.holds = ""
        if created or plane.get(layout.ACTIVITY) == HALTED:
            plane.set(layout.ACTIVITY, RUNNING)
        self.run_plane(vcpu, target, vcpu.group.active)

    def run_vmpl(self, call: Call) -> None:
        """RUN_VMPL: the answer is written before anything else runs."""
        target = call.info[0] & 0xFFFF_FFFF
        if not self.may_run(call.vcpu, target):
            raise Malformed(ghcb.INVALID_INPUT)
        call.after = lambda: self.switch_vmpl(call.vcpu, target)

    def reflected(self, vcpu: VCpu, code: int) -> None:
        """VMEXIT_VC: the event of exit code `code` is the managing VMPL's."""
        active = vcpu.group.active
        self.run_plane(vcpu, self.manager(vcpu, active), active)

    def register_ghcb(self, vcpu: VCpu, gpa: int) -> None:
        """The guest names the GHCB that a VMPL will use."""
        self.channel(vcpu).ghcb = gpa
        vcpu.group.set(group_layout.GHCBS + 8 * vcpu.group.active, gpa)
