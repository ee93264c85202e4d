"""What accompanies a machine's run: a history that takes snapshots, a debugger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.vcpu import VCpu


class Observer(Protocol):
    """Is told of slices and of what breakpoints see."""

    def next_icount(self) -> int | None:
        """The instruction count at which the run is to pause for `after_slice`, or None."""

    def after_slice(self) -> None:
        """A slice has ended, perhaps at that count."""

    def probe(self, vcpu: VCpu, plane: Plane) -> bool:
        """A probe in front of the next instruction. True: the run goes on."""

    def violation(self, vcpu: VCpu, plane: Plane) -> None:
        """A plane's access to memory is denied (DENIED_* of jit/layout.py)."""

    def probed(self, vcpu: VCpu, plane: Plane) -> None:
        """What PROBE_HITS says (jit/probe_layout.py) has happened."""
