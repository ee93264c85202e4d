"""VM and plane descriptors."""

from __future__ import annotations

from emu.machine import Machine
from emu.mem.ram import PAGE, HostBlock
from emu.planes.kvm import dialects
from emu.planes.kvm.dialects import EEXIST, EINVAL, ENOTTY, refuse
from emu.planes.kvm.model import KvmModel
from emu.planes.kvm.vcpu import Vcpu
from emu.planes.policies import Policy, parse
from jit import guards, layout

NR, NW, NX, PRIVATE = 1, 2, 4, 8            # KVM_MEMORY_ATTRIBUTE_*: what a page must not be used for


class KvmPlane:
    """A plane of a VM: interrupts, memory attributes, vCPU creation."""

    def __init__(self, vm: KvmVm, number: int) -> None:
        self.vm, self.number = vm, number
        self.bus = vm.model.bus(number)
        self.vcpus: dict[int, Vcpu] = {}
        self._denials: HostBlock | None = None

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
        EINVAL without a vCPU of that id on plane 0, EEXIST if there is one here."""
        if isinstance(vcpu, int) == self.vm.dialect.by_plane0 and self.number:
            raise refuse(EINVAL, f"{self.vm.dialect.name} creates vCPUs of planes the other way")
        number = vcpu if isinstance(vcpu, int) else vcpu.id
        if number in self.vcpus:
            raise refuse(EEXIST, f"vCPU {number} of plane {self.number}")
        if self.number and number not in self.vm.planes[0].vcpus:
            raise refuse(EINVAL, f"plane 0 has no vCPU {number}")
        if number >= len(self.vm.machine.vcpus):
            raise refuse(EINVAL, f"vCPU {number}: the VM was made for {len(self.vm.machine.vcpus)}")
        if self.number:
            self.vm.model.add_twin(number, self.number)
        made = self.vcpus[number] = Vcpu(self, number)
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
        for number in self.vcpus:
            plane = self.vm.machine.vcpus[number].planes[self.number]
            plane.set(layout.DENIALS, self._denials.address)
            plane.flush()


class KvmVm:
    """A virtual machine: memory, devices, planes. `policy` replaces what the dialect's kernel would do."""

    def __init__(self, dialect: str = "apr25", vcpus: int = 1, memory: int = 64 << 20, policy: Policy | None = None,
                 engine: str = "auto") -> None:
        self.dialect = dialects.dialect(dialect)
        self.machine = Machine(memory=memory, vcpus=vcpus, engine=engine)
        self.model = KvmModel(self.machine, policy or parse(self.dialect.policy), self.dialect.limit)
        self.planes: dict[int, KvmPlane] = {}
        self.planes[0] = KvmPlane(self, 0)

    def check_extension(self, capability: int) -> int:
        """KVM_CHECK_EXTENSION."""
        if capability == dialects.KVM_CAP_PLANES:
            return self.dialect.limit if self.dialect.counts else self.dialect.limit - 1
        return int(capability in (dialects.KVM_CAP_PLANES_FPU, dialects.KVM_CAP_CHECK_EXTENSION_VM))

    def enable_cap(self, capability: int) -> None:
        """KVM_ENABLE_CAP: KVM_CAP_PLANES_FPU makes planes share x87 and vector state. KvmError: EINVAL where it has
        the other meaning (a property to read), for other capabilities, and once there is a vCPU."""
        if capability != dialects.KVM_CAP_PLANES_FPU or self.dialect.fpu_capability_splits or self.planes[0].vcpus:
            raise refuse(EINVAL, f"capability {capability} cannot be enabled now")
        self.model.shares_fpu = True

    def create_plane(self, number: int) -> KvmPlane:
        """KVM_CREATE_PLANE. KvmError: EINVAL beyond the limit, EEXIST."""
        if not 0 <= number < self.dialect.limit:
            raise refuse(EINVAL, f"plane {number}: {self.dialect.name} has {self.dialect.limit}")
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
