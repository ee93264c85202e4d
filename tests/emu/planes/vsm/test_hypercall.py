"""The hypercall interface and the VP registers; sN: number in the VSM scenario list."""
import struct

import pytest

from emu.planes.vsm import page
from jit import fpu_layout, layout
from tests.emu.planes.vsm.guest import INPUT, OUTPUT, RAX, SELF, VMCALL, Guest, initial_context

CODE_PAGE_OFFSETS, CAPABILITIES, CONFIG, VINA = 0xD0002, 0xD0006, 0xD0007, 0xD0005
CR0, CR4, LSTAR, EFER, RIP, GUEST_OS_ID, ASSIST = 0x40000, 0x40003, 0x80009, 0x80001, 0x20010, 0x90002, 0x90013
GET_HEADER = struct.pack("<QIB3x", SELF, 0xFFFFFFFE, 0)


@pytest.fixture
def guest():
    return Guest()


def test_s14_unknown_codes_and_reserved_bits(guest):
    assert guest.call(0x7F00)[0] == 0x2
    assert guest.call(0x8002)[0] == 0x2
    assert guest.call(0x0D, extra=1 << 27)[0] == 0x3
    assert guest.call(0x0D, extra=1 << 60)[0] == 0x3
    assert guest.call(0x0D, extra=1 << 31)[0] == 0x3
    guest.call(0x7F00)
    assert [line for line in guest.reports if "0x7f00" in line] == ["Hyper-V: hypercall 0x7f00 is not implemented"]


def test_s15_repetition_counts(guest):
    assert guest.call(0x0D, struct.pack("<QB7x", SELF, 1), count=1)[0] == 0x3
    assert guest.call(0x50, GET_HEADER, count=1, start=1)[0] == 0x3
    assert guest.call(0x0D, extra=1 << 17)[0] == 0x3
    assert guest.partition.enabled == 1


def test_s16_parameter_blocks_are_aligned_and_within_a_page(guest):
    data = struct.pack("<QB7x", SELF, 1)
    assert guest.call(0x0D, data, gpa=INPUT + 4)[0] == 0x4
    assert guest.call(0x0D, data, gpa=INPUT + 0xFF8)[0] == 0x4
    assert guest.call(0x0D, gpa=0x40000000)[0] == 0x3
    assert guest.call(0x50, GET_HEADER + bytes(4), count=1, output=OUTPUT + 4)[0] == 0x4
    assert guest.call(0x50, GET_HEADER + bytes(4), count=1, output=0x40000000)[0] == 0x3
    assert guest.partition.enabled == 1


def test_fast_calls_take_16_bytes_from_registers(guest):
    guest.step(rcx=0x0D | 1 << 16, rdx=SELF, r8=1)
    assert guest.reg(RAX) == 0 and guest.partition.enabled == 3


def test_a_call_that_is_never_fast_and_one_that_exceeds_every_register(guest):
    assert guest.call(0x0F, extra=1 << 16)[0] == 0x3
    assert guest.call(0x51, extra=1 << 16, count=10)[0] == 0x3


