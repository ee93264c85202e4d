"""A group that is saved in some state and restored into another VM goes on as if nothing had been."""
import pickle

import pytest

from emu.planes.kvm import migration
from emu.planes.kvm.dialects import KvmError
from emu.planes.kvm.routing import GsiRoute
from emu.planes.kvm.run import KVM_EXIT_MEMORY_FAULT, USERSPACE_EXIT_HLT
from emu.planes.kvm.vm import NW, KvmVm
from emu.walk import read_virtual
from jit import layout
from tests.emu.flat import CODE, COUNTS
from tests.emu.planes.kvm.guest import DATA, HLT, NOP, RETURN, VMCALL, Kvm

IF = 1 << 9


def nested(g):
    """Plane 2 runs, over 1, over 0."""
    for n in (1, 2):
        g.at(n, NOP + VMCALL, rax=RETURN)
        g.irq(n)
        g.steps(0)
        g.take(n)
    g.steps(1)


def halted(g):
    g.at(0, HLT + NOP, rflags=IF | 2)
    g.steps(5)


def expired_timer(g):
    halted(g)
    lapic = g.vcpu.lapic
    for offset, value in ((0x3E0, 0b1011), (0x320, 0x40), (0x380, 100)):
        lapic.write_register(offset, value)
    g.m.clock.skip_to(g.m.clock.next_deadline())
    g.m.clock.run_due()


def moved(g, policy, planes=3):
    """The same guest in another VM."""
    other = Kvm(policy, planes=planes)
    other.m.memory.write(0, g.m.memory.read(0, 0x200000))
    other.m.clock.load(g.m.clock.save())
    migration.restore(other.vcpus[0], pickle.loads(pickle.dumps(migration.save(g.vcpus[0]))))
    return other


def finish(g):
    before = len(g.m.switches)
    with pytest.raises(KvmError):
        g.vcpus[0].run()
    return g.path()[before:], [vcpu.get_regs() for vcpu in g.vcpus], g.count(0x40), g.active


@pytest.mark.parametrize("prepare, path, timers", (
    (nested, [(2, 1, "return"), (1, 0, "return")], 0), (halted, [], 0), (expired_timer, [], 1)))
def test_pl38_a_saved_group_goes_on_with_the_same_trace(prepare, path, timers):
    g = Kvm("HIGHEST_RUNNABLE", planes=3)
    g.vm.dialect = g.vm.dialect._replace(chosen=False)
    prepare(g)
    other = moved(g, "HIGHEST_RUNNABLE")
    other.vm.dialect = g.vm.dialect
    result = finish(other)
    assert result == finish(g) and result[0] == path and result[2] == timers


def test_pl38_a_hypercall_that_waits_for_its_answer():
    g = Kvm("USER", planes=3)
    g.at(0, VMCALL + NOP, rax=7)
    g.vcpus[0].run()
    other = moved(g, "USER")
    for guest in (g, other):
        guest.run_area = guest.vcpus[0].run_area
        guest.run_area.hypercall.ret = 99
    assert finish(other) == finish(g) and g.reg("rax") == 99


def test_hw36_saved_while_waiting():
    """HLT stays HLT; MWAIT has retired."""
    g = Kvm("USER", planes=3)
    g.at(0, "0f01c8" + "0f01c9" + HLT, rax=DATA, rcx=0, rdx=0)
    g.steps(2)
    assert not g.vcpu.runs()
    other = moved(g, "USER")
    assert other.vcpu.runs() and other.where(0) == 6
    other.run_area = other.vcpus[0].run_area
    other.run_area.userspace_exits = USERSPACE_EXIT_HLT
    other.vcpus[0].run()
    again = moved(other, "USER")
    assert not again.vcpu.runs() and again.vcpus[0].get_mp_state() == 3
    assert again.plane.get(layout.RIP) == other.plane.get(layout.RIP)


def test_other_planes_are_refused():
    g = Kvm("USER", planes=3)
    with pytest.raises(KvmError, match="planes 0b111, not 0b11"):
        migration.restore(Kvm("USER", planes=2).vcpus[0], migration.save(g.vcpus[0]))


