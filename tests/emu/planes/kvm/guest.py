"""A KVM VM for the tests: planes over the same memory, each with code, a stack and handlers that count."""
from emu.irq.apicbus import ApicMessage
from emu.planes.kvm.vm import KvmVm
from emu.planes.policies import parse
from jit import layout
from tests.emu.flat import CODE, DATA, STACK, Flat

VMCALL, HLT, NOP = "0f01c1", "f4", "90"
CALL, RETURN, RUN = 0x11, 0x12, 0x80000018


class Kvm(Flat):
    """One vCPU with `planes` planes under a policy; all of them are in 64-bit mode at code of their own."""

    def __init__(self, policy=None, planes=2, dialect="apr25", policy_object=None, **options):
        chosen = parse(policy) if policy else policy_object
        self.vm = KvmVm(dialect, memory=8 << 20, policy=chosen, engine="interp", **options)
        super().__init__(machine=self.vm.machine)
        if self.vm.dialect.enables:
            self.vm.enable_cap(239, 16)
        self.vcpus = [self.vm.create_vcpu(0)]
        self.at(0, NOP)
        for n in range(1, planes):
            self.add(n)
        self.run_area = self.vcpus[0].run_area

    def add(self, number):
        plane = self.vm.create_plane(number)
        vcpu = plane.create_vcpu(self.vcpus[0] if self.vm.dialect.by_plane0 else 0)
        self.vcpus.append(vcpu)
        self.long_mode(vcpu.state)
        vcpu.state.set(layout.gpr(4), STACK + 0x1000 * (number + 1))
        self.vm.machine.vcpus[0].lapics[number].write_register(0xF0, 0x1FF)
        self.at(number, NOP)
        return vcpu

    def at(self, number, code, rflags=2, **registers):
        """Code of a plane, and where it is."""
        data = bytes.fromhex(code) + b"\xf4"
        self.m.dma_write(CODE + 0x1000 * number, data)
        self.vcpus[number].set_regs(rip=CODE + 0x1000 * number, rflags=rflags, **registers)

    def where(self, number):
        return self.vcpus[number].get_regs()["rip"] - CODE - 0x1000 * number

    def irq(self, number, vector=0xC0):
        self.vcpu.lapics[number].accept(ApicMessage(vector))

    def take(self, number):
        """The plane's APIC gives its interrupt away, as if it had been handled."""
        lapic = self.vcpu.lapics[number]
        vector = lapic.acknowledge()
        lapic.write_register(0xB0, 0)
        self.vcpu.interrupt_changed(number)
        return vector

    @property
    def active(self):
        return self.vcpu.group.active

    def steps(self, count=1):
        """Run instructions whatever the run structure says."""
        self.m.stopping = None
        return self.vcpu.run(count)

    def path(self):
        return [(s["from"], s["to"], s["cause"]) for s in self.m.switches]


__all__ = ["DATA", "Kvm"]
