"""Secure intercepts of registers, MSRs, ports and CPUID; sN: number in the VSM scenario list."""
import struct

import pytest

from jit import layout
from tests.emu.planes.vsm.guest import CONFIG, GDT, NOP, SELF, Guest

CONTROL, CR0_MASK, CR4_MASK, MISC_MASK = range(0xE0000, 0xE0004)
MSR, REGISTER, PORT, CPUID, UNRECOVERABLE = 0x80010001, 0x80010006, 0x80010000, 0x80010002, 0x80000021
WRMSR, RDMSR = b"\x0f\x30", b"\x0f\x32"
SMEP, PGE, WP = 1 << 20, 1 << 7, 1 << 16
LSTAR, EFER, STAR, SFMASK, APIC_BASE, MISC_ENABLE = 0xC0000082, 0xC0000080, 0xC0000081, 0xC0000084, 0x1B, 0x1A0
RAX, RCX, RDX, RBX = (layout.gpr(n) for n in range(4))


@pytest.fixture
def guest():
    """VTL1 has its SynIC on; a test sets what it intercepts and returns."""
    g = Guest()
    g.secure()
    return g


def intercept(g, *values):
    assert g.set(*values) == (0, len(values))
    g.vtl_return()


def header(payload):
    """(VP, length and CR8, access, state, CS, RIP, RFLAGS)"""
    return struct.unpack_from("<IBBH16sQQ", payload)


def test_s92_only_the_masked_bits_of_cr4_are_intercepted(guest):
    intercept(guest, (CONTROL, 1 << 1), (CR4_MASK, SMEP))
    rip = guest.reg(layout.RIP)
    assert guest.attempt(b"\x0f\x22\xe0", rax=0x20 | PGE) == 0      # mov cr4, rax
    assert guest.reg(layout.CR4) == 0x20 | PGE
    assert guest.attempt(b"\x0f\x22\xe0", rax=0x20 | SMEP) == 1
    kind, payload, _ = guest.message()
    assert kind == REGISTER and header(payload)[1:3] == (3, 1) and header(payload)[5] == rip + 3
    assert struct.unpack_from("<II2Q", payload, 0x28) == (0, 0x40003, 0x20 | SMEP, 0)
    assert guest.vcpu.planes[0].get(layout.CR4) == 0x20 | PGE and guest.vcpu.planes[0].get(layout.RIP) == rip + 3


def test_setting_the_bit_alone_intercepts_nothing_before_the_mask_is_written(guest):
    intercept(guest, (CONTROL, 3))
    assert guest.attempt(b"\x0f\x22\xe0", rax=0x20 | PGE) == 0


@pytest.mark.parametrize("code, rax", [(b"\x0f\x22\xc0", 0x80010011), (b"\x0f\x01\xf0", 0xF)],
                         ids=["mov cr0", "lmsw"])
def test_cr0(guest, code, rax):
    intercept(guest, (CONTROL, 1), (CR0_MASK, WP | 8))
    assert guest.attempt(code, rax=rax) == 1
    kind, payload, _ = guest.message()
    assert kind == REGISTER and struct.unpack_from("<I", payload, 0x2C)[0] == 0x40000
    assert guest.vcpu.planes[0].get(layout.CR0) == 0x80000011


def test_clts_changes_cr0(guest):
    guest.vcpu.planes[0].set(layout.CR0, 0x80000019)
    intercept(guest, (CONTROL, 1), (CR0_MASK, 8))
    assert guest.attempt(b"\x0f\x06") == 1 and struct.unpack_from("<Q", guest.message()[1], 0x30)[0] == 0x80000011


def test_illegal_values_fault_before_they_are_intercepted(guest):
    intercept(guest, (CONTROL, 3), (CR0_MASK, 1 << 31), (CR4_MASK, 1 << 5))
    rip = guest.reg(layout.RIP)
    assert guest.attempt(b"\x0f\x22\xe0", rax=0) == 0               # PAE in long mode
    assert guest.exception() == (True, 0) or guest.vtl == 0
    assert guest.reg(layout.RIP) != rip and guest.message()[0] == 0


def test_s93_a_write_of_apic_base_can_be_skipped(guest):
    intercept(guest, (CONTROL, 1 << 12))
    base, rip = guest.vcpu.lapics[0].base, guest.reg(layout.RIP)
    assert guest.attempt(WRMSR, rcx=APIC_BASE, rax=0xFEE00C00, rdx=5) == 1
    kind, payload, _ = guest.message()
    assert kind == MSR and header(payload)[1:3] == (2, 1) and len(payload) == 0x40
    assert struct.unpack_from("<IIQQ", payload, 0x28) == (APIC_BASE, 0, 5, 0xFEE00C00)
    guest.handled()
    assert guest.set((0x20010, rip + 2), vtl=0) == (0, 1)
    guest.vtl_return()
    assert guest.reg(layout.RIP) == rip + 2 and guest.vcpu.lapics[0].base == base


