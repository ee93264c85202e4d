"""What a machine needs of a plane design."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emu.mem.ram import PAGE
from emu.planes.layers import Layer, denials
from jit import layout

if TYPE_CHECKING:
    from emu.load.model import Image
    from emu.plane import Plane
    from emu.planes.journal import Intercept
    from emu.vcpu import VCpu


class PlaneModel:
    """A design: it adds planes to vCPUs, and carries out what compiled code leaves to Python."""

    saved: Sequence[str] = ()
    """Registers that each plane has for itself: what a switch puts aside."""

    @property
    def intercepts_seen(self) -> Sequence[Intercept]:
        """What planes were told of others' accesses, oldest first."""
        return ()

    @property
    def launches(self) -> int:
        """The highest plane in which the machine can start with an image of its own; 0: the lowest plane alone."""
        return 0

    resets: bool = False
    """Whether `reset` leaves the planes as they were before anything was loaded."""

    def launch(self, image: Image, plane: int) -> None:
        """Start the first vCPU in a higher plane, at the entry of an image that is in memory."""
        raise NotImplementedError("this design starts in its lowest plane")

    def plane_name(self, number: int) -> str:
        """What the design calls a plane."""
        raise NotImplementedError

    def hypercall(self, vcpu: VCpu, plane: Plane) -> None:
        """VMCALL or VMMCALL at RIP; NEXT_RIP is the instruction after it."""
        raise NotImplementedError

    def resize(self, vcpu: VCpu, planes: int, enabled: int, state: dict[str, Any]) -> None:
        """Make or take away planes, and the objects that go with them, before a saved state is put back: so many, of
        which those of the set `enabled` are; `state` is the model's own, by path (emu/snapshot/fields.py)."""

    def restored(self) -> None:
        """A saved state was put back, registers included."""

    def accepts_startup(self, vcpu: VCpu) -> bool:
        """Whether INIT and start-up IPIs reach the lowest plane of a vCPU."""
        raise NotImplementedError

    def intercepts_startup(self, vcpu: VCpu, vector: int) -> bool:
        """Whether another plane takes a start-up IPI to a vCPU from the one that runs now."""
        return False

    def loaded(self) -> None:
        """An image was put in place, and the planes where it starts."""

    def slice_begins(self, vcpu: VCpu) -> None:
        """A vCPU's time slice begins."""

    def slice_ends(self, vcpu: VCpu) -> None:
        """It has ended; others may run before it goes on."""

    def snp_instruction(self, vcpu: VCpu, plane: Plane) -> None:
        """The SEV-SNP instruction at RIP (SNP of jit/exits.py); NEXT_RIP is the instruction after it."""
        raise NotImplementedError("this design has no SEV-SNP guests")

    def vmgexit(self, vcpu: VCpu, plane: Plane) -> None:
        """VMGEXIT at RIP, likewise."""
        raise NotImplementedError("this design has no SEV-ES guests")

    def injects(self, vcpu: VCpu, plane: Plane) -> bool:
        """Whether the design itself delivers what INTERRUPT announces, instead of the local APIC's vector."""
        return False

    def layers(self, vcpu: VCpu, plane: Plane, gpa: int) -> Sequence[Layer]:
        """Every decision of the design about a plane's accesses to the page of an address, for debuggers: one for each
        that can deny, whether it does or not. Unless a design knows better, what its table denies is one layer."""
        return [Layer("memory attributes", denied)
                for denied in denials(vcpu.machine, plane, gpa // PAGE, 1) if denied]

    # --- what a plane may intercept of others; each of these is asked before the access is made ------------------

    def memory_denied(self, vcpu: VCpu, plane: Plane) -> None:
        """A plane's access to guest-physical memory was denied (jit/second_stage.py); it is tried again unless this
        changes where the plane goes on."""
        raise NotImplementedError("this design denies no memory")

    def register_trapped(self, vcpu: VCpu, plane: Plane) -> None:
        """An access to a register was intercepted in compiled code (jit/traps.py), and was not made."""
        raise NotImplementedError("this design traps no registers")

    def notify(self, vcpu: VCpu) -> None:
        """The active plane was entered while interrupts wait for lower ones (NOTIFY of jit/group_layout.py)."""

    def plane_event(self, vcpu: VCpu) -> None:
        """The policy leaves the choice of a plane to userspace (LEAVE of jit/selector.py)."""
        raise NotImplementedError("this design has no userspace that decides")

    def waits(self, vcpu: VCpu, plane: Plane, instruction: str) -> None:
        """HLT, MWAIT (and its variants) or PAUSE was executed, and the plane may be asleep now."""

    def interrupt_window(self, vcpu: VCpu, plane: Plane) -> bool:
        """Whether userspace takes it from here when a plane could take an interrupt."""
        return False

    def interrupt_changed(self, vcpu: VCpu, number: int) -> None:
        """What the local APIC of a plane holds for it may have changed."""

    def nmi(self, vcpu: VCpu, number: int) -> None:
        """An NMI for a plane."""
        vcpu.planes[number].set(layout.NMI, 1)

    def keeps_priority(self, vcpu: VCpu, number: int) -> bool:
        """Whether CR8 of a plane is not the TPR of its local APIC."""
        return False

    def intercepts_msr(self, vcpu: VCpu, plane: Plane, index: int, value: int | None) -> bool:
        """Whether another plane takes RDMSR, or WRMSR of a value, of an MSR outside the register file."""
        return False

    def intercepts_port(self, vcpu: VCpu, plane: Plane, port: int, size: int, value: int | None) -> bool:
        """Whether another plane takes a read from an I/O port, or a write of a value."""
        return False

    def intercepts_unmapped(self, vcpu: VCpu, plane: Plane, gpa: int, write: bool) -> bool:
        """Whether another plane takes an access to an address where there is neither memory nor a device."""
        return False

    def intercepts_cpuid(self, vcpu: VCpu, plane: Plane, leaf: int, subleaf: int) -> bool:
        """Whether another plane takes CPUID of a leaf."""
        return False

    def intercepts_counter(self, vcpu: VCpu, plane: Plane) -> bool:
        """Whether another plane takes RDPMC."""
        return False

    def device_address(self, gpa: int) -> int:
        """Where a device finds the memory of a guest-physical address."""
        return gpa

    def intercepts_shutdown(self, vcpu: VCpu, plane: Plane) -> bool:
        """Whether another plane takes a triple fault of this one."""
        return False

    def device_may_access(self, gpa: int, write: bool) -> bool:
        """Whether a device may read or write the page of an address."""
        return True

    def reset(self) -> None:
        """The guest asks for a reset of the machine."""
        return None
