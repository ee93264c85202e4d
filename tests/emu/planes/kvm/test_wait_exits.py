"""How a VMM sees halted and waiting vCPUs; hwN: number in the scenario list of halting (tests/scenarios/wait.json)."""
import errno
import select

import pytest

from emu.irq.apicbus import INIT, ApicMessage
from emu.planes.kvm.run import KVM_EXIT_HLT, KVM_EXIT_IRQ_WINDOW_OPEN, USERSPACE_EXIT_HLT
from emu.planes.kvm.vm import KvmVm
from emu.waiting import HALTED
from jit import group_layout, layout
from tests.emu.flat import CODE, Flat
from tests.emu.planes.kvm.guest import HLT, NOP, Kvm
from tests.emu.planes.kvm.test_api import fails

IF = 1 << 9
RUNNABLE, UNINITIALIZED, INIT_RECEIVED = 0, 1, 2
STI = "fb"


class Vm(Flat):
    """vCPUs without further planes."""

    def __init__(self, vcpus=1, **options):
        self.vm = KvmVm("apr25", vcpus=vcpus, memory=8 << 20, engine="interp", **options)
        super().__init__(machine=self.vm.machine)
        self.vcpus = []

    def make(self):
        self.vcpus = [self.vm.create_vcpu(n) for n in range(len(self.m.vcpus))]
        return self.vcpus[0]


def test_hw10_an_ap_waits_for_init():
    g = Vm(vcpus=2)
    g.make()
    ap = g.vcpus[1]
    assert (g.vcpus[0].get_mp_state(), ap.get_mp_state()) == (RUNNABLE, UNINITIALIZED)
    ap.run_area.immediate_exit = 1
    fails(errno.EINTR, ap.run)
    ap.run_area.immediate_exit = 0
    g.nmi(1)
    fails(errno.EAGAIN, ap.run)
    assert ap.get_mp_state() == UNINITIALIZED
    g.m.pc.apic_bus.send(ApicMessage(0, INIT, destination=1))
    fails(errno.EAGAIN, ap.run)
    assert ap.get_mp_state() == INIT_RECEIVED and g.m.icount == 0


def test_hw16_reading_the_state_takes_a_latched_init_into_account():
    g = Vm(vcpus=2)
    g.make()
    g.m.pc.apic_bus.send(ApicMessage(0, INIT, destination=1))
    assert g.vcpus[1].get_mp_state() == INIT_RECEIVED


def userspace_lapic(code, rflags=2):
    g = Vm(irqchip="userspace")
    vcpu = g.make()
    g.code(code, rflags=rflags)
    return g, vcpu


def test_hw11_with_local_apics_in_userspace_hlt_is_its():
    g, vcpu = userspace_lapic(HLT + NOP + HLT, rflags=IF | 2)
    assert vcpu.run() == KVM_EXIT_HLT and vcpu.get_mp_state() == RUNNABLE and g.rip() == 1
    vcpu.interrupt(0x50)
    assert vcpu.run() == KVM_EXIT_HLT and g.count(0x50) == 1 and g.rip() == 3
    fails(errno.EINVAL, vcpu.interrupt, 256)
    vcpu.interrupt(0x51)
    fails(errno.EEXIST, vcpu.interrupt, 0x52)
    fails(errno.EINVAL, vcpu.set_mp_state, 3)
    fails(errno.EINVAL, g.vm.create_plane, 1)
    with_irqchip = Vm()
    fails(errno.ENXIO, with_irqchip.make().interrupt, 0x50)


def test_hw17_an_interrupt_window_opens_after_the_shadow():
    g, vcpu = userspace_lapic(NOP + STI + NOP + NOP + HLT)
    vcpu.run_area.request_interrupt_window = 1
    assert vcpu.run() == KVM_EXIT_IRQ_WINDOW_OPEN and g.rip() == 3
    assert vcpu.run_area.ready_for_interrupt_injection == 1 and vcpu.run_area.if_flag == 1


def test_hw17_a_window_in_front_of_hlt_is_not_lost():
    g, vcpu = userspace_lapic(STI + HLT + NOP + HLT)
    vcpu.run_area.request_interrupt_window = 1
    reason = vcpu.run()
    assert reason == KVM_EXIT_HLT and g.rip() == 2 and vcpu.run_area.ready_for_interrupt_injection == 1
    vcpu.run_area.request_interrupt_window = 0
    vcpu.interrupt(0x50)
    assert vcpu.run() == KVM_EXIT_HLT and g.count(0x50) == 1 and g.rip() == 4


