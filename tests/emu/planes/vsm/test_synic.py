"""Messages, events, synthetic timers and VINA; sN: number in the VSM scenario list."""
import struct

import pytest

from emu.irq.apicbus import ApicMessage
from emu.planes.vsm.synic import message
from jit import layout
from tests.emu.planes.vsm.guest import ASSIST, HANDLER, MESSAGES, NOP, SELF, SINT0, VP_SELF, Guest

SCONTROL, SIEFP, SIMP, EOM, EOI = 0x40000080, 0x40000082, 0x40000083, 0x40000084, 0x40000070
STIMER0_CONFIG, STIMER0_COUNT, TIME_REF_COUNT = 0x400000B0, 0x400000B1, 0x40000020
EVENTS, TIMER_EXPIRED = 0x52000, 0x80000010
DIRECT, ENABLE, PERIODIC, AUTO = 1 << 12, 1, 2, 8
VINA, HALT, IF = 0xD0005, b"\xf4", 0x202


@pytest.fixture
def guest():
    """VTL0 with message and event pages; SINT3 is vector 0x43."""
    g = Guest()
    g.wrmsr(SIMP, MESSAGES | 1)
    g.wrmsr(SIEFP, EVENTS | 1)
    g.wrmsr(SCONTROL, 1)
    g.wrmsr(SINT0 + 3, 0x43)
    g.vcpu.lapics[0].svr = 0x1FF
    return g


def synic(g, vtl=0):
    return g.vp.vtls[vtl].synic


def test_a_message_fills_its_slot_and_interrupts(guest):
    assert synic(guest).post(3, message(0x55, b"payload", origin=7))
    assert guest.message(sint=3) == (0x55, b"payload", 7)
    assert guest.vcpu.lapics[0].irr == 1 << 0x43


def test_messages_wait_for_the_slot_and_for_eom(guest):
    for n in range(3):
        assert synic(guest).post(3, message(0x55 + n, bytes((n,))))
    at = MESSAGES + 3 * 256
    assert guest.m.memory.read(at, 6) == struct.pack("<IBB", 0x55, 1, 1)       # MessagePending
    guest.wrmsr(EOM, 0)
    assert guest.message(sint=3)[0] == 0x55
    guest.m.memory.write(at, bytes(4))
    guest.wrmsr(EOM, 0)
    assert guest.m.memory.read(at, 6) == struct.pack("<IBB", 0x56, 1, 1)
    guest.m.memory.write(at, bytes(4))
    lapic = guest.vcpu.lapics[0]
    assert lapic.acknowledge() == 0x43
    guest.wrmsr(EOI, 0)                                                         # EOI of the vector drains, too
    assert guest.m.memory.read(at, 6) == struct.pack("<IBB", 0x57, 1, 0)


def test_auto_eoi_vectors_are_not_in_service(guest):
    guest.wrmsr(SINT0 + 4, 0x44 | 1 << 17)
    assert synic(guest).post(4, message(1, b""))
    lapic = guest.vcpu.lapics[0]
    assert lapic.acknowledge() == 0x44 and lapic.isr == 0


def test_masked_and_polled_sints_do_not_interrupt(guest):
    for flag in (1 << 16, 1 << 18):
        guest.wrmsr(SINT0 + 3, 0x43 | flag)
        guest.m.memory.write(MESSAGES + 3 * 256, bytes(4))
        assert synic(guest).post(3, message(1, b""))
        assert guest.message(sint=3)[0] == 1 and guest.vcpu.lapics[0].irr == 0


def test_without_a_page_there_are_no_messages(guest):
    guest.wrmsr(SCONTROL, 0)
    assert not synic(guest).post(3, message(1, b""))


def test_direct_messages_and_events(guest):
    header = struct.pack("<QIBBH", SELF, VP_SELF, 0, 3, 9)
    assert guest.call(0xC0, header)[0] == 0
    assert guest.m.memory.read(0x17000, 8) == bytes((1, 0, 0, 0, 0, 0, 0, 0))
    assert guest.m.memory.read(EVENTS + 3 * 256, 2) == b"\0\x02" and guest.vcpu.lapics[0].irr == 1 << 0x43
    assert guest.call(0xC0, header)[0] == 0 and guest.m.memory.read(0x17000, 1) == b"\0"
    assert guest.call(0xC0, struct.pack("<QIBBH", SELF, VP_SELF, 0, 16, 9))[0] == 0x5
    assert guest.call(0xC0, struct.pack("<QIBBH", SELF, VP_SELF, 1, 3, 9))[0] == 0x6
    data = struct.pack("<QIBB10x", SELF, VP_SELF, 0, 3) + struct.pack("<IBBHQ", 5, 4, 0, 0, 1) + b"data".ljust(240)
    assert guest.call(0xC1, data)[0] == 0 and guest.message(sint=3) == (5, b"data", 1)
    bad = struct.pack("<QIBB10x", SELF, VP_SELF, 0, 3) + struct.pack("<IBBHQ", 1 << 31, 4, 0, 0, 1) + bytes(240)
    assert guest.call(0xC1, bad)[0] == 0x5


