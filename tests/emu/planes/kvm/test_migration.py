"""A group that is saved in some state and restored into another VM goes on as if nothing had been."""
import pickle

import pytest

from emu.planes.kvm import migration
from emu.planes.kvm.dialects import KvmError
from emu.planes.kvm.run import USERSPACE_EXIT_HLT
from jit import layout
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


def moved(g, policy):
    """The same guest in another VM."""
    other = Kvm(policy, planes=3)
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
    with pytest.raises(KvmError, match="3 planes, not 2"):
        migration.restore(Kvm("USER", planes=2).vcpus[0], migration.save(g.vcpus[0]))
