"""Starting processors and VMPLs: AP creation, AP reset hold (GHCB specification, 4.1.9 and 4.3)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emu.mem.ram import PAGE
from emu.planes.snp import ghcb
from emu.planes.snp.hypervisor.base import INIT_HOLD, RESET_HOLD, Base
from emu.planes.snp.hypervisor.call import Call, Malformed
from emu.planes.snp.nested import NONE
from emu.planes.snp.rmp import LARGE, VMPLS
from emu.waiting import HALTED, RUNNING, WAIT_FOR_SIPI
from jit import layout

if TYPE_CHECKING:
    from emu.vcpu import VCpu

CREATE_ON_INIT, CREATE, DESTROY = 0, 1, 2
SET_TABLE, GET_TABLE = 0, 1


class ApCreation(Base):
    """Which VMSA a vCPU's VMPL has, and when it starts."""

    def find_vcpu(self, apic_id: int) -> VCpu | None:
        """The vCPU with an APIC ID."""
        return next((vcpu for vcpu in self.machine.vcpus if vcpu.lapics[0].apic_id == apic_id), None)

    def ap_creation(self, call: Call) -> None:
        """INFO1: operation, VMPL in bits 19:16, APIC ID in bits 63:32; INFO2: the VMSA; RAX: its SEV_FEATURES."""
        info1, gpa = call.info
        operation, vmpl, vcpu = info1 & 0xFFFF, info1 >> 16 & 0xF, self.find_vcpu(info1 >> 32)
        if vcpu is None or vmpl >= VMPLS or operation > DESTROY:
            raise Malformed(ghcb.INVALID_INPUT)
        if operation == DESTROY:
            self.destroy_vmsa(vcpu, vmpl)
            return
        features = call["rax"]
        if not self.accepts_vmsa(call.vcpu, vcpu, vmpl, gpa, features):
            raise Malformed(ghcb.INVALID_INPUT)
        self.install_vmsa(vcpu, vmpl, gpa, features, start=operation == CREATE)

    def accepts_vmsa(self, caller: VCpu, vcpu: VCpu, vmpl: int, gpa: int, features: int) -> bool:
        """Whether a page may become the VMSA of a VMPL: aligned, but not to 2 MiB because of the erratum; memory; the
        features allowed and the same as before at that VMPL; VMPL0's only replaced from VMPL0 of another vCPU."""
        gfn = gpa // PAGE
        if gpa % PAGE or gfn % LARGE == 0 or not self.guest.nested.exists(gfn) or self.guest.nested.page[gfn] == NONE:
            return False
        if features & ~self.allowed_features:
            return False
        known = {self.channel(other, vmpl).features for other in self.machine.vcpus} - {0}
        if known and features not in known:
            return False
        return vmpl != 0 or caller is not vcpu and caller.group.active == 0

    def install_vmsa(self, vcpu: VCpu, vmpl: int, gpa: int, features: int, start: bool) -> None:
        """Make a page the VMSA of a VMPL. Its registers are whatever the page holds."""
        context = self.guest.planes.ensure(vcpu, vmpl)
        vp, plane, channel = self.guest.vps[vcpu.index], vcpu.planes[vmpl], self.channel(vcpu, vmpl)
        if vcpu.group.active == vmpl:
            vp.exited = True                        # its old VMSA is not run any more
        context.page = int(self.guest.nested.page[gpa // PAGE])
        context.saved = b""
        context.features = 0
        channel.features = features
        plane.set(layout.GHCB, self.reset_ghcb())
        plane.set(layout.ACTIVITY, RUNNING if start else WAIT_FOR_SIPI)
        channel.holds = "" if start else INIT_HOLD
        self.guest.planes.permit(vcpu, vmpl, start)
        if start:                                   # a VMPL that has halted here is to see that there is another one
            for other in vcpu.planes:
                if other.get(layout.ACTIVITY) == HALTED:
                    other.set(layout.ACTIVITY, RUNNING)
        self.machine.reschedule = True

    def destroy_vmsa(self, vcpu: VCpu, vmpl: int) -> None:
        """The VMPL has no VMSA any more."""
        contexts = self.guest.vps[vcpu.index].contexts
        if vmpl < len(contexts):
            contexts[vmpl].page = None
            self.guest.planes.permit(vcpu, vmpl, False)
            vcpu.planes[vmpl].set(layout.ACTIVITY, WAIT_FOR_SIPI)
            self.guest.publish(vcpu)

    # --- waiting for INIT and SIPI -----------------------------------------------------------------------------------

    def ap_reset_hold(self, call: Call) -> None:
        """The vCPU waits; INFO2 of the answer is not zero when a start-up IPI ended that."""
        call.info2 = 1
        call.after = lambda: self.hold(call.vcpu)

    def hold(self, vcpu: VCpu) -> None:
        """Wait for a start-up IPI after the answer."""
        self.channel(vcpu).holds = RESET_HOLD
        vcpu.plane.set(layout.ACTIVITY, WAIT_FOR_SIPI)

    def startup(self, vcpu: VCpu) -> None:
        """INIT or a start-up IPI came for a vCPU: what waits for that goes on."""
        for number, plane in enumerate(vcpu.planes):
            channel = self.channel(vcpu, number)
            if channel.holds:
                channel.holds = ""
                plane.set(layout.ACTIVITY, RUNNING)
                self.guest.planes.permit(vcpu, number, True)
                self.machine.reschedule = True

    def ap_jump_table(self, call: Call) -> None:
        """INFO1: 0 keep the address in INFO2, 1 give it back."""
        operation, address = call.info
        if operation == SET_TABLE:
            self.jump_table = address
        elif operation == GET_TABLE:
            call.info2 = self.jump_table
        else:
            raise Malformed(ghcb.INVALID_INPUT)

    def apic_ids(self, call: Call) -> None:
        """The APIC IDs of all vCPUs into RAX pages at INFO1; too few: RAX says how many are needed."""
        ids = [vcpu.lapics[0].apic_id for vcpu in self.machine.vcpus]
        data = struct.pack(f"<{len(ids) + 1}I", len(ids), *ids)
        needed = (len(data) + PAGE - 1) // PAGE
        offered, gpa = call["rax"], call.info[0]
        call["rax"] = needed
        if offered < needed:
            return
        if gpa % PAGE or self.read_shared(gpa, len(data)) is None:
            raise Malformed(ghcb.INVALID_INPUT)
        call.outside[gpa] = data