def test_connections_lead_where_the_test_device_says(guest):
    def device(command, connection):
        guest.m.pc.bus.port_write(0x3000, 4, connection << 24 | command << 16 | 3)

    post = struct.pack("<4I", 0x21, 0, 7, 3) + b"abc".ljust(240, b"\0")
    assert guest.call(0x5C, post)[0] == 0x12 and guest.call(0x5D, struct.pack("<IHH", 0x22, 0, 0))[0] == 0x12
    device(4, 0x21)
    device(6, 0x22)
    assert guest.call(0x5C, post)[0] == 0 and guest.message(sint=3) == (7, b"abc", 0x21)
    assert guest.call(0x5D, struct.pack("<IHH", 0x22, 0, 0))[0] == 0
    assert guest.m.memory.read(EVENTS + 3 * 256 + 4, 1) == b"\x04"
    device(5, 0x21)
    assert guest.call(0x5C, post)[0] == 0x12
    guest.vcpu.lapics[0].irr = 0
    device(3, 0)
    assert guest.vcpu.lapics[0].irr == 1 << 0x43
    assert guest.call(0x7E, bytes(56))[0] == 0x5


# --- synthetic timers ---


def pass_time(g, ticks):
    g.m.clock.skip_to(g.m.clock.now + ticks * 100)
    g.m.clock.run_due()


def test_a_one_shot_timer_posts_its_message_once(guest):
    due = guest.rdmsr(TIME_REF_COUNT) + 50
    guest.wrmsr(STIMER0_CONFIG, ENABLE | 3 << 16)
    guest.wrmsr(STIMER0_COUNT, due)
    pass_time(guest, 49)
    assert guest.message(sint=3)[0] == 0
    pass_time(guest, 10)
    kind, payload, _ = guest.message(sint=3)
    index, zero, expiration, delivery = struct.unpack("<IIQQ", payload)
    assert (kind, index, zero, expiration) == (TIMER_EXPIRED, 0, 0, due) and delivery >= due
    assert guest.rdmsr(STIMER0_CONFIG) == 3 << 16


def test_a_periodic_timer_goes_on_and_its_message_waits_once(guest):
    guest.wrmsr(STIMER0_CONFIG, PERIODIC | AUTO | 3 << 16)
    guest.wrmsr(STIMER0_COUNT, 10)
    assert guest.rdmsr(STIMER0_CONFIG) & ENABLE
    for _ in range(5):
        pass_time(guest, 10)
    assert guest.message(sint=3)[0] == TIMER_EXPIRED
    for left in (1, 0):
        guest.m.memory.write(MESSAGES + 3 * 256, bytes(4))
        guest.wrmsr(EOM, 0)
        assert guest.message(sint=3)[0] == (TIMER_EXPIRED if left else 0)
    guest.wrmsr(STIMER0_COUNT, 0)
    assert not guest.rdmsr(STIMER0_CONFIG) & ENABLE


def test_timer_configurations_that_do_not_work(guest):
    guest.wrmsr(STIMER0_CONFIG, ENABLE)                         # SINT0 without direct mode
    assert guest.rdmsr(STIMER0_CONFIG) == 0
    for bit in (13, 20, 63):
        assert guest.faults(guest.wrmsr, STIMER0_CONFIG, 1 << bit)


def test_direct_mode_asserts_a_vector(guest):
    pass_time(guest, 5)
    guest.wrmsr(0x400000B6, ENABLE | DIRECT | 0x55 << 4)
    guest.wrmsr(0x400000B7, guest.rdmsr(TIME_REF_COUNT))        # a time that has come already
    pass_time(guest, 0)
    assert guest.vcpu.lapics[0].irr == 1 << 0x55


