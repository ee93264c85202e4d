"""What KVM's interface says and refuses: capabilities by series, exits of machines that stop, MP states, threads."""
import errno
import select
import threading
import time

import pytest

from emu.irq.apicbus import INIT, STARTUP, ApicMessage
from emu.planes.kvm.dialects import DIALECTS
from emu.planes.kvm.run import (
    KVM_EXIT_INTERNAL_ERROR,
    KVM_EXIT_SHUTDOWN,
    KVM_EXIT_SYSTEM_EVENT,
    KVM_SYSTEM_EVENT_RESET,
)
from emu.planes.kvm.vm import KvmVm
from emu.planes.policies import parse
from jit import layout
from tests.emu.flat import PT
from tests.emu.planes.kvm.guest import HLT, NOP, Kvm
from tests.emu.planes.kvm.test_api import fails
from tests.emu.planes.kvm.test_wait_exits import IF, Vm

PLANES, FPU = 239, 240
RUNNABLE, UNINITIALIZED, INIT_RECEIVED, HALTED, SIPI_RECEIVED, AP_RESET_HOLD = 0, 1, 2, 3, 4, 9


@pytest.mark.parametrize("name, split, shared", (("oct24", 1, 0), ("apr25", 1, 1), ("jun26", 0, 0), ("vsm26", 0, 0)))
def test_pl21_the_fpu_capability_has_both_polarities(name, split, shared):
    """oct24: 1 where planes have their own. apr25: 1 where they can be made to share. The others do not know it."""
    for policy, answer in (("USER", split), ("USER+fpu", shared)):
        vm = KvmVm(name, memory=8 << 20, policy=parse(policy))
        assert vm.check_extension(FPU) == answer
        if name == "apr25":
            vm.enable_cap(FPU)
        else:
            fails(errno.EINVAL, vm.enable_cap, FPU)


@pytest.mark.parametrize("name", DIALECTS)
def test_pl37_without_split_irqchip_there_is_one_plane(name):
    for irqchip in ("kernel", "userspace"):
        vm = KvmVm(name, memory=8 << 20, irqchip=irqchip)
        assert vm.check_extension(PLANES) == (0 if name == "oct24" else 1)
        fails(errno.EINVAL, vm.create_plane, 1)
    with pytest.raises(ValueError, match="split, kernel, userspace"):
        KvmVm(name, irqchip="none")


@pytest.mark.parametrize("name", DIALECTS)
def test_other_capabilities(name):
    vm = KvmVm(name, vcpus=2, memory=8 << 20)
    attributes = 0 if name == "jun26" else 15
    assert [vm.check_extension(n) for n in (0, 9, 14, 66, 121, 143, 233, 999)] == [1, 2, 1, 2, 1, 15, attributes, 0]


def test_pl37_vcpus_of_planes_are_made_from_plane_0s_of_the_same_vm():
    g, other = Kvm("USER"), Kvm("USER")
    plane = g.vm.create_plane(2)
    for wrong in (g.vcpus[1], other.vcpus[0]):
        fails(errno.EINVAL, plane.create_vcpu, wrong)
    for wrong in (-1, 1):
        fails(errno.EINVAL, KvmVm("jun26", memory=8 << 20).create_vcpu, wrong)
    assert plane.create_vcpu(g.vcpus[0]).id == 0


def test_what_is_refused_changes_nothing():
    vcpu = Kvm("USER").vcpus[1]
    before = vcpu.get_regs(), vcpu.get_sregs()
    fails(errno.EINVAL, lambda: vcpu.set_regs(rax=5, eflags=2))
    fails(errno.EINVAL, lambda: vcpu.set_sregs(cs={"base": 0}))
    assert (vcpu.get_regs(), vcpu.get_sregs()) == before
    for gsi in (-1, 4096):
        fails(errno.EINVAL, vcpu.plane.vm.irq_line, gsi, 1)


def test_a_triple_fault_is_a_shutdown():
    g = Vm()
    vcpu = g.make()
    g.code("0f0b")                                          # UD2, with an IDT that has no room for vectors
    g.plane.set(layout.IDTR_LIMIT, 0)
    assert vcpu.run() == KVM_EXIT_SHUTDOWN == vcpu.run_area.exit_reason


def test_a_reset_is_a_system_event():
    g = Vm()
    vcpu = g.make()
    g.code("b006" + "66baf90c" + "ee")                      # mov al, 6; mov dx, 0xCF9; out dx, al
    assert vcpu.run() == KVM_EXIT_SYSTEM_EVENT and vcpu.run_area.system_event_type == KVM_SYSTEM_EVENT_RESET


def test_hw09_init_and_start_up_move_the_mp_state():
    """UNINITIALIZED, INIT, SIPI; a second SIPI is ignored. INIT to the boot processor starts it at its reset vector."""
    g = Vm(vcpus=2)
    first, ap = g.make(), g.vcpus[1]
    send = g.m.pc.apic_bus.send
    assert ap.get_mp_state() == UNINITIALIZED
    send(ApicMessage(0, INIT, destination=1))
    assert ap.get_mp_state() == INIT_RECEIVED
    send(ApicMessage(0x9A, STARTUP, destination=1))
    sregs = ap.get_sregs()
    assert ap.get_mp_state() == RUNNABLE and (sregs["cs"]["selector"], sregs["cs"]["base"]) == (0x9A00, 0x9A000)
    send(ApicMessage(0x55, STARTUP, destination=1))
    assert ap.get_sregs()["cs"]["selector"] == 0x9A00
    send(ApicMessage(0, INIT, destination=0))
    assert first.get_mp_state() == RUNNABLE and first.get_sregs()["cs"]["base"] == 0xFFFF0000
    assert first.get_regs()["rip"] == 0xFFF0