def test_hw18_an_exception_on_its_way_leaves_no_room_for_an_interrupt():
    g, vcpu = userspace_lapic(HLT + NOP, rflags=IF | 2)
    assert vcpu.run() == KVM_EXIT_HLT and vcpu.run_area.ready_for_interrupt_injection == 1
    vcpu.set_vcpu_events(exception_injected=1, exception_nr=6)
    vcpu.kick()
    fails(errno.EINTR, vcpu.run)
    assert vcpu.run_area.ready_for_interrupt_injection == 0
    fails(errno.EEXIST, vcpu.interrupt, 0x50)
    assert vcpu.run() == KVM_EXIT_HLT and g.count(6) == 1


def test_hw37_exits_are_disabled_before_there_is_a_vcpu():
    g = Vm()
    fails(errno.EINVAL, g.vm.enable_cap, 143, 16)
    g.vm.enable_cap(143, 2)
    g.make()
    fails(errno.EINVAL, g.vm.enable_cap, 143, 2)


def test_hw38_a_halt_that_does_not_exit_is_not_seen_but_ended():
    g = Vm(vcpus=2)
    g.vm.enable_cap(143, 2)
    vcpu = g.make()
    g.code(HLT + NOP)
    fails(errno.EAGAIN, vcpu.run)
    assert g.activity() == HALTED and vcpu.get_mp_state() == RUNNABLE
    vcpu.set_mp_state(RUNNABLE)
    fails(errno.EAGAIN, vcpu.run)
    assert g.rip() == 3                                     # NOP and the HLT behind it
    g.m.pc.apic_bus.send(ApicMessage(0, INIT, destination=0))
    assert g.activity() != HALTED


def test_hw42_two_that_wait_with_different_filters_do_not_disturb_each_other():
    g = Kvm("USER")
    g.at(1, NOP, rflags=2)
    parked = g.vcpus[1]
    strict, any_ = parked.watch("if"), parked.watch("shadow")
    g.irq(1)
    assert (strict.read(), any_.read()) == (0, 1)
    g.take(1)
    parked.set_regs(rflags=IF | 2)
    g.irq(1)
    assert (strict.read(), any_.read()) == (1, 1)
    assert not select.select([strict, any_], [], [], 0)[0]
    del any_
    g.take(1)
    g.irq(1)
    assert strict.read() == 1 and len(g.vcpus[0].watchers) == 1


@pytest.mark.parametrize("strict_shadow", (False, True))
def test_hw44_an_interrupt_of_a_parked_plane_and_what_the_filter_respects(strict_shadow):
    g = Kvm("HIGHEST_RUNNABLE")
    g.vcpu.group.set(group_layout.STRICT_SHADOW, strict_shadow)
    parked, count = g.vcpus[1], g.m.icount
    g.irq(1)
    fails(errno.EAGAIN, parked.wait, "if")
    parked.wait("shadow")
    parked.wait("none")
    parked.state.set(layout.SHADOW, 1)
    assert parked.wakes("shadow") != strict_shadow and parked.wakes("none")
    fails(errno.EINVAL, parked.wait, "whatever")
    assert g.m.icount == count and g.active == 0


def test_hw44_waiting_lets_time_pass_until_a_timer_fires():
    g = Kvm("USER")
    lapic = g.vcpu.lapics[1]
    for offset, value in ((0x3E0, 0b1011), (0x320, 0x40), (0x380, 100_000)):
        lapic.write_register(offset, value)
    g.vcpus[1].set_mp_state(3)
    g.vcpus[1].wait("shadow")
    assert g.m.clock.now >= 100_000 and g.m.icount == 0 and g.vcpus[1].get_mp_state() == 3


def test_hw49_a_guest_that_halts_a_thousand_times_a_second_exits_as_often():
    g = Vm()
    vcpu = g.make()
    g.code(HLT + "ebfd", rflags=IF | 2)
    lapic = g.vcpu.lapic
    for offset, value in ((0x3E0, 0b1011), (0x320, 0x40 | 1 << 17), (0x380, 1_000_000)):
        lapic.write_register(offset, value)
    lapic.auto_eoi = 1 << 0x40
    vcpu.run_area.userspace_exits = USERSPACE_EXIT_HLT
    exits = 0
    while g.m.clock.now < 100_000_000:
        assert vcpu.run() == KVM_EXIT_HLT
        exits += 1
    assert 99 <= exits <= 101 and g.m.icount < 1000
    assert g.m.vcpus[0].plane.get(layout.RIP) == CODE + 1