@pytest.mark.parametrize("direct", [False, True])
def test_s69_a_timer_of_vtl1_preempts_vtl0_and_vtl0s_waits_for_its_return(direct):
    g = Guest()
    g.secure()
    for vtl, at in ((1, 500), (0, 1000)):
        if vtl == 0:
            g.vtl_return()
            g.vcpu.lapics[0].svr = 0x1FF
            g.wrmsr(SIMP, 0x53000 | 1)
            g.wrmsr(SCONTROL, 1)
        g.wrmsr(SINT0 + 1, 0x41)
        g.wrmsr(STIMER0_CONFIG, ENABLE | (DIRECT | 0x41 << 4 if direct else 1 << 16))
        g.wrmsr(STIMER0_COUNT, g.rdmsr(TIME_REF_COUNT) + at)
    g.plane.rflags = 2
    pass_time(g, 500)
    assert g.attempt(NOP) == 1 and g.m.memory.read(ASSIST + 8, 1) == b"\x02"
    assert (g.message(sint=1)[0] == TIMER_EXPIRED) != direct
    pass_time(g, 600)
    assert g.vcpu.planes[0].get(layout.INTERRUPT) and g.vtl == 1
    g.vcpu.lapics[1].irr = 0
    g.vcpu.interrupt_changed(1)
    g.vcpu.planes[0].rflags = IF
    g.vtl_return()
    g.run(1)
    assert g.vtl == 0 and g.reg(layout.RIP) == HANDLER + 1


# --- VINA ---


def with_vina(flags=1 << 8, vector=0x60):
    """VTL1 runs with interrupts on, and wants to know of VTL0's."""
    g = Guest()
    g.vcpu.lapics[0].svr = 0x1FF
    g.plane.rflags = IF
    g.secure()
    assert g.set((VINA, vector | flags)) == (0, 1)
    return g


def asserted(g):
    return g.m.memory.read(ASSIST + 0x0C, 1)[0]


def vtl0_interrupt(g, vector):
    g.vcpu.lapics[0].accept(ApicMessage(vector))


def vtl1_handles(g):
    lapic = g.vcpu.lapics[1]
    vector = lapic.acknowledge()
    lapic.isr &= ~(1 << vector)
    return vector


def test_s73_vina_comes_once_until_vtl1_has_seen_it():
    g = with_vina()
    g.plane.rflags = IF
    vtl0_interrupt(g, 0x50)
    assert asserted(g) == 1
    g.step(NOP)
    assert g.reg(layout.RIP) == HANDLER + 1 and g.vtl == 1
    g.vcpu.lapics[1].isr = 0
    vtl0_interrupt(g, 0x51)
    assert g.vcpu.lapics[1].irr == 0
    g.m.memory.write(ASSIST + 0x0C, b"\0")
    assert g.vcpu.lapics[1].irr == 0
    vtl0_interrupt(g, 0x52)
    assert asserted(g) == 1 and vtl1_handles(g) == 0x60


def test_s74_no_vina_for_interrupts_that_vtl0_would_not_take():
    g = with_vina()
    g.vcpu.planes[0].rflags = 2
    vtl0_interrupt(g, 0x50)
    assert asserted(g) == 0
    g.vcpu.planes[0].rflags = IF
    g.vcpu.lapics[0].irr = 0
    g.vcpu.lapics[0].tpr = 0x50
    vtl0_interrupt(g, 0x50)
    assert asserted(g) == 0 and g.vcpu.lapics[1].irr == 0


@pytest.mark.parametrize("reset, expected", [(1 << 9, 0), (0, 1)])
def test_s75_auto_reset_forgets_the_notification_at_the_return(reset, expected):
    g = with_vina(1 << 8 | reset)
    vtl0_interrupt(g, 0x50)
    assert asserted(g) == 1
    vtl1_handles(g)
    g.vcpu.interrupt_changed(1)
    g.vtl_return()
    g.vcpu.lapics[0].irr = 0
    g.vcpu.interrupt_changed(0)
    g.vtl_call()
    assert g.vtl == 1 and asserted(g) == expected


def test_vina_when_vtl1_is_entered_while_an_interrupt_waits():
    g = with_vina()
    g.vtl_return()
    vtl0_interrupt(g, 0x50)                         # VTL0 has not taken it when VTL1's comes
    g.vcpu.lapics[1].accept(ApicMessage(0x70))
    assert g.attempt(NOP) == 1 and asserted(g) == 1
    assert g.vcpu.lapics[1].irr == 1 << 0x60 | 1 << 0x70


