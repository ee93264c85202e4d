"""Takes the page with the SVSM's keys and gives it to the guest as a page that the guest wants accepted."""

from told import ACCEPT, Told

from emu.planes.snp.launch import LaunchPage, PageType
from emu.planes.snp.rmp import Entry


class LeakSecret(Told):
    def launch_page(self, page: LaunchPage, contents: bytes) -> None:
        super().launch_page(page, contents)
        if page.type is PageType.SECRETS:
            self.secrets = page.gpa // 4096

    def told(self, gfn: int, step: int) -> None:
        if step == ACCEPT:
            page = self.guest.nested.private_backing(self.secrets)
            self.guest.nested.unmap(self.secrets)
            self.guest.rmp.update(page, Entry(True, self.guest.asid, gfn))
            self.guest.nested.map(gfn, page)
