"""Launching a guest: what is in memory when its first instruction runs (FW ABI, SNP_LAUNCH_UPDATE)."""

from __future__ import annotations

from emu.load.model import Image, ImageError
from emu.mem.ram import PAGE
from emu.planes.snp import vmsa
from emu.planes.snp.firmware_status import FirmwareError
from emu.planes.snp.hypervisor.base import INIT_HOLD
from emu.planes.snp.hypervisor.memory import PageStates
from emu.planes.snp.launch import KVM_VMSA_GPA, LaunchPage, PageType
from emu.planes.snp.options import C_BIT
from emu.planes.snp.plan import knows_snp, plan
from jit import layout

VMSA_GFN = KVM_VMSA_GPA // PAGE         # of VMSAs that the guest has not in its memory


class Launch(PageStates):
    """An image's pages go to the firmware, which measures them; they are private and validated, and with images that
    know nothing of SNP all other RAM is too, as if somebody had accepted it. Without an image all RAM is, and the boot
    processor starts with the registers that it has."""

    launch_features = vmsa.DEFAULT_FEATURES
    accepted = False                    # all RAM is private and validated from the start, whatever the image knows
    tsc_hz = 0                          # that a guest with Secure TSC is to have; 0: the machine's

    def launch(self) -> None:
        """Memory and VMSAs as the guest finds them. ImageError: the image cannot be launched."""
        image = self.machine.image
        if self.accepted or image is None or not knows_snp(image):
            self.launch_memory()
        for vcpu in self.machine.vcpus:
            vcpu.plane.set(layout.GHCB, self.reset_ghcb())
        if image is None:
            self.guest.world.initial(self.machine.vcpus[0], self.vmsa_page(0), 0, self.launch_features)
            self.launch_vmsa(0, self.vmsa_page(0), VMSA_GFN)
        else:
            self.launch_image(image)

    def launch_memory(self) -> None:
        """Private and validated: all RAM."""
        nested = self.guest.nested
        for first, count in nested.ram_runs():
            self.guest.rmp.launch(nested.private_backing(first), self.guest.asid, first, count=count)
            nested.map(first, nested.private_backing(first), count)

    def launch_image(self, image: Image) -> None:
        """SNP_LAUNCH_UPDATE of every page, in the plan's order."""
        machine, firmware = self.machine, self.guest.firmware
        launch = plan(image, memory=machine.memory_size, vcpus=machine.vcpu_count,
                      signature=machine.vcpus[0].cpuid.signature, features=self.launch_features, c_bit=C_BIT)
        try:
            pages = firmware.launch(launch, self.tsc_scale())
        except FirmwareError as error:
            raise ImageError(image.path, "launch", str(error)) from None
        for page, contents in pages:
            self.launch_page(page, contents)
        for gpa, data in launch.shared:
            for at in range(0, len(data), PAGE):
                self.share((gpa + at) // PAGE)
                machine.memory.write(self.guest.nested.shared_backing((gpa + at) // PAGE) * PAGE, data[at:at + PAGE])

    def tsc_scale(self) -> int:
        """How much faster a guest's own TSC counts than the machine's, with 32 fraction bits."""
        return (self.tsc_hz << 32) // self.machine.clock.model.tsc_hz if self.tsc_hz else 1 << 32

    def launch_page(self, page: LaunchPage, contents: bytes) -> None:
        """One page, with the contents that firmware leaves in it."""
        nested, gfn = self.guest.nested, page.gpa // PAGE
        outside = page.type is PageType.VMSA and gfn == VMSA_GFN
        place = self.vmsa_page(page.vcpu) if outside else nested.private_backing(gfn)
        self.machine.memory.write(place * PAGE, contents)
        if page.type is PageType.VMSA:
            self.launch_vmsa(page.vcpu, place, gfn)
        else:
            self.guest.rmp.launch(place, self.guest.asid, gfn, page.permissions)
        if not outside:
            nested.ram[gfn] = True
            nested.map(gfn, place)

    def vmsa_page(self, index: int) -> int:
        """System-physical page for a vCPU's first VMSA."""
        return 2 * self.guest.nested.frames + index

    def launch_vmsa(self, index: int, page: int, gfn: int) -> None:
        """Make a page a vCPU's VMSA of VMPL0. All vCPUs but the first wait for a start-up IPI."""
        vcpu, guest = self.machine.vcpus[index], self.guest
        guest.rmp.launch(page, guest.asid, gfn, vmsa=True)
        guest.vps[index].contexts[0].page = page
        self.channel(vcpu, 0).features = guest.world.view(page)["sev_features"]
        if index:
            self.channel(vcpu, 0).holds = INIT_HOLD
