"""Writes into a private page of the guest, past its page tables."""

from told import SECRET, Told

from emu.planes.snp.cipher import HostFault


class WritePage(Told):
    faults = 0

    def told(self, gfn: int, step: int) -> None:
        if step == SECRET:
            try:
                self.guest.cipher.write(self.guest.nested.private_backing(gfn) * 4096 + 100, b"\xcc")
            except HostFault:
                self.faults += 1        # #PF with the RMP bit: the processor does not let the host
