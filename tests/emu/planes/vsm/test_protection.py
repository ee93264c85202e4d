"""Memory protections and memory intercepts; sN: number in the VSM scenario list."""
import struct

import pytest

from emu.irq.apicbus import ApicMessage
from jit import layout
from tests.emu.planes.vsm.guest import (
    ASSIST,
    CODE,
    CONFIG,
    HANDLER,
    IDT,
    INPUT,
    MESSAGES,
    NOP,
    PD,
    RAX,
    SELF,
    SINT0,
    STACK,
    VMCALL,
    Guest,
)

PAGE = 0x200000                         # a page of its own
GPA_INTERCEPT, UNMAPPED = 0x80000001, 0x80000000
LOAD, STORE, CALL = b"\x48\x8b\x00", b"\x48\x89\x00", b"\xff\xd0"      # mov rax, [rax]; mov [rax], rax; call rax
RSP = layout.gpr(4)
NONE, R, RW, RX, RWX = 0, 1, 3, 9, 0xF


@pytest.fixture(params=["interp", "auto"])
def engine(request):
    return request.param


@pytest.fixture
def guest(engine):
    """VTL1 protects pages; VTL0 runs once a test returns to it."""
    g = Guest(engine=engine)
    g.secure()
    return g


def header(payload):
    """(VP, length and CR8, access, state, CS, RIP, RFLAGS)"""
    return struct.unpack_from("<IBBH16sQQ", payload)


def memory_part(payload):
    """(cache, byte count, info, GVA, GPA, bytes)"""
    cache, count, info, _, _, gva, gpa, code = struct.unpack_from("<IBBBBQQ16s", payload, 0x28)
    return cache, count, info, gva, gpa, code


def test_s81_a_denied_load_is_told_to_vtl1_and_completes_after_it_relaxes_the_page(guest):
    guest.m.memory.write(PAGE, (0x1122334455667788).to_bytes(8, "little"))
    assert guest.protect(NONE, PAGE) == (0, 1)
    guest.vtl_return()
    rip, rsp = guest.reg(layout.RIP), guest.reg(RSP)
    guest.plane.rflags = 0x46
    assert guest.attempt(LOAD, rax=PAGE, rcx=0xC, rdx=0xD, rbx=0xB) == 1
    assert guest.m.memory.read(ASSIST + 8, 4) == bytes((2, 0, 0, 0))
    kind, payload, origin = guest.message()
    assert (kind, len(payload), origin) == (GPA_INTERCEPT, 240, 0)
    vp, length, access, state, cs, at, flags = header(payload)
    assert (vp, length, access, at, flags) == (0, 3, 0, rip, 0x10046)
    assert state == 1 << 2 | 1 << 4             # CR0.PE, EFER.LMA, CPL 0, VTL0
    assert cs == struct.pack("<QIHH", 0, 0xFFFFFFFF, 8, 0xA09B)
    assert memory_part(payload) == (6, 3, 0, 0, PAGE, LOAD.ljust(16, b"\0"))
    assert payload[0x50:0x70] == struct.pack("<QIHH", 0, 0xFFFFFFFF, 0x10, 0xC093) * 2
    assert struct.unpack_from("<6Q", payload, 0x70) == (PAGE, 0xC, 0xD, 0xB, rsp, guest.reg(layout.gpr(5)))
    guest.handled()
    assert guest.protect(RWX, PAGE) == (0, 1)
    guest.m.memory.write(ASSIST + 0x10, struct.pack("<2Q", PAGE, 0xC))
    guest.vtl_return(fast=False)
    assert guest.reg(layout.RIP) == rip
    guest.run(1)
    assert guest.vtl == 0 and guest.reg(RAX) == 0x1122334455667788 and guest.reg(layout.RIP) == rip + 3


def test_s82_a_store_to_a_page_that_can_only_be_read(guest):
    assert guest.protect(R, PAGE) == (0, 1)
    guest.vtl_return()
    rip = guest.reg(layout.RIP)
    assert guest.attempt(STORE, rax=PAGE) == 1
    kind, payload, _ = guest.message()
    assert kind == GPA_INTERCEPT and header(payload)[1:3] == (3, 1)
    assert memory_part(payload)[1:] == (3, 0, 0, PAGE, STORE.ljust(16, b"\0"))
    assert guest.m.memory.read(PAGE, 8) == bytes(8)
    guest.handled()
    guest.protect(RWX, PAGE)
    guest.reg(RAX, PAGE)
    guest.m.memory.write(ASSIST + 0x10, struct.pack("<2Q", PAGE, 0))
    guest.vtl_return(fast=False)
    guest.run(1)
    assert guest.reg(layout.RIP) == rip + 3 and guest.m.memory.read(PAGE, 8) == PAGE.to_bytes(8, "little")


