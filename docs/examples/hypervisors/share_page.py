"""Makes a private page of the guest shared without being asked, to read what it holds."""

from told import SECRET, Told


class SharePage(Told):
    seen = b""

    def told(self, gfn: int, step: int) -> None:
        if step == SECRET:
            self.share(gfn)
            self.seen = self.read_shared(gfn * 4096, 4096) or b""
