"""A virtual processor and what each VTL has for itself there (TLFS, "Virtual processors"; Virtual Secure Mode)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.planes.vsm.eoi_assist import EoiAssist
from emu.planes.vsm.msrs import ENABLE, PAGE_BITS, HyperVMsrs
from emu.planes.vsm.stimer import Stimers
from emu.planes.vsm.synic import Synic
from emu.planes.vsm.trapped import Traps, arm
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.irq.lapic import LocalApic
    from emu.plane import Plane
    from emu.planes.vsm.partition import Partition
    from emu.vcpu import VCpu

SECURE_MBEC, SECURE_TLB_LOCKED = 1, 2           # VsmVpSecureConfigVtlN


class VpVtl:
    """What a VTL has on one virtual processor, besides the register file and the local APIC."""

    def __init__(self, partition: Partition, lapic: LocalApic, vtl: int) -> None:
        self.assist_page: int = 0
        self.synic = Synic(partition, lapic, vtl)
        self.stimers = Stimers(partition.machine.clock, self.synic, lapic)
        self.eoi_assist = EoiAssist(partition, lapic, vtl)
        self.traps = Traps()
        self.vina: int = 0
        self.secure: dict[int, int] = {}        # lower VTL -> VsmVpSecureConfigVtlN


class Vp:
    """A virtual processor."""

    def __init__(self, partition: Partition, vcpu: VCpu) -> None:
        self.partition: Partition = partition
        self.vcpu: VCpu = vcpu
        self.index: int = vcpu.index
        self.msrs = HyperVMsrs(self)
        self.vtls: dict[int, VpVtl] = {}
        self.add_vtl(0)

    def add_vtl(self, number: int) -> VpVtl:
        """The state of a VTL that is being enabled."""
        return self.vtls.setdefault(number, VpVtl(self.partition, self.vcpu.lapics[number], number))

    @property
    def active(self) -> int:
        """The VTL that runs."""
        return self.vcpu.group.active

    @property
    def enabled(self) -> int:
        """Set of the VTLs that are enabled here."""
        return self.vcpu.group.get(group_layout.ENABLED)

    def reset(self) -> None:
        """VTL0 alone is left, and runs."""
        group, active = self.vcpu.group, self.vcpu.plane
        for field in (layout.BUDGET, layout.TSC_BASE):          # the time slice that runs goes on
            self.vcpu.planes[0].set(field, active.get(field))
        for plane in self.vcpu.planes:
            plane.set(layout.NPIEP, 0)
        for state in self.vtls.values():
            state.stimers.stop()
        for vtl in self.vtls:
            self.set_assist_page(vtl, 0)
            self.vcpu.lapics[vtl].reset()
        for word in (group_layout.ACTIVE, group_layout.FORCED, group_layout.NOTIFY, group_layout.NOTIFY_RESET,
                     group_layout.LOCKING):
            group.set(word, 0)
        for word in (group_layout.ENABLED, group_layout.RUNNABLE):
            group.set(word, 1)
        self.vtls = {}
        self.add_vtl(0)
        arm(self)
        self.protect()

    def higher(self, vtl: int) -> list[int]:
        """The VTLs above one that are enabled here, lowest first."""
        return [n for n in range(vtl + 1, len(self.vcpu.planes)) if self.enabled >> n & 1]

    def lapic(self, plane: Plane) -> LocalApic:
        """The local APIC of a VTL."""
        return self.vcpu.lapics[plane.number]

    def set_assist_page(self, vtl: int, value: int) -> None:
        """VP_ASSIST_PAGE of a VTL; compiled code uses it at switches."""
        state = self.vtls[vtl]
        state.assist_page = value
        state.eoi_assist.use(value & PAGE_BITS if value & ENABLE else None)
        self.refresh_assist_pages()

    def refresh_assist_pages(self) -> None:
        """Tell compiled code which pages it may use: not those that higher VTLs protect by now."""
        for vtl, state in self.vtls.items():
            usable = state.assist_page & ENABLE and self.partition.may_overlay(vtl, state.assist_page & PAGE_BITS)
            self.vcpu.group.set(group_layout.CONTROL + 8 * vtl, state.assist_page & PAGE_BITS | ENABLE if usable else 0)

    def mark(self, word: int, vtl: int, present: bool) -> None:
        """Put a VTL into a set of the group's block, or take it out."""
        planes = self.vcpu.group.get(word) & ~(1 << vtl)
        self.vcpu.group.set(word, planes | present << vtl)

    def mbec_active(self, vtl: int) -> bool:
        """Whether mode-based execution control applies to a VTL here: a higher VTL that was enabled with it asks for
        it."""
        return any(self.partition.vtls[n].mbec and self.vtls[n].secure.get(vtl, 0) & SECURE_MBEC
                   for n in self.higher(vtl))

    def protect(self) -> None:
        """Give the planes the tables of what they may access, after a change of protections as a whole."""
        for plane in self.vcpu.planes:
            table = self.partition.protections.address(plane.number, self.mbec_active(plane.number))
            if plane.get(layout.DENIALS) != table:
                plane.set(layout.DENIALS, table)
                plane.flush()
        self.refresh_assist_pages()