def xmm(g, word):
    return g.plane.fpu_get(fpu_layout.xmm(word // 2) + word % 2 * 8)


def fast_get(g, *names):
    for word, pair in enumerate(zip(names[::2], (*names[1::2], 0), strict=False)):
        g.plane.fpu_set(fpu_layout.xmm(word // 2) + word % 2 * 8, pair[0] | pair[1] << 32)
    g.step(rcx=0x50 | 1 << 16 | len(names) << 32, rdx=SELF, r8=0xFFFFFFFE)
    return g.reg(RAX)


def test_s17_fast_calls_take_and_give_xmm_registers(guest):
    assert fast_get(guest, 0xD0004, 0xD0003, 0xD0006, CR4) == 4 << 32
    assert [xmm(guest, n) for n in (2, 4, 6, 8)] == [0x10001, 0x10000, 0x58020002, 0x20]    # from byte 32 on
    assert fast_get(guest, *[0xD0004] * 5) & 0xFFFF == 0x3
    assert fast_get(guest, 0xD0004) == 1 << 32 and xmm(guest, 2) == 0x10001


def test_s18_a_failing_element_ends_a_repeated_call(guest):
    guest.m.memory.write(OUTPUT, bytes(16))
    assert guest.set((GUEST_OS_ID, 5), (0x7777777, 1), (ASSIST, 1)) == (0x5, 1)
    assert guest.rdmsr(0x40000000) == 5 and guest.rdmsr(0x40000073) == 0
    assert any("0x7777777" in line for line in guest.reports)


def test_s19_a_call_may_start_further_on(guest):
    answer, values = guest.get(CAPABILITIES, CAPABILITIES, CAPABILITIES, 0xD0004, start=2)
    assert answer == (0, 4)
    assert values == [int.from_bytes(b"\xee" * 16, "little")] * 2 + [0x58020002, 0x10001]


@pytest.mark.parametrize("dialect, expected", [("ms", 0x3), ("kut", 0x0)])
def test_s20_no_repetitions(dialect, expected):
    g = Guest(dialect)
    assert g.call(0x50, GET_HEADER) == (expected, 0)


def test_s21_the_page_and_a_bare_instruction_do_the_same(guest):
    guest.wrmsr(0x40000000, 1)
    guest.wrmsr(0x40000001, 0x60001)
    bare = guest.call(0x7F00)
    back = guest.reg(layout.RIP)
    guest.reg(layout.RIP, 0x60000)
    guest.plane.set(layout.gpr(1), 0x7F00)
    guest.m.stopping = None
    guest.vcpu.run(1)
    assert (guest.reg(RAX), 0) == bare and guest.reg(layout.RIP) == 0x60003 and back != 0x60003


def test_the_32_bit_convention():
    g = Guest()
    g.m.memory.write(0x70000, struct.pack("<I", 0x83))
    g.enable_partition()
    g.enable_vp(initial=initial_context(1, cs=struct.pack("<QIHH", 0, 0xFFFFFFFF, 8, 0xC09B), efer=0, cr3=0x70000,
                                        cr4=0x10))
    g.vtl_call()
    g.m.memory.write(INPUT, GET_HEADER + struct.pack("<I", CODE_PAGE_OFFSETS))
    g.step(rax=0x50, rdx=1, rbx=0, rcx=INPUT, rdi=0, rsi=OUTPUT)
    assert (g.reg(RAX), g.reg(layout.gpr(2))) == (0, 1)
    assert g.m.memory.read(OUTPUT, 8) == struct.pack("<Q", 0x1B004)


def test_code_page_offsets_point_at_the_stubs(guest):
    _, (offsets,) = guest.get(CODE_PAGE_OFFSETS)
    assert offsets == 0x2600F
    contents = page.contents(amd=False)
    call = contents[offsets & 0xFFF:]
    assert call.startswith(b"\x48\x89\xc8\xb9\x11\0\0\0" + VMCALL + b"\xc3")
    assert contents[offsets >> 12:].startswith(b"\x48\x89\xc8\xb9\x12\0\0\0" + VMCALL + b"\xc3")
    assert contents.startswith(VMCALL + b"\xc3") and len(contents) == 4096
    assert page.contents(amd=True).startswith(b"\x0f\x01\xd9\xc3")
    assert page.offsets(wide=False) == 0x1B004


def test_s23_no_such_vp(guest):
    assert guest.get(CAPABILITIES, vp=0xACACACAC)[0] == (0xE, 0)
    assert guest.set((GUEST_OS_ID, 0), vp=0xACACACAC) == (0xE, 0)


def test_s24_no_such_partition(guest):
    assert guest.get(CAPABILITIES, partition=42)[0] == (0xD, 0)


def test_s25_a_higher_vtls_registers_are_closed(guest):
    for _ in range(2):
        assert guest.get(CR0, vtl=1)[0][0] == 0x6
        assert guest.set((CR0, 0), vtl=1)[0] == 0x6
        guest.enable_partition()
        guest.enable_vp()


def test_s26_the_vtl_byte(guest):
    assert guest.get(CAPABILITIES, input_vtl=0xFF)[0][0] != 0
    assert guest.get(CAPABILITIES, input_vtl=0x20)[0][0] == 0x5


def test_s27_a_higher_vtl_reads_the_live_registers_of_a_lower_one():
    g = Guest()
    plane = g.plane
    plane.set(layout.LSTAR, 0x1234)
    g.enter_vtl1()
    answer, values = g.get(CR0, CR4, LSTAR, EFER, vtl=0)
    assert answer == (0, 4)
    assert values == [plane.get(f) for f in (layout.CR0, layout.CR4, layout.LSTAR, layout.EFER)]


def test_segments_and_tables_have_the_contexts_format():
    g = Guest()
    _, (cs, gdtr) = g.get(0x60001, 0x70001)
    assert cs.to_bytes(16, "little") == struct.pack("<QIHH", 0, 0xFFFFFFFF, 8, 0xA09B)
    assert gdtr.to_bytes(16, "little") == struct.pack("<6xHQ", 0x7F, 0x13000)


def test_s28_vtl1_moves_vtl0s_rip():
    g = Guest()
    g.enter_vtl1()
    _, (rip,) = g.get(RIP, vtl=0)
    assert g.set((RIP, rip + 2), vtl=0) == (0, 1)
    assert g.set((RIP, 1 << 47), vtl=0) == (0x50, 0)
    g.vtl_return()
    assert g.reg(layout.RIP) == rip + 2


def test_registers_without_an_implementation_are_named_once(guest):
    for _ in range(2):
        assert guest.get(0x10006)[0] == (0x5, 0)
    assert guest.set((0x20000, 1)) == (0x5, 0)              # shared general registers are read only
    assert [line for line in guest.reports if "0x10006" in line] == [
        "Hyper-V: reading VP register 0x10006 (DeliverabilityNotifications) is not implemented"]


def test_read_only_vsm_registers(guest):
    for name in (CODE_PAGE_OFFSETS, 0xD0003, 0xD0004, CAPABILITIES):
        assert guest.set((name, 0)) == (0x5, 0)


def test_partition_config_belongs_to_vtls_above_0():
    g = Guest()
    assert g.get(CONFIG)[0] == (0x5, 0) and g.set((CONFIG, 0x3E)) == (0x5, 0)
    g.enter_vtl1()
    assert g.get(CONFIG) == ((0, 1), [0x3E])
    assert g.get(CONFIG, vtl=0)[0] == (0x5, 0)
    assert g.set((CONFIG, 0x1E)) == (0, 1)
    assert g.get(CONFIG)[1] == [0x1E]


@pytest.mark.parametrize("value", [0x2F, 0x3A, 1 << 8 | 0x3E, 1 << 16 | 0x3E, 0x20])
def test_partition_config_refuses_what_is_not_offered(value):
    g = Guest()
    g.enter_vtl1()
    assert g.set((CONFIG, value)) == (0x50, 0)
    assert g.get(CONFIG)[1] == [0x3E]
