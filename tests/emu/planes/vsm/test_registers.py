"""Registers and events of lower VTLs, address translation, reset; sN: number in the VSM scenario list."""
import struct

import pytest

from emu.waiting import HALTED
from jit import exits, layout
from tests.emu.planes.vsm.guest import (
    CODE,
    CONFIG,
    HANDLER,
    HYPERCALL_PAGE,
    NOP,
    OS_ID,
    PD,
    RAX,
    SELF,
    VP_SELF,
    Guest,
    initial_context,
)

CR0, CR4, EFER, LSTAR, APIC_BASE, EVENT = 0x40000, 0x40003, 0x80001, 0x80009, 0x80003, 0x10004
RSP = layout.gpr(4)


@pytest.fixture
def guest():
    g = Guest()
    g.enter_vtl1()
    return g


def test_s27_vtl1_reads_the_live_values_of_vtl0(guest):
    guest.vtl_return()
    guest.step(b"\x0f\x30", rcx=0xC0000082, rax=0x1234000, rdx=0)
    guest.step(b"\x0f\x22\xe0", rax=0xA0)
    guest.vtl_call()
    assert guest.get(CR0, CR4, LSTAR, EFER, vtl=0)[1] == [0x80000011, 0xA0, 0x1234000, 0x500]


def test_s29_values_that_no_processor_takes(guest):
    before = guest.get(CR0, CR4, EFER, vtl=0)[1]
    for name, value in ((CR0, 0x80000010), (CR0, 1 << 32 | 0x80000011), (CR0, 0xA0000011), (EFER, 0x502),
                        (CR4, 1 << 31), (CR4, 0), (0x80004, 2), (LSTAR, 1 << 47), (0x8000B, 1 << 32),
                        (0x50005, 1 << 32)):
        assert guest.set((name, value), vtl=0) == (0x50, 0), hex(name)
    assert guest.get(CR0, CR4, EFER, vtl=0)[1] == before


def test_s30_apic_base_takes_the_value_that_it_has(guest):
    base = guest.vcpu.lapics[0].base
    assert guest.set((APIC_BASE, base), vtl=0) == (0, 1) and guest.set((APIC_BASE, base ^ 0x1000), vtl=0) == (0x5, 0)


def test_segments_tables_and_control_registers_can_be_written(guest):
    segment = struct.unpack("<2Q", struct.pack("<QIHH", 0x1000, 0xFFFF, 0x20, 0xC093))
    value = segment[0] | segment[1] << 64
    table = 0x55 << 48 | 0x14000 << 64
    assert guest.set((0x60003, value), (0x70001, table), (0x40002, 0x10000), (0x40004, 5), (0x50005, 0x401),
                     (0x80002, 7), (CR0, 0x80010011), (CR4, 0xA0), (0x20011, 0x246), vtl=0) == (0, 9)
    assert guest.get(0x60003, 0x70001, 0x40004, 0x50005, CR0, CR4, 0x20011, vtl=0)[1] == [
        value, table, 5, 0x401, 0x80010011, 0xA0, 0x246]
    assert guest.vcpu.lapics[0].tpr == 0x50
    assert guest.set((0x60003, value | 0x0F00 << 112), vtl=0) == (0x50, 0)


def test_other_registers_can_be_read(guest):
    guest.plane.fpu_set(0, 0)
    answer, values = guest.get(0x100, 0x200, 0x84803, 0x8000C, 0x30000, 0x215, 0xB0000, 0x10003, 0x4, vtl=0)
    assert answer == (0, 9)
    assert values[0] == int.from_bytes(struct.pack("<4I", *guest.vcpu.cpuid.read(0x40000002, 0)), "little")
    assert values[2] & 0xFF == 0x14 and values[3] == 0


def test_s32_an_exception_that_vtl1_gives_is_taken_first(guest):
    rip = guest.vcpu.planes[0].get(layout.RIP)
    assert guest.set((EVENT, 0xD0101), vtl=0) == (0, 1) and guest.get(EVENT, vtl=0)[1] == [0xD0101]
    rsp = guest.vcpu.planes[0].get(RSP)
    guest.vtl_return()
    guest.run(1)
    assert guest.vtl == 0 and guest.reg(layout.RIP) == HANDLER + 1
    assert guest.m.memory.read(rsp - 48, 16) == struct.pack("<2Q", 0, rip)


