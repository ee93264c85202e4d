"""Which VTL runs when interrupts wait; sN: number in the VSM scenario list."""
import struct

import pytest

from emu.irq.apicbus import ApicMessage
from jit import layout
from tests.emu.planes.vsm.guest import ASSIST, CODE, HANDLER, NOP, RAX, RCX, VMCALL, Guest

HALT, IF = b"\xf4", 0x202
RSP = layout.gpr(4)


@pytest.fixture
def guest():
    """VTL1 was entered by a call and has returned."""
    g = Guest()
    g.enter_vtl1()
    g.vtl_return()
    return g


def three():
    """VTL0, 1 and 2 enabled; VTL0 runs."""
    g = Guest(max_vtl=2)
    for vtl in (1, 2):
        g.partition.enable_vtl(vtl)
        assert g.enable_vp(vtl) == 0
    return g


def interrupt(g, vtl, vector=0x50):
    g.vcpu.lapics[vtl].accept(ApicMessage(vector))


def reason(g):
    return int.from_bytes(g.m.memory.read(ASSIST + 8, 4), "little")


def path(g, count=10):
    return [(s["from"], s["to"], s["cause"]) for s in g.m.switches[-count:]]


def test_s56_an_interrupt_for_vtl1_preempts_vtl0_whatever_its_if(guest):
    rip = guest.reg(layout.RIP)
    guest.reg(RAX, 0x1234)
    guest.reg(RCX, 0x5678)
    interrupt(guest, 1)
    vtl1 = guest.vcpu.planes[1]
    guest.m.dma_write(vtl1.get(layout.RIP), NOP)
    guest.vcpu.run(1)
    assert guest.vtl == 1 and reason(guest) == 2
    assert path(guest, 1) == [(0, 1, "interrupt")] and guest.m.switches[-1]["rip_from"] == rip
    assert (guest.reg(RAX), guest.reg(RCX)) == (0x1234, 0x5678)
    guest.m.memory.write(ASSIST + 0x10, struct.pack("<2Q", 0x1234, 0x5678))
    guest.vcpu.lapics[1].acknowledge()
    guest.vcpu.interrupt_changed(1)
    guest.vtl_return(fast=False)
    assert (guest.vtl, guest.reg(layout.RIP), guest.reg(RAX), guest.reg(RCX)) == (0, rip, 0x1234, 0x5678)


def test_s57_the_priority_of_vtl1_holds_an_interrupt_back(guest):
    guest.vcpu.lapics[1].write_register(0x80, 0x60)
    interrupt(guest, 1)
    guest.step(NOP)
    assert guest.vtl == 0
    guest.vcpu.lapics[1].write_register(0x80, 0x40)
    guest.step(NOP)
    assert guest.vtl == 1


def test_s57_lowering_the_priority_inside_vtl1_takes_it_there(guest):
    guest.vcpu.lapics[1].write_register(0x80, 0x60)
    interrupt(guest, 1)
    guest.vtl_call()
    guest.plane.rflags = IF
    guest.vcpu.lapics[1].write_register(0x80, 0x40)
    guest.step(NOP)
    assert guest.vtl == 1 and guest.reg(layout.RIP) == HANDLER + 1


def test_s58_a_return_with_an_interrupt_waiting_re_enters_at_once(guest):
    guest.vtl_call()
    interrupt(guest, 1)
    rip = guest.vcpu.planes[0].get(layout.RIP)
    guest.m.dma_write(guest.reg(layout.RIP), VMCALL + NOP)
    guest.reg(RAX, 1)
    guest.reg(RCX, 0x12)
    guest.vcpu.run(2)
    assert path(guest, 2) == [(1, 0, "fast return"), (0, 1, "interrupt")]
    assert guest.vtl == 1 and reason(guest) == 2
    assert guest.vcpu.planes[0].get(layout.RIP) == rip


def test_s59_an_interrupt_for_vtl1_does_not_pass_through_vtl2():
    g = three()
    interrupt(g, 1)
    g.m.dma_write(CODE + 0x1000, NOP)
    g.vcpu.run(1)
    assert path(g) == [(0, 1, "interrupt")]


