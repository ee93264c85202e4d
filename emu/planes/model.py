"""What a machine needs of a plane design."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.vcpu import VCpu


class PlaneModel(Protocol):
    """A design: it adds planes to vCPUs, and carries out what compiled code leaves to Python."""

    @property
    def saved(self) -> Sequence[str]:
        """Registers that each plane has for itself: what a switch puts aside."""

    def plane_name(self, number: int) -> str:
        """What the design calls a plane."""

    def hypercall(self, vcpu: VCpu, plane: Plane) -> None:
        """VMCALL or VMMCALL at RIP; NEXT_RIP is the instruction after it."""

    def resize(self, vcpu: VCpu, planes: int, enabled: int, state: dict[str, Any]) -> None:
        """Make or take away planes, and the objects that go with them, before a saved state is put back: so many, of
        which those of the set `enabled` are; `state` is the model's own, by path (emu/snapshot/fields.py)."""

    def accepts_startup(self, vcpu: VCpu) -> bool:
        """Whether INIT and start-up IPIs reach the lowest plane of a vCPU."""