def test_s33_it_ends_a_halt(guest):
    guest.vcpu.planes[0].set(layout.ACTIVITY, HALTED)
    assert guest.set((EVENT, 0xD0101), vtl=0) == (0, 1)
    guest.vtl_return()
    assert guest.vcpu.runs()
    guest.run(1)
    assert guest.reg(layout.RIP) == HANDLER + 1


def test_s34_with_a_page_fault_that_waits_it_makes_a_double_fault(guest):
    plane = guest.vcpu.planes[0]
    plane.raise_exception(14, 2)
    assert guest.set((EVENT, 0xD0101), vtl=0) == (0, 1)
    fields = layout.FAULT_VECTOR, layout.FAULT_ERROR, layout.FAULT_HAS_ERROR
    assert [plane.get(field) for field in fields] == [8, 0, 1]


@pytest.mark.parametrize("first, second, becomes", [(13, 13, 8), (13, 14, 14), (14, 14, 8), (6, 13, 13), (14, 6, 6)])
def test_which_exceptions_combine(guest, first, second, becomes):
    guest.vcpu.planes[0].raise_exception(first, 0)
    error = 1 << 8 if second in (13, 14) else 0
    assert guest.set((EVENT, 1 | second << 16 | error), vtl=0) == (0, 1)
    assert guest.vcpu.planes[0].get(layout.FAULT_VECTOR) == becomes


def test_a_page_fault_brings_its_address(guest):
    assert guest.set((EVENT, 1 | 14 << 16 | 1 << 8 | 4 << 32 | 0x7777000 << 64), vtl=0) == (0, 1)
    guest.vtl_return()
    guest.run(1)
    assert guest.reg(layout.RIP) == HANDLER + 1 and guest.reg(layout.CR2) == 0x7777000


def test_an_interrupt_that_was_taken_waits_again_when_an_exception_replaces_it(guest):
    lapic, plane = guest.vcpu.lapics[0], guest.vcpu.planes[0]
    lapic.isr = 1 << 0x40
    plane.inject_interrupt(0x40)
    assert guest.set((EVENT, 0xD0101), vtl=0) == (0, 1)
    assert (lapic.irr, lapic.isr) == (1 << 0x40, 0) and plane.get(layout.FAULT_KIND) == exits.KIND_FAULT


@pytest.mark.parametrize("value", [1 | 6 << 16 | 1 << 8, 1 | 20 << 16, 1 | 2 << 16, 1 | 22 << 16, 1 | 1 << 1,
                                   1 | 5 << 1 | 8 << 16])
def test_s35_events_that_do_not_exist(guest, value):
    assert guest.set((EVENT, value), vtl=0) == (0x50, 0) and not guest.vcpu.planes[0].get(layout.FAULT_PENDING)


def test_events_are_for_lower_vtls(guest):
    assert guest.set((EVENT, 0xD0101)) == (0x5, 0)


def test_interrupt_and_activity_state(guest):
    assert guest.set((0x10003, 2), (0x4, 2), vtl=0) == (0, 2)
    assert guest.get(0x10003, 0x4, vtl=0)[1] == [2, 2]
    assert guest.set((0x10003, 4), vtl=0) == (0x50, 0) and guest.set((0x4, 1), vtl=0) == (0x50, 0)


# --- translation ---


def translate(g, page, flags=1, vtl=0, vp=VP_SELF, code=0x52):
    data = struct.pack("<QIIQQ", SELF, vp, 0, flags | (0x10 | vtl) << 56, page)
    status, _ = g.call(code, data)
    return status, *struct.unpack("<QQ", g.m.memory.read(0x17000, 16))


def test_s107_vtl1_translates_vtl0s_addresses(guest):
    assert translate(guest, 0x201) == (0, 6 << 32, 0x201)
    assert translate(guest, 0x400)[:2] == (0, 1)                    # not present
    guest.vtl_return()
    guest.wrmsr(0x40000000, OS_ID)
    guest.wrmsr(0x40000001, HYPERCALL_PAGE | 1)
    guest.vtl_call()
    assert translate(guest, HYPERCALL_PAGE >> 12) == (0, 1 << 40 | 6 << 32, HYPERCALL_PAGE >> 12)
    assert translate(guest, 0x201, code=0xAC)[:2] == (0, 6 << 32)
    assert guest.m.memory.read(0x17030, 8) == struct.pack("<Q", 0x201)


