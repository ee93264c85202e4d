"""A partition, its virtual processors and their VTLs (TLFS, Virtual Secure Mode; "Virtual processors")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emu.irq.apicbus import ApicBus
from emu.isa.cpuid import VENDOR
from emu.mem.ram import PAGE
from emu.planes.vsm import codes, cpuid, enable, shape, vp_registers
from emu.planes.vsm.codes import HvError
from emu.planes.vsm.hypercall import execute
from emu.planes.vsm.msrs import HyperVMsrs
from emu.planes.vsm.overlay import HypercallPages
from emu.planes.vsm.shared import PRIVATE, SHARED
from emu.planes.vsm.synic import Synic
from jit import group_layout, layout, pmap

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.vcpu import VCpu

CALL_MODULES = (enable, vp_registers)       # imported for the hypercalls that they register
DIALECTS = ("ms", "kut")
CONFIG_RESET = 0x3E             # VsmPartitionConfig: mask RWX, ZeroMemoryOnReset
DENY_LOWER_VTL_STARTUP = 1 << 6


class PartitionVtl:
    """What a VTL has once for all virtual processors: MSRs of partition scope and its VsmPartitionConfig."""

    def __init__(self) -> None:
        self.guest_os_id: int = 0
        self.hypercall: int = 0
        self.reference_tsc: int = 0
        self.config: int = CONFIG_RESET


class VpVtl:
    """What a VTL has for itself on one virtual processor, besides the register file and the local APIC."""

    def __init__(self, synic: Synic) -> None:
        self.assist_page: int = 0
        self.synic: Synic = synic


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
        return self.vtls.setdefault(number, VpVtl(Synic(self.partition.is_ram)))

    @property
    def active(self) -> int:
        """The VTL that runs."""
        return self.vcpu.group.active

    @property
    def enabled(self) -> int:
        """Set of the VTLs that are enabled here."""
        return self.vcpu.group.get(group_layout.ENABLED)

    def set_assist_page(self, vtl: int, value: int) -> None:
        """VP_ASSIST_PAGE of a VTL; compiled code uses it at switches."""
        self.vtls[vtl].assist_page = value
        self.vcpu.group.set(group_layout.CONTROL + 8 * vtl, value & ~0xFFE)


class Partition:
    """The hypervisor's side of one partition.

    dialect: "ms" or "kut", which of two readings counts where Microsoft's software and the VSM test of
    kvm-unit-tests want different statuses. max_vtl: the highest VTL that the guest may enable, 1 to 15.
    """

    saved = PRIVATE

    def __init__(self, machine: Machine, dialect: str = "ms", max_vtl: int = 1) -> None:
        assert dialect in DIALECTS and 1 <= max_vtl < group_layout.MAX_PLANES
        self.machine: Machine = machine
        self.dialect, self.max_vtl = dialect, max_vtl
        self.enabled = 1                                # set of VTLs
        self.vtls: dict[int, PartitionVtl] = {0: PartitionVtl()}
        self.pages = HypercallPages(machine, amd=VENDOR == b"AuthenticAMD")
        self.crash = [0] * 5
        self._buses = {0: machine.pc.apic_bus}
        self._reported: set[str] = set()
        self.vps = [Vp(self, vcpu) for vcpu in machine.vcpus]
        for vp in self.vps:
            vp.vcpu.group.offer(group_layout.INTERFACE_VSM, SHARED)
            vp.vcpu.msrs.owners.append(vp.msrs)
            vp.vcpu.cpuid.overlay = self._cpuid

    def _cpuid(self, leaf: int, _: int) -> cpuid.Registers | None:
        bits = self.vps[0].vcpu.planes[0].get(layout.PHYS_MASK).bit_length()
        return cpuid.leaf(leaf, len(self.vps), bits)

    # --- what the machine asks (emu/planes/model.py) -------------------------------------------------------------

    def plane_name(self, number: int) -> str:
        """VTL0 and so on."""
        return f"VTL{number}"

    def hypercall(self, vcpu: VCpu, plane: Plane) -> None:
        """A hypercall other than VTL call and VTL return, which compiled code carries out (jit/vsm_call.py)."""
        execute(self.vps[vcpu.index], plane)

    def resize(self, vcpu: VCpu, planes: int, enabled: int, state: dict[str, Any]) -> None:
        """As many planes and VTLs as a saved state has (emu/snapshot)."""
        shape.resize(self, self.vps[vcpu.index], planes, enabled, state[".enabled"])

    def accepts_startup(self, vcpu: VCpu) -> bool:
        """INIT and SIPI to VTL0 are dropped once a higher VTL is enabled there (TLFS, "VTL interrupts") or has set
        DenyLowerVtlStartup."""
        denied = any(vtl.config & DENY_LOWER_VTL_STARTUP for number, vtl in self.vtls.items() if number)
        return self.vps[vcpu.index].enabled == 1 and not denied

    # --- for the hypercalls and MSRs -----------------------------------------------------------------------------

    def report(self, what: str) -> None:
        """Name something that is not implemented, once."""
        if what not in self._reported:
            self._reported.add(what)
            self.machine.report(f"Hyper-V: {what} is not implemented")

    def is_ram(self, gpa: int) -> bool:
        """Whether a page may hold an overlay page: RAM, or another VTL's hypercall page."""
        memory = self.machine.memory
        return gpa < memory.top and (bool(memory.map[gpa // PAGE] & pmap.WRITE) or self.pages.enabled(gpa))

    def enable_vtl(self, number: int) -> None:
        """A VTL becomes available to all virtual processors."""
        self.enabled |= 1 << number
        self.vtls[number] = PartitionVtl()

    def apic_bus(self, number: int) -> ApicBus:
        """What links the local APICs of one VTL: inter-processor interrupts never cross VTLs."""
        return self._buses.setdefault(number, ApicBus(self.machine.report))

    def check_self(self, partition_id: int) -> None:
        """HvError unless an operand names the caller's own partition."""
        if partition_id != codes.PARTITION_SELF:
            raise HvError(codes.INVALID_PARTITION_ID)

    def vp(self, caller: Vp, index: int) -> Vp:
        """The virtual processor that an operand names. HvError: there is none."""
        if index == codes.VP_SELF:
            return caller
        if index >= len(self.vps):
            raise HvError(codes.INVALID_VP_INDEX)
        return self.vps[index]

    def status(self, ms: int, kut: int) -> HvError:
        """An error whose status the dialects give differently."""
        return HvError(ms if self.dialect == "ms" else kut)
