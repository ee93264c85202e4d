"""Lets the counter of a page state change go back, so that the guest would change a page twice."""

import struct

from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.hypervisor.call import Call


class PageStatesBackwards(Hypervisor):
    calls = 0

    def page_state_change(self, call: Call) -> None:
        super().page_state_change(call)
        if call.number:
            self.calls += 1
            call.write_scratch(struct.pack("<HHI", 0, 0, 1))        # and a reserved field is not zero
