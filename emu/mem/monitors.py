"""The table of monitored lines (jit/monitor.py): one word for each vCPU of a machine."""

from __future__ import annotations

from emu.mem.ram import PAGE, HostBlock

MAX_VCPUS = 255
LINE = 64                       # bytes of a monitored line (jit/monitor.py)


class Monitors:
    """The lines that vCPUs monitor, as compiled code sees them at `address`."""

    def __init__(self) -> None:
        self._block = HostBlock(PAGE)
        self.address = self._block.address
        self._words = self._block.words

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

    def save(self) -> list[int]:
        """State: each vCPU's line, or 0."""
        return self._words[1:1 + self._words[0]].tolist()

    def load(self, state: list[int]) -> list[int]:
        """Put a state back; gives the addresses whose pages have to be WATCHED."""
        for vcpu, word in enumerate(state[:self._words[0]]):
            self._words[1 + vcpu] = word
        return [word & -LINE for word in state if word]

    def disarm_all(self) -> None:
        """The same for all, as when memory itself changes."""
        for vcpu in range(self._words[0]):
            self.disarm(vcpu)