def test_s94_reads_of_lstar_are_not_writes(guest):
    intercept(guest, (CONTROL, 1 << 6))
    assert guest.attempt(RDMSR, rcx=LSTAR) == 0
    assert guest.attempt(WRMSR, rcx=LSTAR, rax=0x1000, rdx=0) == 1
    assert guest.vcpu.planes[0].get(layout.LSTAR) == 0


def test_s94_wrmsr_above_cpl_0_faults(guest):
    intercept(guest, (CONTROL, 1 << 6))
    guest.plane.set(layout.CPL, 3)
    guest.plane.update_mode()
    assert guest.attempt(WRMSR, rcx=LSTAR) == 0 and guest.message()[0] == 0


@pytest.mark.parametrize("bit, index, value", [
    (8, STAR, 5), (6, LSTAR, 5), (10, 0xC0000083, 5), (14, EFER, 0x501), (19, 0x174, 8), (20, 0x176, 5), (21, 0x175, 5),
    (22, SFMASK, 5), (23, 0xC0000103, 5), (12, APIC_BASE, 0xFEE00900)])
def test_writes_of_msrs(guest, bit, index, value):
    before = guest.vcpu.planes[0].get(layout.EFER), guest.vcpu.planes[0].get(layout.STAR)
    intercept(guest, (CONTROL, 1 << bit))
    assert guest.attempt(WRMSR, rcx=index, rax=value, rdx=0) == 1
    kind, payload, _ = guest.message()
    assert kind == MSR and struct.unpack_from("<IIQQ", payload, 0x28) == (index, 0, 0, value)
    assert (guest.vcpu.planes[0].get(layout.EFER), guest.vcpu.planes[0].get(layout.STAR)) == before


@pytest.mark.parametrize("bit, index", [(5, LSTAR), (7, STAR), (9, 0xC0000083), (13, EFER), (11, APIC_BASE),
                                        (3, MISC_ENABLE)])
def test_reads_of_msrs(guest, bit, index):
    intercept(guest, (CONTROL, 1 << bit))
    assert guest.attempt(RDMSR, rcx=index, rax=0x77) == 1
    kind, payload, _ = guest.message()
    assert kind == MSR and header(payload)[2] == 0 and struct.unpack_from("<I", payload, 0x28)[0] == index
    assert guest.reg(RAX) == 0x77


def test_misc_enable_has_a_mask(guest):
    old = guest.vcpu.msrs.read(MISC_ENABLE)
    intercept(guest, (CONTROL, 1 << 4), (MISC_MASK, 1 << 22))
    assert guest.attempt(WRMSR, rcx=MISC_ENABLE, rax=old ^ 8, rdx=0) == 0
    assert guest.attempt(WRMSR, rcx=MISC_ENABLE, rax=old ^ 8 ^ 1 << 22, rdx=0) == 1


@pytest.mark.parametrize("bit, code, name, value", [
    (15, b"\x0f\x01\x10", 0x70001, b"\0" * 6 + struct.pack("<HQ", 0x7F, 0x12345000)),
    (16, b"\x0f\x01\x18", 0x70000, b"\0" * 6 + struct.pack("<HQ", 0x7F, 0x12345000)),
    (18, b"\x0f\x00\xdb", 0x60007, struct.pack("<QIHH", 0x16000, 0x67, 0x18, 0x89)),
    (17, b"\x0f\x00\xd1", 0x60006, struct.pack("<QIHH", 0, 0, 0, 0))], ids=["lgdt", "lidt", "ltr", "lldt"])
def test_descriptor_tables_and_selectors(guest, bit, code, name, value):
    guest.m.memory.write(0x30000, struct.pack("<HQ", 0x7F, 0x12345000))
    guest.m.memory.write(GDT + 0x18, struct.pack("<2Q", 0x67 | 0x6000 << 16 | 1 << 32 | 0x89 << 40, 0))
    before = guest.vcpu.planes[0].get(layout.GDTR_BASE), guest.vcpu.planes[0].get(layout.IDTR_BASE)
    intercept(guest, (CONTROL, 1 << bit))
    assert guest.attempt(code, rax=0x30000, rbx=0x18, rcx=0) == 1
    kind, payload, _ = guest.message()
    assert kind == REGISTER and struct.unpack_from("<II", payload, 0x28) == (0, name)
    assert payload[0x30:0x40] == value and header(payload)[1] == len(code)
    assert (guest.vcpu.planes[0].get(layout.GDTR_BASE), guest.vcpu.planes[0].get(layout.IDTR_BASE)) == before


def test_intercept_registers_belong_to_vtls_above_0_and_have_reserved_bits(guest):
    assert guest.set((CONTROL, 1 << 24)) == (0x50, 0)
    assert guest.set((CONTROL, 1), vtl=0) == (0x5, 0) and guest.get(CONTROL, vtl=0)[0] == (0x5, 0)
    assert guest.set((CR0_MASK, 0x55)) == (0, 1) and guest.get(CR0_MASK)[1] == [0x55]
    guest.vtl_return()
    assert guest.set((CONTROL, 0)) == (0x5, 0)