@pytest.mark.parametrize("state", (RUNNABLE, UNINITIALIZED, INIT_RECEIVED, HALTED, AP_RESET_HOLD))
def test_mp_states_can_be_set_with_local_apics_in_the_kernel(state):
    vcpu = Kvm("USER").vcpus[1]
    vcpu.set_mp_state(state)
    assert vcpu.get_mp_state() == state
    userspace = Vm(irqchip="userspace").make()
    if state == RUNNABLE:
        userspace.set_mp_state(state)
    else:
        fails(errno.EINVAL, userspace.set_mp_state, state)


@pytest.mark.parametrize("state", (5, 6, 7, 8, 10, 11, -1))
def test_mp_states_of_other_processors_are_refused(state):
    fails(errno.EINVAL, Kvm("USER").vcpus[0].set_mp_state, state)


def test_sipi_received_is_init_received_with_a_start_up_on_its_way():
    g = Vm(vcpus=2)
    g.make()
    ap = g.vcpus[1]
    ap.set_vcpu_events(sipi_vector=0x20)
    ap.set_mp_state(SIPI_RECEIVED)
    g.m.dma_write(0x20000, bytes.fromhex("90f4"))
    fails(errno.EAGAIN, ap.run)                             # it has run, and halts
    assert ap.get_mp_state() == HALTED and ap.get_sregs()["cs"]["base"] == 0x20000 and ap.get_regs()["rip"] == 2
    ap.set_mp_state(SIPI_RECEIVED)
    assert ap.get_mp_state() == RUNNABLE and ap.get_regs()["rip"] == 0


@pytest.mark.parametrize("wakes", ("interrupt", "startup"))
def test_a_reset_hold_ends_like_a_halt_and_with_a_start_up(wakes):
    g = Vm(vcpus=2)
    g.make()
    ap = g.vcpus[1]
    ap.set_mp_state(RUNNABLE)
    g.code(NOP + HLT, vcpu=1, rflags=IF | 2)
    ap.set_mp_state(AP_RESET_HOLD)
    fails(errno.EAGAIN, ap.run)
    assert ap.get_mp_state() == AP_RESET_HOLD and g.rip(1) == 0
    if wakes == "interrupt":
        g.interrupt(vcpu=1)
    else:
        g.m.pc.apic_bus.send(ApicMessage(0x9A, STARTUP, destination=1))
    fails(errno.EAGAIN, ap.run)
    assert ap.get_mp_state() == HALTED and g.rip(1) == 2 and g.count(0x50) == (wakes == "interrupt")


def test_hw14_lazy_timers_are_in_irr_once_the_vcpu_runs_again():
    g = Kvm("USER", lazy_timers=True)
    vcpu, lapic = g.vcpus[0], g.vcpu.lapic
    g.at(0, HLT + NOP + HLT, rflags=IF | 2)
    fails(errno.EAGAIN, vcpu.run)
    for offset, value in ((0x3E0, 0b1011), (0x320, 0x40), (0x380, 1000)):
        lapic.write_register(offset, value)
    g.m.clock.skip_to(g.m.clock.next_deadline())
    g.m.clock.run_due()
    assert vcpu.runnable.read() == 1 and lapic.irr == 0 and vcpu.get_mp_state() == HALTED
    vcpu.run_area.immediate_exit = 1
    fails(errno.EINTR, vcpu.run)
    assert lapic.irr == 0
    vcpu.run_area.immediate_exit = 0
    fails(errno.EAGAIN, vcpu.run)
    assert g.count(0x40) == 1 and g.where(0) == 3


def test_a_vcpu_that_runs_in_another_thread_is_busy():
    g = Kvm("USER")
    vcpu = g.vcpus[0]
    g.at(0, "ebfe")                                         # jmp $
    ended = []
    thread = threading.Thread(target=lambda: ended.append(pytest.raises(OSError, vcpu.run).value.errno))
    thread.start()
    deadline = time.monotonic() + 30
    while not g.vm.running and time.monotonic() < deadline:
        time.sleep(0.001)
    for call in (vcpu.get_regs, g.vcpus[1].get_regs, vcpu.get_mp_state, vcpu.run):
        fails(errno.EBUSY, call)
    vcpu.kick()
    thread.join(30)
    assert ended == [errno.EINTR] and vcpu.get_regs()["rip"]


def test_a_vmm_thread_waits_for_the_descriptor():
    """The loop of a VMM: run until the vCPU sleeps, wait in select until something else makes it runnable."""
    g = Kvm("USER")
    vcpu = g.vcpus[0]
    g.at(0, HLT + NOP + HLT, rflags=IF | 2)
    fails(errno.EAGAIN, vcpu.run)
    device = threading.Timer(0.05, lambda: g.vm.signal_msi(0xFEE00000, 0x51))
    device.start()
    ready, _, _ = select.select([vcpu.runnable], [], [], 30)
    device.join()
    assert ready == [vcpu.runnable] and vcpu.runnable.read() == 1
    fails(errno.EAGAIN, vcpu.run)
    assert g.count(0x51) == 1 and not select.select([vcpu.runnable], [], [], 0)[0]


def test_execution_from_where_nothing_is_is_an_internal_error():
    g = Vm()
    vcpu = g.make()
    g.m.memory.write(PT + 8 * 0x1FF, (0xD0000000 | 7).to_bytes(8, "little"))
    vcpu.set_regs(rip=0x1FF000)
    assert vcpu.run() == KVM_EXIT_INTERNAL_ERROR