def test_translation_checks_rights(guest):
    write, execute, user, supervisor, exempt = 2, 4, 0x80, 0x40, 8
    entry = PD + 8
    guest.m.memory.write(entry, struct.pack("<Q", 0x200000 | 0x81))         # supervisor, read-only
    guest.vcpu.planes[0].set(layout.CR0, 0x80010011)
    assert translate(guest, 0x200, write)[1] == 2 and translate(guest, 0x200, 1 | user)[1] == 2
    assert translate(guest, 0x200, 1 | supervisor)[1] == 6 << 32
    assert translate(guest, 0x200, write | exempt)[1] == 6 << 32
    guest.m.memory.write(entry, struct.pack("<Q", 0x200000 | 0x87))
    guest.vcpu.planes[0].set(layout.CR4, 0x300020)                          # SMEP, SMAP
    assert translate(guest, 0x200, execute | supervisor)[1] == 2
    assert translate(guest, 0x200, 1)[1] == 2 and translate(guest, 0x200, 1 | 0x200)[1] == 6 << 32
    guest.vcpu.planes[0].set(layout.CR4, 0x20)
    assert guest.m.memory.read(entry, 1) == b"\x87"
    translate(guest, 0x200, write | 0x10)
    assert guest.m.memory.read(entry, 1) == b"\xe7"
    guest.m.memory.write(entry, struct.pack("<Q", 0x40000000 | 0x87))
    assert translate(guest, 0x200)[1] == 4
    guest.m.memory.write(entry, struct.pack("<Q", 1 << 50 | 0x87))
    assert translate(guest, 0x200)[1] == 3


def test_translation_sees_protections():
    g = Guest()
    g.secure()
    g.protect(1, 0x200000)
    g.protect(0, 0x201000, PD)
    assert translate(g, 0x200, 2)[1] == 5                                   # the page directory cannot be read
    g.protect(0xF, PD)
    assert translate(g, 0x200, 2)[1] == 6 and translate(g, 0x200, 1)[1] == 6 << 32 and translate(g, 0x201, 1)[1] == 5


def test_translation_outside_paging_and_in_32_bit_modes(guest):
    plane = guest.vcpu.planes[0]
    plane.set(layout.CR0, 0x11)
    assert translate(guest, 0x123)[1:] == (6 << 32, 0x123)
    plane.set(layout.CR0, 0x80000011)
    plane.set(layout.EFER, 0)
    plane.set(layout.CR4, 0x10)
    plane.set(layout.CR3, 0x30000)
    guest.m.memory.write(0x30000, struct.pack("<2I", 0x31007, 0x87))
    guest.m.memory.write(0x31000 + 4 * 5, struct.pack("<I", 0x77007))
    assert translate(guest, 5)[1:] == (6 << 32, 0x77) and translate(guest, 0x403)[1:] == (6 << 32, 3)
    plane.set(layout.CR4, 0x20)
    guest.m.memory.write(0x30000, struct.pack("<Q", 0x31001))
    guest.m.memory.write(0x31000, struct.pack("<Q", 0x32007))
    guest.m.memory.write(0x32000 + 8 * 5, struct.pack("<Q", 0x55007))
    assert translate(guest, 5)[1:] == (6 << 32, 0x55)


def test_translation_knows_reserved_bits_and_canonical_addresses(guest):
    plane = guest.vcpu.planes[0]
    guest.m.memory.write(PD + 8, struct.pack("<Q", 0x200087 | 1 << 13))              # a 2 MiB page in the wrong place
    assert translate(guest, 0x200)[1] == 3
    guest.m.memory.write(PD + 8, struct.pack("<Q", 0x200087 | 1 << 63))
    plane.set(layout.EFER, 0x500)
    assert translate(guest, 0x200)[1] == 3                                          # NX without EFER.NXE
    plane.set(layout.EFER, 0xD00)
    assert translate(guest, 0x200)[1] == 6 << 32 and translate(guest, 0x200, 4)[1] == 2
    assert translate(guest, 1 << 36)[1] == 1 and translate(guest, (1 << 51) + 0x200)[1] == 1


def lay_hypercall_page(g):
    g.wrmsr(0x40000000, OS_ID)
    g.wrmsr(0x40000001, HYPERCALL_PAGE | 1)


