"""What a guest can ask of KVM: starting planes and interrupting them (docs/planes.md, "A guest with planes")."""
import pytest

from emu.irq.apicbus import INIT, STARTUP, ApicMessage
from emu.machine import Machine
from emu.planes.kvm.dialects import KvmError
from emu.planes.snp import vmsa
from emu.waiting import WAIT_FOR_SIPI
from jit import layout
from tests.emu.flat import CODE, DATA, GDT, IDT, PML4, STACK, TSS, Flat
from tests.emu.planes.kvm.guest import HLT, NOP, VMCALL, Kvm

AP_CREATION, HV_IPI, NOTICES, RUN, CALL = 0x80000013, 0x80000015, 0x80005001, 0x80000018, 0x11
ON_INIT, CREATE, DESTROY = 0, 1, 2
EPERM, EINVAL = -1, -22
PAGE = DATA + 0x1000


def context(plane=1, **changes):
    """A VMSA in 64-bit mode at the plane's code."""
    data = {"selector": 16, "attributes": 0xC93, "limit": 0xFFFFFFFF}
    fields = dict(cs_selector=8, cs_attributes=0xA9B, cs_limit=0xFFFFFFFF, tr_attributes=0x8B, tr_base=TSS,
                  tr_limit=0x67, ldtr_attributes=0x82, gdtr_base=GDT, gdtr_limit=0x7F, idtr_base=IDT, idtr_limit=0xFFF,
                  cr0=0x80000011, cr3=PML4, cr4=0x620, efer=0x500, rflags=2, g_pat=0x0007040600070406,
                  rip=CODE + 0x1000 * plane, rsp=STACK + 0x1000 * (plane + 1))
    for name in ("ds", "es", "fs", "gs", "ss"):
        fields |= {f"{name}_{part}": value for part, value in data.items()}
    return vmsa.pack(fields | changes)


class Guest(Flat):
    """A machine of `--planes kvm`; planes above 0 have 64-bit code of their own once they are started."""

    def __init__(self, policy, **options):
        super().__init__(planes="kvm", policy=policy, **options)
        self.m.dma_write(PAGE, context())
        for n in range(4):
            self.m.dma_write(CODE + 0x1000 * n, bytes.fromhex(NOP * 8 + HLT))

    def call(self, number, first=0, second=0, vcpu=0):
        """The hypercall by the plane that runs; gives RAX, signed."""
        cpu = self.m.vcpus[vcpu]
        plane = cpu.plane
        at = plane.get(layout.RIP)
        self.m.dma_write(at, bytes.fromhex(VMCALL))
        for register, value in ((0, number), (3, first), (1, second)):
            plane.set(layout.gpr(register), value)
        self.m.reschedule = False
        cpu.run(1)
        assert plane.get(layout.RIP) == at + 3
        return plane.signed(layout.gpr(0))

    def create(self, plane=1, action=CREATE, vcpu=0, page=PAGE):
        return self.call(AP_CREATION, vcpu << 32 | plane << 16 | action, page)

    def path(self):
        return [(s["from"], s["to"], s["cause"]) for s in self.m.switches]


def test_a_plane_starts_in_the_context_it_was_given():
    g = Guest("LOWEST_RUNNABLE")
    g.m.dma_write(PAGE, context(rax=7, r15=9, cr2=0x123, lstar=0x4000, x87_fcw=0x27F))
    assert g.create() == 0
    twin = g.vcpu.planes[1]
    assert [twin.get(layout.gpr(n)) for n in (0, 15)] == [7, 9] and twin.get(layout.CR2) == 0x123
    assert (twin.get(layout.LSTAR), twin.get(layout.DR7), twin.get(layout.XCR0)) == (0x4000, 0x400, 1)
    assert g.call(RUN, 1) == 0 and g.vcpu.group.active == 1
    g.vcpu.run(2)
    assert g.plane.get(layout.RIP) == CODE + 0x1002


@pytest.mark.parametrize("request_, page", (
    (3, PAGE), (1 << 20 | CREATE | 1 << 16, PAGE), (0 << 16 | CREATE, PAGE), (5 << 16 | CREATE, PAGE),
    (1 << 32 | 1 << 16 | CREATE, PAGE), (1 << 16 | CREATE, PAGE + 8), (1 << 16 | CREATE, 1 << 40)))
def test_wrong_requests_change_nothing(request_, page):
    g = Guest("LOWEST_RUNNABLE")
    g.m.plane_model.limit = 4
    assert g.call(AP_CREATION, request_, page) == EINVAL and len(g.vcpu.planes) == 1


@pytest.mark.parametrize("change", (
    {"cr0": 0x80000010}, {"efer": 0x40500}, {"cr4": 1 << 62}, {"rip": 1 << 50}, {"cs_attributes": 0x93},
    {"xcr0": 2}, {"dr7": 1 << 40}, {"lstar": 1 << 60}, {"gs_base": 1 << 60}, {"g_pat": 2}, {"rflags": 1 << 17}))
def test_a_context_that_no_processor_can_be_in_is_refused(change):
    g = Guest("LOWEST_RUNNABLE")
    g.m.dma_write(PAGE, context(**change))
    assert g.create() == EINVAL