def test_s60_with_interrupts_for_both_the_highest_comes_first_and_vtl0_last():
    g = three()
    interrupt(g, 1)
    interrupt(g, 2)
    g.m.dma_write(CODE + 0x2000, VMCALL)
    g.m.dma_write(CODE + 0x1000, VMCALL)
    rip = g.reg(layout.RIP)
    g.reg(RAX, 1)
    g.reg(RCX, 0x12)
    for vtl in (2, 1):
        g.vcpu.run(0)
        assert g.vtl == vtl
        g.vcpu.lapics[vtl].acknowledge()
        g.vcpu.interrupt_changed(vtl)
        g.vcpu.run(1)
    assert path(g) == [(0, 2, "interrupt"), (2, 0, "fast return"), (0, 1, "interrupt"), (1, 0, "fast return")]
    assert g.reg(layout.RIP) == rip


def test_s61_an_interrupted_vtl1_is_resumed_by_vtl2s_return():
    g = three()
    g.vtl_call()
    rip = g.reg(layout.RIP)
    interrupt(g, 2)
    g.vcpu.run(0)
    assert g.vtl == 2
    g.vcpu.lapics[2].acknowledge()
    g.vcpu.interrupt_changed(2)
    g.vtl_return()
    assert g.vtl == 1 and g.reg(layout.RIP) == rip


def test_s62_vtl2_entered_from_vtl0_returns_to_vtl0():
    g = three()
    interrupt(g, 2)
    g.vcpu.run(0)
    g.vcpu.lapics[2].acknowledge()
    g.vcpu.interrupt_changed(2)
    g.vtl_return()
    assert path(g) == [(0, 2, "interrupt"), (2, 0, "fast return")]


def test_s63_an_interrupt_for_vtl0_waits_until_vtl1_returns(guest):
    guest.plane.rflags = IF
    guest.vtl_call()
    interrupt_vtl0 = ApicMessage(0x50)
    guest.vcpu.lapics[0].write_register(0xF0, 0x1FF)
    guest.vcpu.lapics[0].accept(interrupt_vtl0)
    guest.plane.rflags = IF
    guest.step(NOP)
    assert guest.vtl == 1 and guest.vcpu.planes[0].get(layout.INTERRUPT) == 1
    guest.vtl_return()
    guest.vcpu.run(1)
    assert guest.vtl == 0 and guest.vcpu.lapics[0].isr == 1 << 0x50
    assert HANDLER <= guest.reg(layout.RIP) <= HANDLER + 1


def test_s64_s65_inter_processor_interrupts_stay_in_the_senders_vtl():
    g = Guest(vcpus=2)
    g.enter_vtl1()
    assert g.enable_vp(vp=1) == 0
    g.wrmsr(0x40000071, 1 << 56 | 0x50)
    first, second = g.m.vcpus
    assert second.lapics[1].irr == 1 << 0x50 and second.lapics[0].irr == 0
    g.m.dma_write(CODE + 0x1000, NOP)
    second.run(1)
    assert second.group.active == 1
    g.vtl_return()
    second.lapics[0].write_register(0xF0, 0x1FF)
    g.wrmsr(0x40000071, 1 << 56 | 0x51)
    assert second.lapics[0].irr == 1 << 0x51 and second.lapics[1].irr == 1 << 0x50


def test_s70_disabling_vtl1s_apic_leaves_vtl0s_alone(guest):
    guest.vtl_call()
    guest.wrmsr(0x1B, 0xFEE00100)
    assert guest.vcpu.cpuid.read(1, 0)[3] >> 9 & 1 == 0
    guest.vtl_return()
    assert guest.rdmsr(0x1B) == 0xFEE00900 and guest.vcpu.cpuid.read(1, 0)[3] >> 9 & 1


