"""Launching a guest: what is in memory when its first instruction runs (FW ABI, SNP_LAUNCH_UPDATE)."""

from __future__ import annotations

from emu.mem.ram import PAGE
from emu.planes.snp import vmsa
from emu.planes.snp.hypervisor.base import Base
from jit import layout

VMSA_GFN = 0xFFFF_FFFF_F                # of VMSAs that the guest has not in its memory: KVM's choice


class Launch(Base):
    """A guest without an image that says what is measured: all of RAM is private and validated, as if firmware had
    accepted it, and the boot processor starts at VMPL0 where the loader put it."""

    launch_features = vmsa.SNP_ACTIVE | vmsa.DEBUG_SWAP

    def launch(self) -> None:
        """The image is in private memory, the boot processor's registers are set."""
        self.launch_memory()
        for vcpu in self.machine.vcpus:
            vcpu.plane.set(layout.GHCB, self.reset_ghcb())
        self.launch_vmsa(0)

    def launch_memory(self) -> None:
        """Private and validated: all RAM."""
        nested = self.guest.nested
        for first, count in nested.ram_runs():
            self.guest.rmp.launch(nested.private_backing(first), self.guest.asid, first, count=count)
            nested.map(first, nested.private_backing(first), count)

    def vmsa_page(self, index: int) -> int:
        """System-physical page for a vCPU's first VMSA."""
        return 2 * self.guest.nested.frames + index

    def launch_vmsa(self, index: int) -> None:
        """Make a vCPU's registers its VMSA of VMPL0."""
        vcpu, page = self.machine.vcpus[index], self.vmsa_page(index)
        self.guest.world.initial(vcpu, page, 0, self.launch_features)
        self.guest.rmp.launch(page, self.guest.asid, VMSA_GFN, vmsa=True)
        self.guest.vps[index].contexts[0].page = page
        self.channel(vcpu, 0).features = self.launch_features
        assert page * PAGE < self.machine.memory.top