def test_only_more_privileged_planes_change_one_that_runs():
    g = Guest("LOWEST_RUNNABLE")
    assert g.create(2) == g.call(RUN, 2) == 0 and g.vcpu.group.active == 2
    assert g.create(1) == 0 and g.path()[-1] == (2, 1, "start")
    assert g.call(RUN, 2) == 0 and g.vcpu.group.active == 2
    assert g.create(1) == EPERM and g.create(0) == EPERM and g.create(2) == EINVAL
    assert g.call(RUN, 0) == 0 and g.create(2, DESTROY) == 0 and g.call(RUN, 2) == EINVAL
    assert g.create(2) == 0 and g.call(RUN, 2) == 0


def test_pl17_kvm_leaves_for_a_plane_that_is_missing_until_there_is_one():
    g = Kvm(planes=1, dialect="jun26")
    g.m.dma_write(PAGE, context())
    g.at(0, VMCALL + HLT, rax=AP_CREATION, rbx=1 << 16 | CREATE, rcx=PAGE)
    for _ in range(2):
        assert g.vcpus[0].run() == 44 and g.where(0) == 0
        event = g.run_area.plane_event
        assert (event.cause, event.plane, event.extra) == (1, 1, (0,))
    g.vm.create_plane(1).create_vcpu(0)
    with pytest.raises(KvmError):
        g.vcpus[0].run()
    assert g.where(0) == 4 and g.reg("rax") == 0 and g.vcpu.planes[1].get(layout.RIP) == CODE + 0x1000


def test_pl17_elsewhere_the_request_is_userspaces():
    g = Kvm(planes=1, dialect="apr25")
    g.m.dma_write(PAGE, context())
    g.at(0, VMCALL + HLT, rax=AP_CREATION, rbx=1 << 16 | CREATE, rcx=PAGE)
    assert g.vcpus[0].run() == 3 and g.run_area.hypercall.nr == AP_CREATION


def test_pl25_interrupts_for_a_more_privileged_plane_are_refused():
    g = Guest("HIGHEST_RUNNABLE")
    assert g.create() == 0 and g.call(HV_IPI, 0x50, 1) == EPERM
    assert g.call(CALL) == 0 and g.vcpu.group.active == 1
    assert g.call(HV_IPI, 0x50, 0) == 0 and g.vcpu.group.active == 1
    assert g.vcpu.lapics[0].irr == 1 << 0x50
    assert g.call(HV_IPI, 0x50, 2) == EINVAL and g.call(HV_IPI, 0x500, 0) == EINVAL


def test_pl25_unless_the_policy_lets_them_through():
    g = Guest("HIGHEST_RUNNABLE+ipi")
    assert g.create() == 0
    g.vcpu.lapics[1].write_register(0xF0, 0x1FF)
    g.call(HV_IPI, 0x50, 1)
    g.vcpu.run(0)
    assert g.path() == [(0, 1, "interrupt")]


def test_notices_are_for_the_marked_plane_and_once():
    g = Guest("MPP(0)")
    assert g.create() == g.call(RUN, 1) == 0
    assert g.call(NOTICES) == EPERM
    g.vcpu.lapics[0].write_register(0xF0, 0x1FF)
    g.vcpu.lapics[0].accept(ApicMessage(0x50))
    g.vcpu.run(0)
    assert g.vcpu.group.active == 0 and g.call(NOTICES) == 1 and g.call(NOTICES) == 0
    assert Guest("LOWEST_RUNNABLE").call(NOTICES) == 0


def test_init_starts_an_armed_plane_and_stops_another():
    g = Guest("LOWEST_RUNNABLE", vcpus=2)
    assert g.create(1, ON_INIT, vcpu=1) == 0
    bus = g.m.plane_model.bus(1)
    twin = g.m.vcpus[1].planes[1]
    assert twin.get(layout.ACTIVITY) == WAIT_FOR_SIPI
    bus.send(ApicMessage(0, INIT, destination=1))
    assert twin.get(layout.ACTIVITY) == 0 and twin.get(layout.RIP) == CODE + 0x1000
    bus.send(ApicMessage(0, INIT, destination=1))
    assert twin.get(layout.ACTIVITY) == WAIT_FOR_SIPI
    bus.send(ApicMessage(0x9A, STARTUP, destination=1))
    assert twin.get(layout.ACTIVITY) == 0 and twin.get(layout.seg(layout.CS, layout.SEG_BASE)) == 0x9A000


def test_the_interface_announces_itself():
    leaf = Guest("MPP(2)").vcpu.cpuid.read
    assert leaf(0x40000000, 0)[1:] == (0x4B4D564B, 0x564B4D56, 0x4D)
    assert leaf(0x40000100, 0)[1:] == (0x61727453, 0x6C506174, 0x73656E61)
    assert leaf(0x40000101, 0) == (16, 2, 3, 0)
    assert Guest("HIGHEST_RUNNABLE+fpu").vcpu.cpuid.read(0x40000101, 0) == (16, 0x101, 0, 4)


def test_an_unknown_hypercall_is_named_once():
    g = Guest("LOWEST_RUNNABLE")
    assert g.call(0x7777) == g.call(0x7777) == -1000
    assert len(g.reports) == 1 and "0x7777" in g.reports[0]


def test_a_wrong_policy_is_one_line():
    with pytest.raises(ValueError, match=r"FIFO.*MPP\(n\).*\+fpu"):
        Machine(planes="kvm", policy="FIFO")
