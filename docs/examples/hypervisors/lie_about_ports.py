"""Gives wrong values from ports: a line status register with an error in it."""

from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.hypervisor.call import Call


class LieAboutPorts(Hypervisor):
    def port(self, call: Call, port: int, size: int, value: int | None) -> int:
        found = super().port(call, port, size, value)
        return found | 0x1E if value is None and port == 0x3FD else found
