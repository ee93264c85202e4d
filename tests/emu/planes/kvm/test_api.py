"""VM, planes, vCPUs and the run structure as a VMM uses them; plN, hwN: numbers in the scenario lists."""
import errno
import select

import pytest

from emu.planes.kvm.dialects import DIALECTS, KvmError
from emu.planes.kvm.run import (
    KVM_EXIT_HLT,
    KVM_EXIT_HYPERCALL,
    KVM_EXIT_MEMORY_FAULT,
    KVM_EXIT_MWAIT,
    USERSPACE_EXIT_HLT,
    USERSPACE_EXIT_MWAIT,
)
from emu.planes.kvm.vm import NW, KvmVm
from jit import layout
from tests.emu.planes.kvm.guest import DATA, HLT, NOP, VMCALL, Kvm

IF = 1 << 9
HALTED, RUNNABLE = 3, 0


@pytest.fixture
def g():
    return Kvm("USER")


def fails(number, call, *args):
    with pytest.raises(OSError) as failure:
        call(*args)
    assert failure.value.errno == number, failure.value


def test_pl18_the_plane_that_runs_is_not_reported(g):
    g.at(1, NOP + HLT, rflags=IF | 2)
    g.run_area.plane, g.run_area.req_exit_planes = 1, 0b11
    g.irq(0)
    g.irq(1)
    assert g.vcpus[0].run() == 40
    event = g.run_area.plane_event
    assert (event.cause, event.pending_event_planes, event.target) == (1, 0b01, 0b01)
    g.run_area.req_exit_planes = 0
    fails(errno.EAGAIN, g.vcpus[0].run)
    assert g.count(0xC0) == 1


def test_pl19_a_pending_event_leaves_before_the_first_instruction(g):
    g.run_area.req_exit_planes = 0b10
    g.irq(1)
    assert g.vcpus[0].run() == 40 and g.m.icount == 0 and g.where(0) == 0


@pytest.mark.parametrize("shared", (False, True))
def test_pl21_vector_state_is_split_or_shared(shared):
    vm = KvmVm("apr25", memory=8 << 20)
    if shared:
        vm.enable_cap(240)
    first = vm.create_vcpu(0)
    twin = vm.create_plane(1).create_vcpu(first)
    assert (first.state.get(layout.FPU) == twin.state.get(layout.FPU)) == shared
    fails(errno.EINVAL, vm.enable_cap, 240)


def test_pl23_interrupts_stay_within_a_plane(g):
    assert g.vm.planes[1].signal_msi(0xFEE00000, 0xC1) == 1
    assert (g.vcpu.lapics[0].irr, g.vcpu.lapics[1].irr) == (0, 1 << 0xC1)
    g.vm.signal_msi(0xFEE00000, 0xC2)
    assert (g.vcpu.lapics[0].irr, g.vcpu.lapics[1].irr) == (1 << 0xC2, 1 << 0xC1)


def test_pl27_a_denied_access_leaves_with_nothing_changed(g):
    g.vm.planes[1].set_memory_attributes(DATA, 0x1000, NW)
    store = "c60605"                                        # mov byte [rsi], 5
    g.at(1, store, rsi=DATA + 8)
    g.run_area.plane = 1
    assert g.vcpus[0].run() == KVM_EXIT_MEMORY_FAULT
    assert (g.run_area.memory_fault.gpa, g.run_area.memory_fault.flags, g.where(1)) == (DATA, 2, 0)
    g.at(0, store, rsi=DATA + 8)
    g.run_area.plane = 0
    fails(errno.EAGAIN, g.vcpus[0].run)
    assert g.read(DATA + 8, 1) == 5
    g.vm.planes[1].set_memory_attributes(DATA, 0x1000, 0)
    g.run_area.plane = 1
    fails(errno.EAGAIN, g.vcpus[0].run)
    assert g.where(1) == 4


@pytest.mark.parametrize("arguments", ((DATA + 1, 0x1000, NW), (DATA, 0, NW), (DATA, 0x1000, 16),
                                       (DATA, 0x1000, 8 | NW), (DATA, 0x1000, 1), (DATA, 0x1000, NW, 1),
                                       (1 << 60, 0x1000, NW)))
def test_wrong_memory_attributes_are_refused(g, arguments):
    fails(errno.EINVAL, g.vm.planes[1].set_memory_attributes, *arguments)


def test_pl36_userspace_may_go_on_with_the_lower_plane(g):
    g.run_area.req_exit_planes = 0b10
    g.irq(1)
    assert g.vcpus[0].run() == 40
    g.run_area.req_exit_planes = 0
    fails(errno.EAGAIN, g.vcpus[0].run)
    assert g.where(0) > 0 and g.where(1) == 0
    marked = Kvm("MPP(0)")
    marked.run_area.plane = 1
    fails(errno.EINVAL, marked.vcpus[0].run)