def test_s71_a_halted_vtl0_is_still_halted_after_vtl1_ran(guest):
    guest.plane.rflags = IF
    guest.step(HALT)
    assert not guest.vcpu.runs()
    interrupt(guest, 1)
    assert guest.vcpu.runs()
    guest.m.dma_write(guest.vcpu.planes[1].get(layout.RIP), VMCALL)
    guest.reg(RAX, 1)
    guest.reg(RCX, 0x12)
    guest.vcpu.run(0)
    assert guest.vtl == 1
    guest.vcpu.lapics[1].acknowledge()
    guest.vcpu.interrupt_changed(1)
    guest.vcpu.run(5)
    assert guest.vtl == 0 and not guest.vcpu.runs()


def test_s72_a_halted_vtl1_is_not_woken_by_vtl0s_interrupts(guest):
    guest.vtl_call()
    guest.plane.rflags = IF
    guest.step(HALT)
    guest.vcpu.lapics[0].write_register(0xF0, 0x1FF)
    interrupt(guest, 0)
    guest.vcpu.waiting.poll(guest.plane)
    assert guest.vtl == 1 and not guest.vcpu.runs()
    interrupt(guest, 1)
    guest.vcpu.waiting.poll(guest.plane)
    assert guest.vcpu.runs()


def test_s103_an_interrupt_at_a_vtl_call_gives_one_entry(guest):
    interrupt(guest, 1)
    before = len(guest.m.switches)
    guest.vcpu.run(0)
    assert guest.vtl == 1 and reason(guest) == 2 and len(guest.m.switches) == before + 1
    assert guest.vcpu.lapics[1].irr == 1 << 0x50


def test_an_nmi_for_vtl1_preempts(guest):
    guest.vcpu.planes[1].set(layout.NMI, 1)
    guest.vcpu.run(0)
    assert guest.vtl == 1


def test_a_device_access_is_finished_before_the_switch(guest):
    """A port write of VTL0 whose device raises an interrupt for VTL1: the instruction ends, then the VTL changes."""
    start = guest.reg(layout.RIP)
    guest.m.dma_write(start, b"\xe6\xe9")           # out 0xe9, al
    guest.m.pc.debug_console._sink = lambda byte: interrupt(guest, 1)
    guest.vcpu.run(1)
    guest.vcpu.run(0)
    assert guest.vtl == 1 and guest.vcpu.planes[0].get(layout.RIP) == start + 2


LVT_TIMER, INITIAL, DIVIDE = 0x320, 0x380, 0x3E0


def arm(g, vtl, ns, vector=0x50):
    """The local APIC timer of a VTL, which counts nanoseconds, once."""
    lapic = g.vcpu.lapics[vtl]
    lapic.write_register(0xF0, 0x1FF)
    lapic.write_register(DIVIDE, 0b1011)
    lapic.write_register(LVT_TIMER, vector)
    lapic.write_register(INITIAL, ns)


def test_s68_the_timer_of_vtl1_fires_while_vtl0_runs_and_the_other_after_the_return(guest):
    arm(guest, 1, 1000)
    arm(guest, 0, 2000)
    guest.m.clock.skip_to(guest.m.clock.now + 1000)
    guest.m.clock.run_due()
    assert guest.vcpu.planes[1].get(layout.INTERRUPT) and not guest.vcpu.planes[0].get(layout.INTERRUPT)
    guest.m.dma_write(guest.vcpu.planes[1].get(layout.RIP), NOP)
    guest.vcpu.run(1)
    assert guest.vtl == 1 and reason(guest) == 2
    guest.m.clock.skip_to(guest.m.clock.now + 1500)
    guest.m.clock.run_due()
    guest.step(NOP)
    assert guest.vtl == 1 and guest.vcpu.planes[0].get(layout.INTERRUPT)
    guest.vcpu.lapics[1].acknowledge()
    guest.vcpu.interrupt_changed(1)
    guest.vcpu.planes[0].rflags = IF
    guest.vtl_return()
    guest.vcpu.run(1)
    assert guest.vtl == 0 and guest.reg(layout.RIP) == HANDLER + 1
