"""What accompanies a machine's run: a history that takes snapshots, a debugger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from jit import layout, uops

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.vcpu import VCpu


class Observer(Protocol):
    """Is told of slices and of what breakpoints see."""

    def next_icount(self) -> int | None:
        """The instruction count at which the run is to pause for `after_slice`, or None."""

    def after_slice(self) -> None:
        """A slice has ended, perhaps at that count."""

    def while_idle(self) -> None:
        """No vCPU can run now; idle time has passed."""

    def probe(self, vcpu: VCpu, plane: Plane) -> bool:
        """A probe in front of the next instruction. True: the run goes on."""

    def violation(self, vcpu: VCpu, plane: Plane) -> None:
        """A plane's access to memory is denied (DENIED_* of jit/layout.py)."""

    def probed(self, vcpu: VCpu, plane: Plane) -> None:
        """What PROBE_HITS says (jit/probe_layout.py) has happened."""


class Observed:
    """What a vCPU does when compiled code leaves for a debugger."""

    def __init__(self, vcpu: VCpu) -> None:
        self._vcpu = vcpu

    def probe(self, plane: Plane) -> None:
        """A probe is in front of the instruction: go past it, unless the run is to stop there."""
        observer = self._vcpu.machine.observer
        if observer is None or observer.probe(self._vcpu, plane):
            plane.set(layout.EXIT_UOP, plane.get(layout.EXIT_UOP) + uops.SIZE)
            plane.set(layout.RESUME, 1)

    def probed(self, plane: Plane) -> None:
        """Something that a debugger looks for has happened."""
        if self._vcpu.machine.observer is not None:
            self._vcpu.machine.observer.probed(self._vcpu, plane)
        plane.set(layout.PROBE_HITS, 0)

    def violation(self, plane: Plane) -> None:
        """An access to memory is denied."""
        if self._vcpu.machine.observer is not None:
            self._vcpu.machine.observer.violation(self._vcpu, plane)