def test_a_vtl_does_not_intercept_itself(guest):
    assert guest.set((CONTROL, 1 << 6)) == (0, 1)
    guest.step(WRMSR, rcx=LSTAR, rax=0x1000, rdx=0)
    assert guest.reg(layout.LSTAR) == 0x1000 and guest.message()[0] == 0


def install(g, access, port, kind=0):
    return g.call(0x4D, struct.pack("<QIIQ", SELF, access, kind, port))[0]


def test_named_cpuid_leaves(guest):
    assert install(guest, 4, 1, kind=2) == 0 and install(guest, 1, 1, kind=2) == 0x5
    assert install(guest, 4, 1 << 32, kind=2) == 0x5
    guest.vtl_return()
    assert guest.attempt(b"\x0f\xa2", rax=0, rcx=0) == 0                 # another leaf
    rip = guest.reg(layout.RIP)
    assert guest.attempt(b"\x0f\xa2", rax=1, rcx=0, rbx=7) == 1
    kind, payload, _ = guest.message()
    assert kind == 0x80010002 and header(payload)[1:3] == (2, 2) and header(payload)[5] == rip
    eax, ebx, ecx, edx = guest.vcpu.cpuid.read(1, 0)
    assert struct.unpack_from("<8Q", payload, 0x28) == (1, 0, guest.reg(layout.gpr(2)), 7, eax, ecx, edx, ebx)
    guest.handled()
    assert install(guest, 0, 1, kind=2) == 0
    guest.vtl_return()
    assert guest.attempt(b"\x0f\xa2", rax=1, rcx=0) == 0


def test_ports(guest):
    assert install(guest, 2, 0x80) == 0
    assert install(guest, 4, 0x80) == 0x5 and install(guest, 1, 5, kind=4) == 0x5 and install(guest, 1, 0x10000) == 0x5
    guest.vtl_return()
    assert install(guest, 0, 0x80) == 0x6
    assert guest.attempt(b"\xe4\x80") == 0                          # in al, 0x80
    rip = guest.reg(layout.RIP)
    assert guest.attempt(b"\xe6\x80", rax=0x5A, rcx=1, rsi=2, rdi=3) == 1
    kind, payload, _ = guest.message()
    assert kind == PORT and header(payload)[1:3] == (2, 1) and header(payload)[5] == rip
    assert struct.unpack_from("<HBBIQ16s", payload, 0x28) == (0x80, 1, 2, 0, 0x5A, b"\xe6\x80".ljust(16, b"\0"))
    assert struct.unpack_from("<3Q", payload, 0x68) == (1, 2, 3)
    guest.handled()
    assert install(guest, 0, 0x80) == 0
    guest.vtl_return()
    assert guest.attempt(b"\xe6\x80") == 0


def test_string_ports_say_so(guest):
    assert install(guest, 1, 0x71) == 0
    guest.vtl_return()
    assert guest.attempt(b"\xf3\x6d", rdx=0x70, rcx=4, rdi=0x30000) == 1    # rep insd covers ports 0x70 to 0x73
    assert struct.unpack_from("<HBB", guest.message()[1], 0x28) == (0x70, 4 | 8 | 16, 2)


def test_cpuid_leaves_that_do_not_exist(guest):
    assert guest.set((CONFIG, 1 << 10 | 0x3F)) == (0, 1)
    guest.vtl_return()
    for leaf in (0, 1, 0x40000003, 0x80000001):
        assert guest.attempt(b"\x0f\xa2", rax=leaf, rcx=0) == 0
    assert guest.attempt(b"\x0f\xa2", rax=0x40000077, rcx=3, rdx=4, rbx=5) == 1
    kind, payload, _ = guest.message()
    assert kind == CPUID and struct.unpack_from("<8Q", payload, 0x28) == (0x40000077, 3, 4, 5, 0, 0, 0, 0)


def test_s105_a_triple_fault_of_vtl0_stops_the_machine_or_is_told(guest):
    guest.vcpu.planes[0].set(layout.IDTR_LIMIT, 0)
    assert guest.set((CONFIG, 1 << 11 | 0x3F)) == (0, 1)
    guest.vtl_return()
    rip = guest.reg(layout.RIP)
    assert guest.attempt(b"\x0f\x0b") == 1
    kind, payload, _ = guest.message()
    assert kind == UNRECOVERABLE and header(payload)[5] == rip and len(payload) == 0x28
    guest.handled()
    assert guest.set((CONFIG, 0x3F)) == (0, 1)
    guest.vtl_return()
    guest.attempt(b"\x0f\x0b")
    assert guest.m.stopping is not None and guest.m.stopping.reason == "triple-fault"


def test_an_intercept_that_nobody_takes_leaves_the_register_alone(guest):
    guest.wrmsr(0x40000090, 0x10000)
    intercept(guest, (CONTROL, 1 << 6))
    rip = guest.reg(layout.RIP)
    guest.step(WRMSR + NOP, rcx=LSTAR, rax=0x1000, rdx=0, count=3)
    assert guest.vtl == 0 and guest.reg(layout.RIP) == rip and guest.reg(layout.LSTAR) == 0
