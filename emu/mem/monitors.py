"""The table of monitored lines (jit/monitor.py): one word for each vCPU of a machine."""

from __future__ import annotations

from emu.mem.ram import PAGE, HostBlock

MAX_VCPUS = 255


class Monitors:
    """The lines that vCPUs monitor, as compiled code sees them at `address`."""

    def __init__(self) -> None:
        self._block = HostBlock(PAGE)
        self.address = self._block.address
        self._words = self._block.view.cast("Q")

    def add(self, vcpu: int) -> None:
        """Make room for a vCPU's word."""
        assert vcpu < MAX_VCPUS
        self._words[0] = max(self._words[0], vcpu + 1)

    def armed(self, vcpu: int) -> bool:
        """Whether the vCPU monitors a line that nobody has written since."""
        return bool(self._words[1 + vcpu])

    def disarm(self, vcpu: int) -> None:
        """Forget what it monitors: its wait ends."""
        self._words[1 + vcpu] = 0

    def disarm_all(self) -> None:
        """The same for all, as when memory itself changes."""
        for vcpu in range(self._words[0]):
            self.disarm(vcpu)
