"""VTL call and VTL return; the scenario numbers are those of the VSM scenario list (s46 and so on)."""
import struct

import pytest

from jit import fpu_layout, layout
from tests.emu.planes.vsm.guest import ASSIST, CODE, HANDLER, RAX, RCX, VMCALL, Guest, initial_context

R8, RSI, RDI, RBX, RSP = (layout.gpr(n) for n in (8, 6, 7, 3, 4))


@pytest.fixture
def guest():
    g = Guest()
    g.enable_partition()
    g.enable_vp()
    return g


def reason(g):
    return int.from_bytes(g.m.memory.read(ASSIST + 8, 4), "little")


def test_s46_the_callee_sees_the_shared_registers_and_has_its_own_private_ones(guest):
    guest.reg(layout.DR, 0x1111)
    guest.reg(layout.CR2, 0x2222)
    guest.vtl_call(rdi=0x11, rsi=0x22, r8=0x33)
    assert guest.vtl == 1 and guest.runnable == 0b11
    assert [guest.reg(r) for r in (RDI, RSI, R8, layout.DR, layout.CR2)] == [0x11, 0x22, 0x33, 0x1111, 0x2222]
    assert guest.reg(RAX) == 0 and guest.reg(RCX) == 0x11
    assert guest.reg(layout.RIP) == CODE + 0x1000 and guest.reg(RSP) == 0x42000


def test_s46_s47_fpu_state_is_shared(guest):
    guest.vcpu.plane.fpu_set(fpu_layout.xmm(3), 0x1234)
    guest.vtl_call()
    assert guest.vcpu.plane.number == 1 and guest.vcpu.plane.fpu_get(fpu_layout.xmm(3)) == 0x1234
    guest.vcpu.plane.fpu_set(fpu_layout.xmm(3), 0x5678)
    guest.vtl_return()
    assert guest.vcpu.plane.number == 0 and guest.vcpu.plane.fpu_get(fpu_layout.xmm(3)) == 0x5678


def test_s46_entry_reason_is_1(guest):
    guest.vtl_call()
    guest.wrmsr(0x40000073, ASSIST | 1)
    guest.vtl_return()
    guest.vtl_call()
    assert reason(guest) == 1


def test_s47_a_fast_return_gives_every_shared_register_back(guest):
    guest.vtl_call()
    guest.reg(layout.CR2, 0x77)
    guest.vtl_return(fast=True, rbx=0x55)
    assert guest.vtl == 0 and guest.runnable == 1
    assert guest.reg(RBX) == 0x55 and guest.reg(layout.CR2) == 0x77
    assert guest.reg(RAX) == 1 and guest.reg(RCX) == 0x12


def test_s48_a_normal_return_loads_rax_and_rcx_from_the_assist_page():
    g = Guest()
    g.enter_vtl1()
    g.m.memory.write(ASSIST + 0x10, struct.pack("<2Q", 0xAAAA, 0xBBBB))
    g.vtl_return(fast=False)
    assert (g.vtl, g.reg(RAX), g.reg(RCX)) == (0, 0xAAAA, 0xBBBB)


def test_s49_a_normal_return_without_assist_page_leaves_them(guest):
    guest.vtl_call()
    guest.vtl_return(fast=False)
    assert (guest.vtl, guest.reg(RAX), guest.reg(RCX)) == (0, 0, 0x12)


def test_s50_a_second_call_resumes_after_the_return(guest):
    guest.vtl_call()
    guest.vtl_return()
    assert guest.reg(layout.RIP) == guest.vcpu.planes[0].get(layout.RIP)
    guest.vtl_call()
    assert guest.reg(layout.RIP) == CODE + 0x1000 + len(VMCALL)


@pytest.mark.parametrize("registers", [
    {"rax": 1}, {"rax": 1 << 32}, {"rcx": 0x11 | 1 << 16}, {"rcx": 0x11 | 1 << 32}, {"rcx": 0x11 | 1 << 63},
])
def test_s51_an_illegal_call_is_undefined(guest, registers):
    before = guest.reg(layout.RIP)
    guest.vtl_call(**registers)
    assert guest.vtl == 0 and guest.exception() == (True, before)


def test_s51_a_call_without_a_higher_vtl_is_undefined():
    g = Guest()
    before = g.reg(layout.RIP)
    g.vtl_call()
    assert g.vtl == 0 and g.exception() == (True, before)


def test_s13_s51_hypercalls_at_cpl_3_are_undefined(guest):
    guest.reg(layout.CPL, 3)
    guest.plane.update_mode()
    before = guest.reg(layout.RIP)
    guest.vtl_call()
    assert guest.vtl == 0 and guest.exception() == (True, before)


def test_s52_vtl0_cannot_return(guest):
    before = guest.reg(layout.RIP)
    guest.vtl_return()
    assert guest.exception() == (True, before)