def test_a_page_that_can_be_read_is_read(guest):
    guest.protect(R, PAGE)
    guest.vtl_return()
    assert guest.attempt(LOAD, rax=PAGE) == 0 and guest.reg(RAX) == 0


@pytest.mark.parametrize("dialect, length", [("ms", 0), ("kut", 2)])
def test_s83_a_branch_into_a_page_that_cannot_be_executed(dialect, length):
    g = Guest(dialect)
    g.secure()
    assert g.protect(RW, PAGE) == (0, 1)
    g.vtl_return()
    rip, rsp = g.reg(layout.RIP), g.reg(RSP)
    g.m.memory.write(PAGE, NOP)
    g.step(CALL, rax=PAGE)
    g.run(1)
    assert g.vtl == 1
    _, payload, _ = g.message()
    assert header(payload)[1:3] == (length, 2) and header(payload)[5] == PAGE
    assert memory_part(payload)[1:] == (0, 0, 0, PAGE, bytes(16))
    assert struct.unpack_from("<Q", payload, 0x70 + 4 * 8)[0] == rsp - 8
    assert g.m.memory.read(rsp - 8, 8) == (rip + 2).to_bytes(8, "little")
    g.handled()
    g.protect(RWX, PAGE)
    g.vtl_return()
    g.run(1)
    assert g.vtl == 0 and g.reg(layout.RIP) == PAGE + 1


def test_a_page_that_was_executed_can_lose_that_right(guest):
    guest.vtl_return()
    guest.m.dma_write(PAGE, NOP * 8)
    guest.reg(layout.RIP, PAGE)
    guest.run(4)
    guest.vtl_call()
    assert guest.protect(R, PAGE) == (0, 1)
    guest.vtl_return()
    guest.run(1)
    assert guest.vtl == 1 and header(guest.message()[1])[2] == 2


def test_s84_a_page_table_that_cannot_be_read_stops_the_walk(guest):
    guest.protect(NONE, PD)
    guest.vtl_return()
    guest.plane.flush()
    guest.run(1)                   # even the fetch needs the walk
    assert guest.vtl == 1
    _, payload, _ = guest.message()
    assert header(payload)[2] == 0 and memory_part(payload)[4] == PD


def test_a_page_table_that_can_only_be_read_keeps_a_clear_dirty_bit_clear(guest):
    entry = int.from_bytes(guest.m.memory.read(PD + 8, 8), "little")
    guest.m.memory.write(PD + 8, struct.pack("<Q", entry & ~0x60))
    guest.protect(R, PD)
    guest.vtl_return()
    guest.plane.flush()
    assert guest.attempt(LOAD, rax=PAGE + 0x1000) == 1
    _, payload, _ = guest.message()
    assert header(payload)[2] == 1 and memory_part(payload)[4] == PD + 8
    assert guest.m.memory.read(PD + 8, 8) == struct.pack("<Q", entry & ~0x60)


def test_s85_an_interrupt_on_a_read_only_stack_is_delivered_after_the_page_is_relaxed(guest):
    guest.protect(R, STACK)
    guest.vtl_return()
    rip, rsp = guest.reg(layout.RIP), guest.reg(RSP)
    guest.plane.rflags = 0x202
    guest.vcpu.lapics[0].svr = 0x1FF
    guest.vcpu.lapics[0].accept(ApicMessage(0x40))
    guest.step(NOP)
    assert guest.vtl == 1
    kind, payload, _ = guest.message()
    assert kind == GPA_INTERCEPT and header(payload)[2] == 1 and memory_part(payload)[4] & -0x1000 == STACK
    assert header(payload)[3] >> 6 & 1 and memory_part(payload)[1] == 0         # the event waits, no instruction
    guest.handled()
    guest.protect(RWX, STACK)
    guest.vtl_return()
    guest.run(1)
    assert guest.reg(layout.RIP) == HANDLER + 1 and guest.m.memory.read(rsp - 40, 8) == rip.to_bytes(8, "little")