def test_translation_for_stores_ends_at_hypercall_pages(guest):
    lay_hypercall_page(guest)
    assert translate(guest, HYPERCALL_PAGE >> 12, 2)[1] == 7
    assert translate(guest, HYPERCALL_PAGE >> 12, 0xF)[1] & 0xFF == 0       # exempt from such checks, as kut's test is


def test_translation_does_not_write_where_nobody_may(guest):
    """A page table beneath the hypercall page: its accessed bits stay as they are."""
    guest.m.memory.write(HYPERCALL_PAGE, struct.pack("<Q", 0x200007))
    guest.m.memory.write(PD + 8, struct.pack("<Q", HYPERCALL_PAGE | 7))
    lay_hypercall_page(guest)
    assert translate(guest, 0x200, 1 | 0x10)[0] == 0


def test_translation_checks_its_operands(guest):
    assert translate(guest, 0x200, 1 << 20)[0] == 0x5 and translate(guest, 0x200, vp=7)[0] == 0xE
    assert translate(guest, 0x200, vtl=1)[0] == 0
    guest.vtl_return()
    assert translate(guest, 0x200, vtl=0)[0] == 0 and translate(guest, 0x200, vtl=1)[0] == 0x6


# --- reset, and machines without VSM ---


@pytest.mark.parametrize("zero", [True, False])
def test_s104_a_reset_takes_vtl1_away_and_clears_memory_unless_told_not_to(zero):
    g = Guest()
    g.secure()
    assert g.set((CONFIG, 0x3F if zero else 0x1F)) == (0, 1)
    g.protect(0, 0x200000)
    g.m.memory.write(0x300000, b"kept")
    g.vtl_return()
    g.step(b"\x0f\x30", rcx=0x40000003, rax=1, rdx=0)
    assert g.m.stopping is not None and g.m.stopping.reason == "reset"
    assert g.m.memory.read(0x300000, 4) == (bytes(4) if zero else b"kept")
    assert g.vtl == 0 and g.partition.enabled == 1 and g.vp.enabled == 1
    assert g.plane.get(layout.DENIALS) == 0 and g.partition.protections.allows(0, 0x200000, 1)
    assert g.partition.vps[0].vtls.keys() == {0}


def test_s2_without_vsm_nothing_announces_it():
    g = Guest(max_vtl=0)
    assert g.vcpu.cpuid.read(0x40000003, 0)[1] >> 16 & 1 == 0
    assert g.enable_partition() == 0x6 and g.get(0xD0004)[1] == [0x1]


def test_s106_a_breakpoint_of_vtl0_does_not_stop_vtl1(guest):
    at = CODE + 0x6000
    guest.m.dma_write(at, NOP * 4)
    for plane, dr7 in zip(guest.vcpu.planes, (0x403, 0x400), strict=True):
        plane.set(layout.DR7, dr7)
    guest.vcpu.planes[1].set(layout.DR, at)
    guest.reg(layout.RIP, at)
    guest.run(2)
    assert guest.reg(layout.RIP) == at + 2
    guest.vtl_return()
    guest.reg(layout.RIP, at)
    guest.run(1)
    assert guest.reg(layout.RIP) == HANDLER + 1


def test_s45_a_context_in_real_mode_is_refused(guest):
    assert Guest().partition.max_vtl == 1
    g = Guest()
    g.enable_partition()
    assert g.enable_vp(initial=initial_context(1, cr0=0x10)) == 0x50
    assert g.reg(RAX) == 0x50


def test_mtrrs_and_misc_enable_are_the_processors():
    g = Guest()
    g.enter_vtl1()
    names = (0x8000E, 0x80010, 0x80040, 0x80070, 0x80071, 0x80073, 0x8007A)
    indexes = (0x2FF, 0x200, 0x201, 0x250, 0x258, 0x268, 0x26F)
    values = (0xC06, 0x6, 0xFFFF_F000_0800, *(4 * [0x0606060606060606]))
    assert g.set(*zip(names, values, strict=True), vtl=0) == (0, 7)
    assert [g.rdmsr(index) for index in indexes] == list(values)
    (status, _), found = g.get(*names, vtl=0)
    assert status == 0 and found == list(values)
    assert g.set((0x80070, 0x02), vtl=0)[0] == 0x50 and g.set((0x8000D, 0), vtl=0)[0] == 0x50
    (status, _), (capabilities, enable) = g.get(0x8000D, 0x800A0, vtl=0)
    assert status == 0 and capabilities == g.rdmsr(0xFE) and enable == g.rdmsr(0x1A0)