@pytest.mark.parametrize("control", [2, 3, 1 << 63])
def test_s52_a_return_with_reserved_control_bits_is_undefined_in_vtl1(guest, control):
    guest.vtl_call()
    guest.vtl_return(rax=control)
    assert guest.vtl == 1 and guest.exception() == (True, CODE + 0x1000)


def enable(g, *vtls):
    """VTLs enabled on the partition and the vCPU, each by VTL0 or the one below."""
    for vtl in vtls:
        g.partition.enable_vtl(vtl)
        assert g.enable_vp(vtl) == 0


def test_s53_calls_climb_one_vtl_at_a_time_and_returns_come_back():
    g = Guest(max_vtl=2)
    enable(g, 1, 2)
    path = []
    for move in (g.vtl_call, g.vtl_call, g.vtl_return, g.vtl_return):
        move()
        path.append(g.vtl)
    assert path == [1, 2, 1, 0]


def test_s54_a_call_skips_a_vtl_that_is_not_enabled():
    g = Guest(max_vtl=2)
    enable(g, 2)
    g.vtl_call()
    assert g.vtl == 2
    g.vtl_return()
    assert g.vtl == 0


def test_s55_a_32_bit_vtl_returns_eax_ecx_and_edx():
    g = Guest()
    g.enable_partition()
    page32 = 0x70000                    # one 4 MiB page, 32-bit paging
    g.m.memory.write(page32, struct.pack("<I", 0x83))
    assert g.enable_vp(initial=initial_context(1, cs=struct.pack("<QIHH", 0, 0xFFFFFFFF, 8, 0xC09B), efer=0,
                                               cr3=page32, cr4=0x10)) == 0
    g.vtl_call()
    g.wrmsr(0x40000073, ASSIST | 1)
    g.m.memory.write(ASSIST + 0x10, struct.pack("<3I", 0xA, 0xC, 0xD))
    g.step(rax=0x12, rdx=0, rcx=0)
    assert g.vtl == 0
    assert [g.reg(layout.gpr(n)) for n in (0, 1, 2)] == [0xA, 0xC, 0xD]


def test_both_encodings_of_the_instruction_serve(guest):
    guest.step(b"\x0f\x01\xd9", rax=0, rcx=0x11)
    assert guest.vtl == 1


def test_the_call_retires_and_traps_when_single_stepped(guest):
    guest.plane.rflags = 0x102
    retired = guest.vcpu.icount
    guest.vtl_call()
    assert guest.vcpu.icount == retired + 1
    guest.vtl_return()
    assert guest.reg(layout.RIP) == HANDLER         # the trap is delivered as soon as VTL0 runs again
    assert guest.m.memory.read(guest.reg(RSP), 8) == struct.pack("<Q", CODE + 3 * len(VMCALL))


def test_entry_reason_replaces_decoded_code_in_the_assist_page():
    g = Guest()
    g.enter_vtl1()
    g.vtl_return()
    here = g.reg(layout.RIP)
    g.reg(layout.RIP, ASSIST)
    g.step(b"\x90")                     # VTL0 executes from the page: its first line holds decoded code
    g.reg(layout.RIP, here)
    g.vtl_call()
    assert g.vtl == 1 and reason(g) == 1
    assert g.m.memory.read(ASSIST, 1) == b"\x90"


def test_switches_are_recorded_with_their_cause_and_addresses(guest):
    guest.vtl_call()
    guest.vtl_return()
    call, back = guest.m.switches
    assert (call["from"], call["to"], call["cause"], call["vcpu"]) == (0, 1, "call", 0)
    assert (back["from"], back["to"], back["cause"]) == (1, 0, "fast return")
    assert call["rip_to"] == back["rip_from"] == CODE + 0x1000
    assert back["rip_to"] == call["rip_from"] + len(VMCALL)
    assert back["icount"] == call["icount"] + 1
    assert "cr3" in call["registers"] and "rax" not in call["registers"]
    assert guest.m.counters["plane_switches"] == 2


def test_messages_name_the_vtl(guest):
    guest.vtl_call()
    assert "VTL1" in guest.vcpu.where(guest.plane)


def test_without_a_hypervisor_interface_the_instruction_is_undefined(guest):
    from emu.machine import Machine
    from emu.planes.context import apply
    from emu.planes.vsm import context
    m = Machine(memory=4 << 20, engine="interp")
    for page in range(0x10000, 0x30000, 0x1000):
        m.memory.write(page, guest.m.memory.read(page, 0x1000))
    plane = m.vcpus[0].plane
    apply(context.parse(initial_context(0)), plane, m)
    m.memory.write(CODE, VMCALL)
    m.vcpus[0].run(1)
    assert plane.get(layout.RIP) == HANDLER + 1
