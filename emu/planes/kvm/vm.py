"""VM and plane descriptors."""

from __future__ import annotations

import zlib
from typing import Any

from emu.machine import Machine
from emu.mem.ram import PAGE, HostBlock
from emu.planes.kvm import dialects
from emu.planes.kvm.dialects import EEXIST, EINVAL, ENOTTY, refuse
from emu.planes.kvm.model import KvmModel
from emu.planes.kvm.overlay import OverlayPages, Overlays
from emu.planes.kvm.routing import GsiRoute, GsiRouting
from emu.planes.kvm.vcpu import Vcpu
from emu.planes.policies import Policy, parse
from jit import guards, layout

DISABLE_EXITS, DISABLE_EXITS_HLT = 15, 2    # MWAIT, HLT, PAUSE, CSTATE
IRQCHIPS = ("split", "kernel", "userspace")
NR, NW, NX, PRIVATE = 1, 2, 4, 8            # KVM_MEMORY_ATTRIBUTE_*: what a page must not be used for


class KvmPlane:
    """A plane of a VM: interrupts, memory attributes, vCPU creation."""

    def __init__(self, vm: KvmVm, number: int) -> None:
        self.vm, self.number = vm, number
        self.bus = vm.model.bus(number)
        self.vcpus: dict[int, Vcpu] = {}
        self._denials: HostBlock | None = None
        self.overlays = Overlays(vm.pages)

    def check_extension(self, capability: int) -> int:
        """KVM_CHECK_EXTENSION. KvmError ENOTTY: the series has none on planes."""
        if self.number == 0:
            return self.vm.check_extension(capability)
        if not self.vm.dialect.plane_extension:
            raise refuse(ENOTTY, f"plane {self.number} answers no KVM_CHECK_EXTENSION in {self.vm.dialect.name}")
        return int(capability == dialects.KVM_CAP_CHECK_EXTENSION_VM)

    def ioctl(self, name: str) -> None:
        """Any other ioctl."""
        raise refuse(ENOTTY, f"{name} is not for planes")

    def create_vcpu(self, vcpu: Vcpu | int) -> Vcpu:
        """KVM_CREATE_VCPU_PLANE from plane 0's vCPU, or KVM_CREATE_VCPU with an id, as the dialect has it. KvmError:
        EINVAL without a vCPU of that id on plane 0 of this VM, EEXIST if there is one here."""
        if isinstance(vcpu, int) == self.vm.dialect.by_plane0 and self.number:
            raise refuse(EINVAL, f"{self.vm.dialect.name} creates vCPUs of planes the other way")
        number = vcpu if isinstance(vcpu, int) else vcpu.id
        if number in self.vcpus:
            raise refuse(EEXIST, f"vCPU {number} of plane {self.number}")
        if self.number and number not in self.vm.planes[0].vcpus:
            raise refuse(EINVAL, f"plane 0 has no vCPU {number}")
        if not isinstance(vcpu, int) and self.vm.planes[0].vcpus[number] is not vcpu:
            raise refuse(EINVAL, "that vCPU is not plane 0's, or another VM's")
        if not 0 <= number < len(self.vm.machine.vcpus):
            raise refuse(EINVAL, f"vCPU {number}: the VM was made for {len(self.vm.machine.vcpus)}")
        if self.number:
            self.vm.model.add_twin(number, self.number)
        made = self.vcpus[number] = Vcpu(self, number)
        self.use_tables()
        return made

    def signal_msi(self, address: int, data: int) -> int:
        """KVM_SIGNAL_MSI to this plane's APICs; gives how many took it."""
        return self.bus.send_msi(address, data)

    def set_memory_attributes(self, address: int, size: int, attributes: int, flags: int = 0) -> None:
        """KVM_SET_MEMORY_ATTRIBUTES: NR, NW, NX of whole pages for this plane. KvmError: ENOTTY where planes have none,
        EINVAL for what the interface does not allow."""
        if not self.vm.dialect.attributes:
            raise refuse(ENOTTY, f"{self.vm.dialect.name} has no memory attributes of planes")
        memory = self.vm.machine.memory
        if (flags or size <= 0 or address < 0 or (address | size) % PAGE or address + size > memory.top
                or attributes & ~(NR | NW | NX | PRIVATE) or attributes & PRIVATE and attributes & (NR | NW | NX)
                or attributes & NR and attributes & (NW | NX) != NW | NX):
            raise refuse(EINVAL, f"memory attributes {attributes:#x} of {size:#x} bytes at {address:#x}")
        if self._denials is None:
            self._denials = HostBlock(memory.top // PAGE)
        denied = attributes & (NR | NW | NX) | (guards.DENY_USER_EXECUTE if attributes & NX else 0)
        self._denials.view[address // PAGE:(address + size) // PAGE] = bytes((denied,)) * (size // PAGE)
        self.use_tables()

    def use_tables(self) -> None:
        """Let the vCPUs of this plane work with its memory attributes and overlays."""
        for number in self.vcpus:
            plane = self.vm.machine.vcpus[number].planes[self.number]
            plane.set(layout.DENIALS, 0 if self._denials is None else self._denials.address)
            self.overlays.use(plane)
            plane.flush()

    def set_memory_overlay(self, address: int, data: bytes | None) -> int:
        """KVM_SET_PLANE_MEMORY_OVERLAY: a page of userspace's, with these contents, over a page of guest memory, for
        this plane alone; None takes it away. Gives where the page is for `KvmVm.machine.memory`. KvmError: ENOTTY where
        the series has no overlays, EINVAL for plane 0, no page of RAM, or other than 4096 bytes."""
        if not self.vm.dialect.overlays:
            raise refuse(ENOTTY, f"{self.vm.dialect.name} has no overlays")
        if not self.number or address % PAGE or not self.vm.machine.memory.backed(address, PAGE) \
                or data is not None and len(data) != PAGE:
            raise refuse(EINVAL, f"an overlay for plane {self.number} at {address:#x}")
        at = self.overlays.put(address, data) if data is not None else self.overlays.remove(address)
        for plane in self.vm.planes.values():
            plane.use_tables()
        return at

    def save(self) -> dict[str, Any]:
        """Memory attributes and overlays, which KVM itself does not give back."""
        return {"denials": b"" if self._denials is None else zlib.compress(bytes(self._denials.view), 1),
                "overlays": self.overlays.save()}

    def load(self, state: dict[str, Any]) -> None:
        """Put them into a plane that has none."""
        if state["denials"]:
            self._denials = HostBlock(self.vm.machine.memory.top // PAGE)
            self._denials.view[:] = zlib.decompress(state["denials"])
        for address, data in state["overlays"]:
            self.overlays.put(address, data)
        for plane in self.vm.planes.values():
            plane.use_tables()

    def set_gsi_routing(self, entries: list[GsiRoute]) -> None:
        """KVM_SET_GSI_ROUTING on a plane: one table for the VM, all of whose GSIs are this plane's from now on.
        KvmError ENOTTY where planes do not have it."""
        if self.number and self.vm.dialect.routing != "owner":
            raise refuse(ENOTTY, f"KVM_SET_GSI_ROUTING is not for planes in {self.vm.dialect.name}")
        self.vm.routing.set(entries, self.number)


class KvmVm:
    """A virtual machine: memory, devices, planes. `policy` replaces what the dialect's kernel would do. `irqchip`: what
    the kernel has of the interrupt controllers, "split" the local APICs, "kernel" all of them, "userspace" none: then
    HLT leaves, and KVM_INTERRUPT injects. There are planes with the first alone. `lazy_timers`: as KVM's
    (emu/planes/kvm/lazy_timers.py). `limit`: planes that there may be; `running`: by vCPU, the thread in KVM_RUN.
    ValueError: no such dialect or irqchip."""

    def __init__(self, dialect: str = "apr25", vcpus: int = 1, memory: int = 64 << 20, policy: Policy | None = None,
                 engine: str = "auto", irqchip: str = "split", lazy_timers: bool = False) -> None:
        self.dialect = dialects.dialect(dialect)
        if irqchip not in IRQCHIPS:
            raise ValueError(f"irqchip {irqchip!r}: not one of {', '.join(IRQCHIPS)}")
        self.split, self.irqchip = irqchip == "split", irqchip != "userspace"
        self.halts_unseen, self.lazy_timers = False, lazy_timers
        self.running: dict[int, int] = {}
        self.limit = self.dialect.limit if self.split and not self.dialect.enables else 1
        self.machine = Machine(memory=memory, vcpus=vcpus, engine=engine)
        self.pages = OverlayPages(self.machine)
        self.routing = GsiRouting(self)
        self.model = KvmModel(self.machine, policy or parse(self.dialect.policy), self.dialect.limit)
        self.planes: dict[int, KvmPlane] = {}
        self.planes[0] = KvmPlane(self, 0)

    def check_extension(self, capability: int) -> int:
        """KVM_CHECK_EXTENSION."""
        if capability == dialects.KVM_CAP_PLANES:
            most = self.dialect.limit if self.split else 1
            return most if self.dialect.counts else most - 1
        if capability == dialects.KVM_CAP_PLANES_FPU:
            return int(self.dialect.fpu_capability == "shares"
                       or self.dialect.fpu_capability == "splits" and not self.model.shares_fpu)
        if capability in (dialects.KVM_CAP_NR_VCPUS, dialects.KVM_CAP_MAX_VCPUS):
            return len(self.machine.vcpus)
        return {dialects.KVM_CAP_X86_DISABLE_EXITS: DISABLE_EXITS, dialects.KVM_CAP_IRQCHIP: int(self.irqchip),
                dialects.KVM_CAP_SPLIT_IRQCHIP: int(self.split),
                dialects.KVM_CAP_MEMORY_ATTRIBUTES: NR | NW | NX | PRIVATE if self.dialect.attributes else 0,
                }.get(capability, int(capability in dialects.ALWAYS))

    def enable_cap(self, capability: int, argument: int = 0) -> None:
        """KVM_ENABLE_CAP: KVM_CAP_PLANES_FPU makes planes share x87 and vector state; KVM_CAP_PLANES, where the series
        wants that, lets there be so many planes; KVM_CAP_X86_DISABLE_EXITS with HLT (2) hides in MP states that a vCPU
        is halted, as hardware that is left alone does. KvmError: EINVAL where a capability is only to be read, for
        others, wrong numbers and unknown bits, and once there is a vCPU."""
        if capability == dialects.KVM_CAP_X86_DISABLE_EXITS:
            if argument & ~DISABLE_EXITS or self.planes[0].vcpus:
                raise refuse(EINVAL, f"exits {argument:#x} cannot be disabled now")
            self.halts_unseen = bool(argument & DISABLE_EXITS_HLT)
            return
        if capability == dialects.KVM_CAP_PLANES and self.dialect.enables:
            if not 1 <= argument <= self.check_extension(capability) or self.planes[0].vcpus or len(self.planes) > 1:
                raise refuse(EINVAL, f"{argument} planes cannot be enabled now")
            self.limit = argument
            return
        if capability != dialects.KVM_CAP_PLANES_FPU or self.dialect.fpu_capability != "shares" or self.planes[0].vcpus:
            raise refuse(EINVAL, f"capability {capability} cannot be enabled now")
        self.model.shares_fpu = True

    def create_plane(self, number: int) -> KvmPlane:
        """KVM_CREATE_PLANE. KvmError: EINVAL beyond the limit, EEXIST."""
        if not 0 <= number < self.limit:
            raise refuse(EINVAL, f"plane {number}: this VM of {self.dialect.name} may have {self.limit}")
        if number in self.planes:
            raise refuse(EEXIST, f"plane {number}")
        made = self.planes[number] = KvmPlane(self, number)
        return made

    def create_vcpu(self, number: int) -> Vcpu:
        """KVM_CREATE_VCPU on plane 0."""
        return self.planes[0].create_vcpu(number)

    def signal_msi(self, address: int, data: int) -> int:
        """KVM_SIGNAL_MSI: to plane 0."""
        return self.planes[0].signal_msi(address, data)

    def set_gsi_routing(self, entries: list[GsiRoute]) -> None:
        """KVM_SET_GSI_ROUTING: what each GSI sends. KvmError EINVAL: a plane in an entry where the series has none."""
        self.routing.set(entries, None)

    def irq_line(self, gsi: int, level: int) -> int:
        """KVM_IRQ_LINE: a rising edge sends the GSI's message; gives how many local APICs took it."""
        return self.routing.line(gsi, level)