def test_pl38_the_answer_goes_to_the_plane_that_asked_wherever_it_goes_on():
    """A hypercall of plane 1 waits for its answer; userspace lets plane 0 run in the VM to which it moved."""
    g = Kvm("USER", planes=2)
    g.run_area.plane = 1
    g.at(1, VMCALL + HLT, rax=7)
    g.vcpus[0].run()
    other = moved(g, "USER", planes=2)
    run = other.vcpus[0].run_area
    run.plane, run.hypercall.ret, run.immediate_exit = 0, 99, 1
    before = other.vcpus[0].get_regs()
    with pytest.raises(KvmError, match="immediate_exit"):
        other.vcpus[0].run()
    assert other.vcpus[1].get_regs()["rax"] == 99 and other.vcpus[0].get_regs() == before


def whole(g, **options):
    """The VM `g` moved as a whole."""
    vm = KvmVm(g.vm.dialect.name, memory=8 << 20, policy=g.vm.model.policy, engine="interp", **options)
    migration.restore_vm(vm, pickle.loads(pickle.dumps(migration.save_vm(g.vm))))
    vm.machine.memory.write(0, g.m.memory.read(0, 0x200000))
    return vm


def test_pl38_a_vm_keeps_attributes_overlays_routes_and_debug_state():
    g = Kvm("HIGHEST_RUNNABLE", planes=3, dialect="vsm26")
    g.vm.planes[1].set_memory_attributes(DATA, 0x1000, NW)
    g.vm.planes[2].set_memory_overlay(DATA + 0x1000, b"\x5A" * 4096)
    g.vm.planes[2].set_gsi_routing([GsiRoute(9, 0xFEE00000, 0xC1)])
    g.vm.irq_line(9, 1)
    g.vcpus[1].set_debugregs([DATA + 0x2000, 0, 0, 0], 0xFFFF0FF0, 0x10402)
    g.vcpus[2].set_vcpu_events(nmi_pending=1, interrupt_shadow=2)
    g.vcpus[2].set_xcr0(7)
    vm = whole(g)
    assert migration.save_vm(vm) == migration.save_vm(g.vm) and vm.planes.keys() == g.vm.planes.keys()
    first, second = (vm.planes[n].vcpus[0] for n in (1, 2))
    assert first.get_debugregs() == g.vcpus[1].get_debugregs() and second.get_vcpu_events()["nmi_pending"] == 1
    assert second.get_xcr0() == 7 and vm.irq_line(9, 1) == 0        # the line is up
    cpu, plane = vm.machine.vcpus[0], vm.machine.vcpus[0].planes
    assert bytes(read_virtual(vm.machine, plane[2], DATA + 0x1000, 1)) == b"\x5A"
    assert bytes(read_virtual(vm.machine, plane[1], DATA + 0x1000, 1)) == b"\0"
    second.set_vcpu_events(nmi_pending=0)
    cpu.lapics[2].irr = 0
    cpu.interrupt_changed(2)
    vm.planes[0].vcpus[0]._activate(1)
    vm.machine.dma_write(CODE + 0x1000, bytes.fromhex("c60425") + DATA.to_bytes(4, "little") + b"\1")
    assert vm.planes[0].vcpus[0].run() == KVM_EXIT_MEMORY_FAULT


def test_pl38_memory_is_shared_as_before():
    g = Kvm("LOWEST_RUNNABLE+fpu", planes=2, dialect="jun26")
    vm = whole(g)
    files = [plane.get(layout.FPU) for plane in vm.machine.vcpus[0].planes]
    assert files[0] == files[1]


def test_a_vm_of_another_kind_is_refused():
    g = Kvm("USER", planes=2)
    state = migration.save_vm(g.vm)
    for other in (KvmVm("oct24", memory=8 << 20, policy=g.vm.model.policy), KvmVm("apr25", memory=4 << 20), g.vm):
        with pytest.raises(KvmError, match="a VM without vCPUs of this kind.*apr25"):
            migration.restore_vm(other, state)


def test_pl38_a_timer_that_expired_unseen_is_seen_elsewhere():
    """With KVM's timers it is in no register yet when the VM is saved."""
    g = Kvm("HIGHEST_RUNNABLE", planes=2, dialect="jun26", lazy_timers=True)
    expired_timer(g)
    assert g.vcpu.lapic.irr == 0 and not g.vcpu.runs()
    vm = whole(g, lazy_timers=True)
    vcpu = vm.planes[0].vcpus[0]
    assert vm.machine.vcpus[0].lapic.irr == 0 and vcpu.is_runnable()
    with pytest.raises(KvmError, match="sleeps"):
        vcpu.run()
    assert vm.machine.memory.read(COUNTS + 8 * 0x40, 1) == b"\1"
