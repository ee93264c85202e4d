"""Maps another page of the guest's where a page with its data was: assigned to the guest at that address, as RMPUPDATE
lets the host do, but never validated there."""

from told import SECRET, Told

from emu.planes.snp.rmp import Entry


class RemapPage(Told):
    def told(self, gfn: int, step: int) -> None:
        if step == SECRET:
            page = self.guest.nested.private_backing(self.spare)
            self.guest.rmp.update(page, Entry(True, self.guest.asid, gfn))
            self.guest.nested.map(gfn, page)