@pytest.mark.parametrize("name", DIALECTS)
def test_pl37_errors_are_kvms(name):
    vm = KvmVm(name, memory=8 << 20)
    limit, by_plane0 = vm.dialect.limit, vm.dialect.by_plane0
    if name == "vsm26":
        fails(errno.EINVAL, vm.create_plane, 1)             # they have to be enabled, with their number
        for wrong in (0, 17):
            fails(errno.EINVAL, vm.enable_cap, 239, wrong)
        vm.enable_cap(239, 16)
    else:
        fails(errno.EINVAL, vm.enable_cap, 239, 4)
    fails(errno.EEXIST, vm.create_plane, 0)
    fails(errno.EINVAL, vm.create_plane, limit)
    plane = vm.create_plane(1)
    fails(errno.EEXIST, vm.create_plane, 1)
    if not by_plane0:
        fails(errno.EINVAL, plane.create_vcpu, 0)           # plane 0 has none yet
    first = vm.create_vcpu(0)
    fails(errno.EEXIST, vm.create_vcpu, 0)
    fails(errno.EINVAL, plane.create_vcpu, 0 if by_plane0 else first)
    twin = plane.create_vcpu(first if by_plane0 else 0)
    fails(errno.EEXIST, plane.create_vcpu, first if by_plane0 else 0)
    fails(errno.EINVAL, twin.run)
    fails(errno.ENOTTY, plane.ioctl, "KVM_SET_USER_MEMORY_REGION")
    assert vm.check_extension(239) == (limit if name != "oct24" else 15)
    if vm.dialect.plane_extension:
        assert plane.check_extension(239) == 0 and plane.check_extension(105) == 1
    else:
        fails(errno.ENOTTY, plane.check_extension, 239)
    if not vm.dialect.attributes:
        fails(errno.ENOTTY, plane.set_memory_attributes, 0, 0x1000, 0)


def test_a_plane_that_does_not_exist_cannot_be_run(g):
    g.run_area.plane = 5
    fails(errno.EINVAL, g.vcpus[0].run)


def test_oct24_names_one_plane(g):
    guest = Kvm("USER", planes=3, dialect="oct24")
    guest.run_area.req_exit_planes = 0b110
    guest.irq(2)
    assert guest.vcpus[0].run() == 40
    assert (guest.run_area.plane_event.cause, guest.run_area.plane_event.target) == (0, 2)


def test_a_hypercall_is_userspaces_and_its_answer_comes_back(g):
    g.at(0, VMCALL + NOP, rax=77, rbx=1, rcx=2, rdx=3, rsi=4)
    assert g.vcpus[0].run() == KVM_EXIT_HYPERCALL
    assert (g.run_area.hypercall.nr, g.run_area.hypercall.args) == (77, (1, 2, 3, 4)) and g.where(0) == 3
    g.run_area.hypercall.ret = 9
    fails(errno.EAGAIN, g.vcpus[0].run)
    assert g.vcpus[0].get_regs()["rax"] == 9


def test_hw12_hlt_leaves_and_halts(g):
    vcpu = g.vcpus[0]
    g.at(0, HLT + NOP + HLT, rflags=IF | 2)
    g.run_area.userspace_exits = USERSPACE_EXIT_HLT
    assert vcpu.run() == KVM_EXIT_HLT and vcpu.get_mp_state() == HALTED and g.run_area.idle == 1
    fails(errno.EAGAIN, vcpu.run)                           # no HLT executes, and it never runs past one
    assert g.where(0) == 1
    g.run_area.userspace_exits = 0
    fails(errno.EAGAIN, vcpu.run)
    g.irq(0)
    fails(errno.EAGAIN, vcpu.run)
    assert g.count(0xC0) == 1 and g.where(0) == 3


def test_hw13_what_leaves_is_decided_at_each_entry(g):
    g.at(0, "0f01c8" + "0f01c9" + HLT, rax=DATA, rcx=0, rdx=0)
    g.run_area.userspace_exits = USERSPACE_EXIT_MWAIT
    assert g.vcpus[0].run() == KVM_EXIT_MWAIT and g.run_area.idle == 2
    g.m.dma_write(DATA, b"x")
    g.run_area.userspace_exits = USERSPACE_EXIT_HLT
    assert g.vcpus[0].run() == KVM_EXIT_HLT


def test_hw14_a_timer_of_a_halted_vcpu_shows_and_is_notified(g):
    vcpu = g.vcpus[0]
    g.at(0, HLT, rflags=IF | 2)
    g.run_area.userspace_exits = USERSPACE_EXIT_HLT
    assert vcpu.run() == KVM_EXIT_HLT and not select.select([vcpu.runnable], [], [], 0)[0]
    lapic = g.vcpu.lapic
    lapic.write_register(0x3E0, 0b1011)
    lapic.write_register(0x320, 0x40)
    lapic.write_register(0x380, 1000)
    g.m.clock.skip_to(g.m.clock.next_deadline())
    g.m.clock.run_due()
    assert lapic.irr == 1 << 0x40
    assert select.select([vcpu.runnable], [], [], 0)[0] and vcpu.runnable.read() == 1


def test_hw15_a_kick_brings_the_state_up_to_date_immediate_exit_does_not(g):
    vcpu = g.vcpus[0]
    g.at(0, HLT, rflags=IF | 2)
    fails(errno.EAGAIN, vcpu.run)
    count = g.m.icount
    g.irq(0)
    g.run_area.immediate_exit = 1
    fails(errno.EINTR, vcpu.run)
    assert vcpu.get_mp_state() == HALTED
    g.run_area.immediate_exit = 0
    vcpu.kick()
    fails(errno.EINTR, vcpu.run)
    assert vcpu.get_mp_state() == RUNNABLE and g.m.icount == count


def test_hw41_an_event_that_the_vcpu_raises_itself_is_notified(g):
    vcpu = g.vcpus[0]
    g.at(0, HLT, rflags=IF | 2)
    fails(errno.EAGAIN, vcpu.run)
    g.vcpu.lapic.write_register(0x300, 1 << 18 | 0x55)      # self IPI
    assert vcpu.runnable.read() == 1 and vcpu.is_runnable()


def test_state_that_makes_no_sense_is_refused(g):
    fails(errno.EINVAL, g.vcpus[0].set_mp_state, 5)
    with pytest.raises(KvmError, match="no register"):
        g.vcpus[0].set_regs(xyz=1)
