"""What the attacks share: the guest tells an address and a step on port 0xE0, as if the attacker had found them."""

from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.hypervisor.call import Call

TELL = 0xE0
SECRET, ACCEPT, CALLS, REGISTERS = 1, 2, 3, 4


class Told(Hypervisor):
    """Calls `told` with a frame number and a step. It changes nothing by itself."""

    def port(self, call: Call, port: int, size: int, value: int | None) -> int:
        if port != TELL or value is None:
            return super().port(call, port, size, value)
        if value % 4096 == 0 and value:
            self.spare = value // 4096
        self.told(value // 4096, value % 4096)
        return 0

    spare = 0                           # a frame whose private page the attacker may use: the guest holds it, too

    def told(self, gfn: int, step: int) -> None:
        """The guest is about to do a step."""