def test_s86_an_update_of_a_page_that_becomes_read_only_is_whole_or_not_at_all():
    g = Guest(vcpus=2)
    g.secure()
    assert g.enable_vp(vp=1) == 0
    g.vtl_return()
    g.use(1)
    g.reg(layout.RIP, CODE + 0x3000)
    g.step(b"\xf0\x48\xff\x00", rax=PAGE)                       # lock inc qword [rax]
    g.use(0)
    g.vtl_call()
    g.protect(R, PAGE)
    g.use(1)
    rip = g.reg(layout.RIP)
    g.step(b"\xf0\x48\xff\x00", rax=PAGE)
    assert g.m.memory.read(PAGE, 8) == struct.pack("<Q", 1) and g.vcpu.planes[0].get(layout.RIP) == rip


def test_s87_pages_that_are_not_ram_cannot_be_protected(guest):
    assert guest.protect(R, PAGE, 0xFEE00000, PAGE + 0x1000) == (0x5, 1)
    assert guest.protect(R, 1 << 52) == (0x5, 0)
    assert guest.partition.protections.allows(0, PAGE + 0x1000, 1)


def test_s90_while_sint0_is_masked_vtl0_tries_again_and_again(guest):
    guest.protect(NONE, PAGE)
    guest.wrmsr(SINT0, 0x10030)
    guest.vtl_return()
    rip = guest.reg(layout.RIP)
    guest.m.dma_write(rip, LOAD)
    guest.reg(RAX, PAGE)
    guest.run(1000)
    assert guest.vtl == 0 and guest.reg(layout.RIP) == rip and guest.partition.intercepts.stalls == 10
    for _ in range(100):
        guest.run(1000)
    assert len([line for line in guest.reports if "intercept" in line]) == 1
    guest.vtl_call()
    guest.wrmsr(SINT0, 0x30)
    guest.vtl_return()
    guest.reg(layout.RIP, rip)
    assert guest.attempt(LOAD, rax=PAGE) == 1 and guest.message()[0] == GPA_INTERCEPT


def test_s91_a_full_slot_is_not_overwritten(guest):
    guest.protect(NONE, PAGE, PAGE + 0x1000)
    guest.vtl_return()
    assert guest.attempt(LOAD, rax=PAGE) == 1
    first = guest.message()
    guest.vcpu.lapics[1].irr = 0
    guest.vcpu.interrupt_changed(1)
    guest.vtl_return()
    assert guest.attempt(LOAD, rax=PAGE + 0x1000) == 0
    assert guest.message() == first
    guest.vtl_call()
    guest.handled()
    guest.wrmsr(0x40000084, 0)
    guest.vtl_return()
    assert guest.attempt(LOAD, rax=PAGE + 0x1000) == 1
    assert memory_part(guest.message()[1])[4] == PAGE + 0x1000


def test_s95_the_intercept_page_takes_messages_whatever_the_priority():
    g = Guest(max_vtl=2)
    for vtl in (1, 2):
        g.partition.enable_vtl(vtl)
        assert g.enable_vp(vtl) == 0
    g.vtl_call()
    g.vtl_call()
    g.wrmsr(0x40000073, ASSIST | 1)
    g.vcpu.lapics[2].write_register(0x80, 0xF0)
    assert g.set((CONFIG, 1 << 12 | 0x3E)) == (0, 1)
    g.vtl_return()
    g.vtl_return()
    assert g.vtl == 0
    g.m.memory.write(PD + 16, struct.pack("<Q", 0x40000000 | 0x87))
    g.reg(layout.RIP, CODE)
    g.attempt(LOAD, rax=0x400000)
    assert g.vtl == 2 and g.m.memory.read(ASSIST + 8, 4) == struct.pack("<I", 3)
    kind, payload, _ = g.message(page=ASSIST + 0x70)
    assert kind == UNMAPPED and memory_part(payload)[4] == 0x40000000 and header(payload)[2] == 0
    assert g.message()[0] == 0
    assert g.m.switches[-1]["cause"] == "intercept" and g.m.switches[-1]["from"] == 0


