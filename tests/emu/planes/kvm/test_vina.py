"""A plane that wants to is told of interrupts for less privileged ones, whatever the policy (TLFS, Virtual Secure Mode,
"Virtual interrupt notification assist")."""
import pickle

import pytest

from emu.planes.kvm import migration
from emu.planes.kvm.dialects import KvmError
from emu.planes.kvm.vina import AUTO_RESET, ENABLED
from jit import layout
from tests.emu.planes.kvm.guest import NOP, RETURN, VMCALL, Kvm
from tests.emu.planes.kvm.test_guest_calls import EINVAL, Guest

VECTOR, IF = 0x70, 1 << 9
SET_VINA = 0x80005002


def told(g, number):
    """How often, of interrupts that wait and are under way; they are gone then."""
    lapic = g.vcpu.lapics[number]
    found = (lapic.irr | lapic.isr) >> VECTOR & 1
    lapic.irr &= ~(1 << VECTOR)
    g.vcpu.interrupt_changed(number)
    return found


def above(policy, upper, lower, planes=2, rflags=IF | 2, **options):
    """`upper` runs and wants to know of interrupts for `lower`, which has this RFLAGS."""
    g = Kvm(policy, planes=planes, **options)
    g.at(upper, NOP * 8)
    g.at(lower, NOP * 8, rflags=rflags)
    g.vcpus[0]._activate(upper)
    g.run_area.plane = upper
    g.vcpus[upper].set_vina(VECTOR | ENABLED)
    return g


POLICIES = (("USER", 0, 1), ("LOWEST_RUNNABLE", 0, 1), ("HIGHEST_RUNNABLE", 1, 0), ("HV_TLFS_LITERAL", 1, 0),
            ("MPP(0)", 0, 1), ("TDX", 0, 1), ("CCA", 0, 1))


@pytest.mark.parametrize("policy, upper, lower", POLICIES)
def test_pl08_the_plane_that_runs_is_told_once_under_every_policy(policy, upper, lower):
    g = above(policy, upper, lower)
    g.irq(lower, 0x50)
    g.steps(1)
    assert g.active == upper and told(g, upper) == 1
    g.irq(lower, 0xC0)
    g.steps(1)
    assert g.active == upper and told(g, upper) == 0
    g.vcpus[upper].set_vina(VECTOR | ENABLED)           # seen; the interrupts are still there
    assert told(g, upper) == 1


@pytest.mark.parametrize("policy, upper, lower", POLICIES)
def test_pl08_only_of_interrupts_that_could_be_taken_at_once(policy, upper, lower):
    g = above(policy, upper, lower, rflags=2)
    g.irq(lower)
    assert told(g, upper) == 0
    g = above(policy, upper, lower)
    g.vcpus[lower].state.set(layout.SHADOW, 1)
    g.irq(lower)
    assert told(g, upper) == 0
    g = above(policy, upper, lower)
    g.vcpu.lapics[lower].write_register(0x80, 0xF0)     # TPR
    g.irq(lower)
    assert told(g, upper) == 0
    g.vcpu.lapics[lower].write_register(0x80, 0)
    assert told(g, upper) == 1


@pytest.mark.parametrize("policy, upper, lower", POLICIES)
def test_less_privileged_planes_are_told_nothing(policy, upper, lower):
    g = above(policy, lower, upper)
    g.irq(upper)
    assert told(g, lower) == 0


@pytest.mark.parametrize("register, again", ((VECTOR | ENABLED, 0), (VECTOR | ENABLED | AUTO_RESET, 1)))
def test_pl08_a_plane_is_told_when_it_is_entered_and_again_with_auto_reset(register, again):
    g = Kvm("HIGHEST_RUNNABLE", planes=2)
    g.vcpus[1].set_vina(register)
    g.at(0, NOP * 8, rflags=IF | 2)
    g.at(1, VMCALL + NOP, rax=RETURN)
    g.irq(0, 0x50)
    g.irq(1, 0xC0)
    g.steps(0)                                          # plane 1 comes first
    assert g.path() == [(0, 1, "interrupt")] and told(g, 1) == 1
    g.steps(1)                                          # it returns, and is entered again
    assert g.path()[1:] == [(1, 0, "return"), (0, 1, "interrupt")] and told(g, 1) == again


def test_pl08_a_plane_to_which_another_returns_is_told():
    g = Kvm("HIGHEST_RUNNABLE", planes=3)
    g.at(0, NOP * 8, rflags=IF | 2)
    g.at(2, VMCALL + NOP, rax=RETURN)
    for n in (1, 2):
        g.irq(n)
        g.steps(0)
        g.take(n)
    g.vcpus[1].set_vina(VECTOR | ENABLED)
    g.irq(0)
    assert g.active == 2 and told(g, 1) == told(g, 2) == 0
    g.steps(1)
    assert g.path()[-1] == (2, 1, "return") and told(g, 1) == 1


def test_userspace_that_enters_a_plane_lets_it_be_told():
    g = above("USER", 0, 1)
    g.run_area.plane = 1
    g.vcpus[1].set_regs(rflags=2)
    g.at(1, "f4", rflags=2)
    with pytest.raises(KvmError):
        g.vcpus[0].run()
    g.irq(1)
    assert told(g, 0) == 0                              # it is not plane 0 that runs
    g.vcpus[1].set_regs(rflags=IF | 2)
    g.at(0, "f4")
    g.run_area.plane = 0
    with pytest.raises(KvmError):
        g.vcpus[0].run()
    assert g.active == 0 and told(g, 0) == 1


def test_pl38_a_plane_that_was_told_is_not_told_again_after_it_moved():
    g = above("HIGHEST_RUNNABLE", 1, 0)
    g.irq(0)
    other = Kvm("HIGHEST_RUNNABLE", planes=2)
    migration.restore(other.vcpus[0], pickle.loads(pickle.dumps(migration.save(g.vcpus[0]))))
    assert other.vcpus[1].get_vina() == VECTOR | ENABLED and told(other, 1) == 1
    other.irq(0, 0xD0)
    assert told(other, 1) == 0


def test_a_guest_asks_for_it_itself():
    g = Guest("lowest-runnable")
    assert g.call(SET_VINA, VECTOR | ENABLED | AUTO_RESET) == 0
    g.create()
    g.vcpu.planes[1].rflags = IF | 2
    g.vcpu.lapics[1].write_register(0xF0, 0x1FF)
    g.call(0x80000015, 0xC0 | 1 << 18, 1)               # an IPI to itself, in plane 1
    assert told(g, 0) == 1


@pytest.mark.parametrize("value", (ENABLED, ENABLED | 15, 1 << 10, 1 << 63))
def test_what_the_register_does_not_hold_is_refused(value):
    assert Guest("highest-runnable").call(SET_VINA, value) == EINVAL
    g = above("USER", 0, 1)
    with pytest.raises(KvmError, match="VINA"):
        g.vcpus[0].set_vina(value)
    assert g.vcpus[0].get_vina() == VECTOR | ENABLED