def test_vina_auto_eoi():
    g = with_vina(1 << 8 | 1 << 10)
    vtl0_interrupt(g, 0x50)
    assert g.vcpu.lapics[1].acknowledge() == 0x60 and g.vcpu.lapics[1].isr == 0


def test_s31_vina_is_not_for_vtl0():
    g = with_vina()
    assert g.set((VINA, 0x160), vtl=0) == (0x5, 0) and g.get(VINA)[1] == [0x160]
    assert g.set((VINA, 0x10F)) == (0x50, 0)


def test_s72_a_halted_vtl1_wakes_for_vtl0_through_vina_alone():
    g = with_vina(flags=0)
    g.plane.rflags = IF
    g.step(HALT)
    vtl0_interrupt(g, 0x50)
    g.vcpu.waiting.poll(g.plane)
    assert g.vtl == 1 and not g.vcpu.runs()
    g.vcpu.lapics[0].irr = 0
    g.vp.vtls[1].vina = 0x160
    vtl0_interrupt(g, 0x50)
    g.vcpu.waiting.poll(g.plane)
    assert g.vcpu.runs()
    g.run(1)
    assert g.vtl == 1 and g.reg(layout.RIP) == HANDLER + 1


def test_the_idle_msr_waits_for_an_interrupt_whatever_if_is():
    g = Guest()
    g.vcpu.lapics[0].svr = 0x1FF
    g.step(b"\x0f\x32", rcx=0x400000F0)
    assert not g.vcpu.runs()
    vtl0_interrupt(g, 0x50)
    g.vcpu.waiting.poll(g.plane)
    assert g.vcpu.runs()


# --- the EOI assist bit, and return actions ---


def assist(g):
    return g.m.memory.read(ASSIST, 4)[0]


@pytest.fixture
def assisted(guest):
    guest.wrmsr(0x40000073, ASSIST | 1)
    return guest


def test_an_interrupt_may_end_without_eoi(assisted):
    lapic = assisted.vcpu.lapics[0]
    vtl0_interrupt(assisted, 0x50)
    assert lapic.acknowledge() == 0x50 and assist(assisted) == 1
    assisted.m.memory.write(ASSIST, bytes(4))                   # the guest's end of interrupt
    vtl0_interrupt(assisted, 0x48)                              # a lower one can be taken
    assert lapic.isr == 0 and lapic.pending_vector() == 0x48


def test_the_offer_is_taken_back_when_another_interrupt_comes(assisted):
    lapic = assisted.vcpu.lapics[0]
    vtl0_interrupt(assisted, 0x50)
    lapic.acknowledge()
    vtl0_interrupt(assisted, 0x48)
    assert assist(assisted) == 0 and lapic.isr == 1 << 0x50 and lapic.pending_vector() is None
    assisted.wrmsr(EOI, 0)
    assert lapic.isr == 0 and lapic.pending_vector() == 0x48


def test_eoi_works_although_it_is_not_required(assisted):
    lapic = assisted.vcpu.lapics[0]
    vtl0_interrupt(assisted, 0x50)
    lapic.acknowledge()
    assisted.wrmsr(EOI, 0)
    assert lapic.isr == 0 and assist(assisted) == 0


def test_no_offer_with_something_waiting_or_for_level_triggered_interrupts(assisted):
    lapic = assisted.vcpu.lapics[0]
    vtl0_interrupt(assisted, 0x50)
    vtl0_interrupt(assisted, 0x48)
    lapic.acknowledge()
    assert assist(assisted) == 0
    assisted.wrmsr(EOI, 0)
    lapic.irr = 0
    lapic.accept(ApicMessage(0x51, level_triggered=True))
    lapic.acknowledge()
    assert assist(assisted) == 0


def test_a_return_carries_out_the_actions_of_its_assist_page(guest):
    guest.enter_vtl1()
    action = struct.pack("<QIBBH", 1, 0, 0, 3, 9)
    nobody, unknown = struct.pack("<QIBBH", 1, 7, 0, 3, 1), struct.pack("<QQ", 5, 0)
    guest.m.memory.write(ASSIST + 0x170, action + nobody + unknown + action)
    guest.step(rax=1, rcx=0x12, count=2)
    assert guest.vtl == 0 and guest.m.memory.read(EVENTS + 3 * 256, 2) == b"\0\x02"
    assert guest.m.memory.read(ASSIST + 0x170, 256) == bytes(256)