def test_s96_a_device_has_vtl0s_rights(guest):
    guest.m.memory.write(PAGE, b"\x11" * 16)
    guest.protect(R, PAGE)
    guest.m._device_write(PAGE - 8, b"\x22" * 16)
    assert guest.m.memory.read(PAGE - 8, 16) == b"\x22" * 8 + b"\x11" * 8
    assert guest.m._device_read(PAGE, 4) == b"\x11" * 4
    guest.protect(NONE, PAGE)
    assert guest.m._device_read(PAGE, 4) == b"\xff" * 4


@pytest.mark.parametrize("name, info", [("input", 0), ("output", 4)])
def test_s97_a_hypercalls_parameters_are_the_callers_accesses(guest, name, info):
    guest.protect(NONE, PAGE)
    guest.vtl_return()
    rip, other = guest.reg(layout.RIP), INPUT + 0x800
    data = struct.pack("<QIB3xI4x", SELF, 0xFFFFFFFE, 0, 0xD0004)
    guest.m.memory.write(other, data)
    guest.m.memory.write(PAGE, data)
    guest.attempt(VMCALL, rcx=0x50 | 1 << 32, rdx=PAGE if name == "input" else other,
                  r8=PAGE if name == "output" else other)
    assert guest.vtl == 1 and guest.vcpu.planes[0].get(layout.RIP) == rip
    kind, payload, _ = guest.message()
    assert kind == GPA_INTERCEPT and memory_part(payload)[4] == PAGE
    assert memory_part(payload)[1:3] == (3, info)
    rcx, rdx, r8 = (guest.reg(layout.gpr(n)) for n in (1, 2, 8))
    guest.handled()
    guest.protect(RWX, PAGE)
    guest.m.memory.write(ASSIST + 0x10, struct.pack("<2Q", 0, rcx))
    guest.vtl_return(fast=False, rdx=rdx, r8=r8)
    guest.run(1)
    assert guest.vtl == 0 and guest.reg(RAX) == 1 << 32 and guest.reg(layout.RIP) == rip + 3


def test_a_message_page_of_vtl1_may_lie_where_vtl0_can_do_nothing(guest):
    guest.protect(NONE, PAGE, MESSAGES, ASSIST)
    guest.vtl_return()
    assert guest.attempt(LOAD, rax=PAGE) == 1 and guest.message()[0] == GPA_INTERCEPT
    assert guest.m.memory.read(ASSIST + 8, 1) == b"\x02"


def test_of_two_protecting_vtls_the_lower_is_told():
    g = Guest(max_vtl=2)
    for vtl in (1, 2):
        g.partition.enable_vtl(vtl)
        assert g.enable_vp(vtl) == 0
    g.vtl_call()
    g.wrmsr(0x40000083, MESSAGES | 1)
    g.wrmsr(0x40000080, 1)
    g.wrmsr(SINT0, 0x30)
    assert g.set((CONFIG, 0x3F)) == (0, 1)
    assert g.protect(NONE, PAGE) == (0, 1)
    g.vtl_call()
    assert g.vtl == 2 and g.set((CONFIG, 0x3F)) == (0, 1)
    assert g.protect(NONE, PAGE, PAGE + 0x1000, input_vtl=0x10) == (0, 2)
    assert g.protect(R, PAGE + 0x2000) == (0, 1)            # for VTL0 and VTL1
    g.vtl_return()
    assert g.attempt(LOAD, rax=PAGE + 0x1000) == 1          # only VTL0 may not
    assert g.attempt(LOAD, rax=PAGE + 0x2000) == 1
    g.vtl_return()
    assert g.attempt(LOAD, rax=PAGE) == 1 and memory_part(g.message()[1])[4] == PAGE


def test_check_sparse_access_tells_what_is_denied(guest):
    guest.protect(R, PAGE)
    header = struct.pack("<QBB6x", SELF, 0x10, 3)
    data = struct.pack("<2Q", PAGE >> 12, PAGE + 0x1000 >> 12)
    assert guest.call(0xD4, header + data, count=2) == (0, 2)
    assert struct.unpack("<4I", guest.m.memory.read(0x17000, 16)) == (2, 0, 0, 0)


def test_interrupt_gates_in_memory_vtl0_cannot_read(guest):
    guest.protect(NONE, IDT)
    guest.vtl_return()
    assert guest.attempt(b"\x0f\x0b") == 1                  # ud2
    assert memory_part(guest.message()[1])[4] & -16 == IDT + 6 * 16
