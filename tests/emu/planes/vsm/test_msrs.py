"""CPUID leaves, synthetic MSRs and overlay pages; sN: number in the VSM scenario list."""
import struct

import pytest

from jit import layout
from tests.emu.planes.vsm.guest import ASSIST, HYPERCALL_PAGE, OS_ID, RAX, RCX, Guest

GUEST_OS_ID, HYPERCALL, VP_INDEX = 0x40000000, 0x40000001, 0x40000002
TIME_REF_COUNT, REFERENCE_TSC, TSC_FREQUENCY = 0x40000020, 0x40000021, 0x40000022
EOI, ICR, TPR, VP_ASSIST_PAGE, SVERSION, SIMP, SINT3 = (
    0x40000070, 0x40000071, 0x40000072, 0x40000073, 0x40000081, 0x40000083, 0x40000093)
NPIEP_CONFIG = 0x40000040
OUTSIDE = 0x3F000000            # an address without RAM


@pytest.fixture
def guest():
    return Guest()


def open_page(g, gpa=HYPERCALL_PAGE):
    g.wrmsr(GUEST_OS_ID, OS_ID)
    g.wrmsr(HYPERCALL, gpa | 1)


def test_s1_the_leaves_announce_hyper_v_and_vsm(guest):
    read = guest.vcpu.cpuid.read
    assert read(1, 0)[2] >> 31 == 1
    top, *vendor = read(0x40000000, 0)
    assert struct.pack("<3I", *vendor) == b"Microsoft Hv" and top >= 0x40000005
    assert read(0x40000001, 0)[0] == 0x31237648
    eax, ebx, _, edx = read(0x40000003, 0)
    assert eax >> 2 & 1 and ebx >> 16 & 3 == 3
    assert edx >> 4 & edx >> 15 & edx >> 19 & 1     # XMM hypercalls with output, timers in direct mode
    assert eax >> 3 & 1 and ebx >> 21 & 1           # synthetic timers, StartVirtualProcessor
    assert read(0x40000004, 0)[2] & 0x7F == 46
    assert read(0x400000FF, 0) == (0, 0, 0, 0)


def test_cpuid_of_a_machine_without_planes_has_no_such_leaves():
    from emu.machine import Machine
    assert Machine(memory=1 << 20, engine="interp").vcpus[0].cpuid.read(0x40000000, 0) == (0, 0, 0, 0)


def test_s3_without_guest_os_id_the_page_stays_disabled(guest):
    guest.wrmsr(HYPERCALL, HYPERCALL_PAGE | 1)
    assert guest.rdmsr(HYPERCALL) == HYPERCALL_PAGE
    assert guest.m.memory.read(HYPERCALL_PAGE, 4) == bytes(4)


def test_s4_clearing_guest_os_id_takes_the_page_away(guest):
    guest.m.memory.write(HYPERCALL_PAGE, b"RAM!")
    open_page(guest)
    assert guest.m.memory.read(HYPERCALL_PAGE, 4) != b"RAM!"
    guest.wrmsr(GUEST_OS_ID, 0)
    assert guest.rdmsr(HYPERCALL) & 1 == 0
    assert guest.m.memory.read(HYPERCALL_PAGE, 4) == b"RAM!"


def test_s5_a_locked_page_cannot_be_changed(guest):
    guest.wrmsr(GUEST_OS_ID, OS_ID)
    guest.wrmsr(HYPERCALL, HYPERCALL_PAGE | 3)
    assert guest.faults(guest.wrmsr, HYPERCALL, 0)
    assert guest.rdmsr(HYPERCALL) == HYPERCALL_PAGE | 3


def test_s6_a_store_to_the_page_is_a_general_protection_fault(guest):
    open_page(guest)
    before, page = guest.reg(layout.RIP), guest.m.memory.read(HYPERCALL_PAGE, 4096)
    guest.reg(RAX, HYPERCALL_PAGE + 8)
    guest.step(b"\x48\x89\x08")                                     # mov [rax], rcx
    frame = guest.m.memory.read(guest.reg(layout.gpr(4)), 16)
    assert struct.unpack("<2Q", frame) == (0, before)               # error code, RIP
    assert guest.m.memory.read(HYPERCALL_PAGE, 4096) == page


def test_a_hypercalls_output_cannot_go_to_the_page(guest):
    open_page(guest)
    header = struct.pack("<QIB3xI", (1 << 64) - 1, 0xFFFFFFFE, 0, 0xD0006)
    assert guest.call(0x50, header, count=1, output=HYPERCALL_PAGE)[0] == 0x3


def test_the_page_can_be_read_and_executed(guest):
    open_page(guest)
    guest.reg(RAX, HYPERCALL_PAGE)
    guest.step(b"\x48\x8b\x08")                                     # mov rcx, [rax]
    assert guest.reg(RCX) == int.from_bytes(guest.m.memory.read(HYPERCALL_PAGE, 8), "little") != 0


def test_s7_vtls_have_their_own_page():
    g = Guest()
    open_page(g)
    g.enter_vtl1()
    assert g.rdmsr(HYPERCALL) == g.rdmsr(GUEST_OS_ID) == 0
    open_page(g, 0x61000)
    g.vtl_return()
    assert g.rdmsr(HYPERCALL) == HYPERCALL_PAGE | 1


def test_two_vtls_may_lay_their_pages_at_one_address():
    g = Guest()
    open_page(g)
    g.enter_vtl1()
    open_page(g)
    g.wrmsr(HYPERCALL, 0)
    assert g.m.memory.read(HYPERCALL_PAGE, 2) == b"\x0f\x01"
    g.vtl_return()
    g.wrmsr(HYPERCALL, 0)
    assert g.m.memory.read(HYPERCALL_PAGE, 2) == b"\0\0"


def test_s8_the_reference_tsc_page_agrees_with_the_counter():
    g = Guest()
    g.enter_vtl1()
    g.wrmsr(REFERENCE_TSC, 0x70001)
    g.vtl_return()
    g.wrmsr(REFERENCE_TSC, 0x71001)
    assert g.m.memory.read(0x70000, 24) == g.m.memory.read(0x71000, 24)
    sequence, scale, offset = struct.unpack("<QQq", g.m.memory.read(0x71000, 24))
    assert sequence == 1
    g.m.clock.skip_to(123_456_789_000)
    time = (g.m.clock.tsc * scale >> 64) + offset
    assert 0 <= g.rdmsr(TIME_REF_COUNT) - time <= 1


def test_s9_read_only_registers(guest):
    for index in (SVERSION, VP_INDEX, TIME_REF_COUNT, TSC_FREQUENCY, 0x40000010):
        assert guest.faults(guest.wrmsr, index, 1)
    assert guest.rdmsr(SVERSION) == 1


def test_vp_index_is_the_vcpus():
    g = Guest(vcpus=2)
    g.use(1)
    assert g.rdmsr(VP_INDEX) == 1


def test_s10_an_unmasked_sint_needs_a_vector_of_16_or_more(guest):
    assert guest.faults(guest.wrmsr, SINT3, 5)
    guest.wrmsr(SINT3, 0x10005)
    assert guest.rdmsr(SINT3) == 0x10005
    guest.wrmsr(SINT3, 0x10)


def test_s11_garbage_above_the_eoi_is_ignored():
    g = Guest()
    g.enter_vtl1()
    g.vcpu.lapic.isr = 1 << 0x50
    g.wrmsr(EOI, 0xDEADBEEF00000000)
    assert g.vcpu.lapic.isr == 0
    assert g.faults(g.rdmsr, EOI)


def test_the_apic_msrs_reach_the_active_vtls_apic():
    g = Guest()
    g.wrmsr(TPR, 0x30)
    g.enter_vtl1()
    assert g.rdmsr(TPR) == 0
    g.wrmsr(TPR, 0x50)
    assert [apic.tpr for apic in g.vcpu.lapics] == [0x30, 0x50]
    assert g.reg(layout.CR8) == 5
    g.wrmsr(ICR, 1 << 18 | 0x61)                # fixed, to self
    assert [apic.irr for apic in g.vcpu.lapics] == [0, 1 << 0x61]


def test_s12_vp_register_numbers_are_not_msrs(guest):
    assert guest.faults(guest.rdmsr, 0xD0006)
    assert any("0xd0006" in line for line in guest.reports)


def test_unknown_synthetic_msrs_fault_and_are_named_once(guest):
    for _ in range(2):
        assert guest.faults(guest.rdmsr, 0x40000114)
    assert len([line for line in guest.reports if "0x40000114" in line]) == 1


def test_pages_lie_in_ram(guest):
    guest.wrmsr(GUEST_OS_ID, OS_ID)
    for index in (HYPERCALL, VP_ASSIST_PAGE, REFERENCE_TSC, SIMP):
        assert guest.faults(guest.wrmsr, index, OUTSIDE | 1)
        assert guest.rdmsr(index) == 0


def test_the_assist_page_is_ram_in_place(guest):
    guest.m.memory.write(ASSIST, b"kept")
    guest.wrmsr(VP_ASSIST_PAGE, ASSIST | 1)
    assert guest.m.memory.read(ASSIST, 4) == b"kept" and guest.rdmsr(VP_ASSIST_PAGE) == ASSIST | 1


@pytest.mark.parametrize(("bit", "code"), [(1, "0f0106"), (2, "0f010e"), (4, "0f0006"), (8, "0f000e")])
def test_npiep_takes_an_instruction_from_user_mode(guest, bit, code):
    """SGDT, SIDT, SLDT, STR; SMSW is not among them, nor is CPL 0 concerned."""
    assert guest.rdmsr(NPIEP_CONFIG) == 0 and guest.faults(guest.wrmsr, NPIEP_CONFIG, 0x10)
    at = guest.reg(layout.RIP)
    for cpl, value, fault in ((3, 0, False), (3, 0xF ^ bit, False), (3, bit, True), (0, bit, False)):
        guest.wrmsr(NPIEP_CONFIG, value)
        guest.reg(layout.CPL, cpl)
        guest.reg(layout.RIP, at)
        guest.m.dma_write(at, bytes.fromhex(code))
        guest.reg(layout.gpr(6), 0x30000)
        done = guest.run(1) == 1 and guest.reg(layout.RIP) == at + 3
        assert done is not fault, (cpl, value)
    guest.wrmsr(NPIEP_CONFIG, 0xF)
    guest.reg(layout.CPL, 3)
    guest.reg(layout.RIP, at)
    guest.step(b"\x0f\x01\x26")                                       # smsw [rsi]
    assert guest.reg(layout.RIP) == at + 3


def test_npiep_is_each_vtls_own():
    g = Guest()
    g.wrmsr(NPIEP_CONFIG, 0xF)
    g.enter_vtl1()
    assert g.rdmsr(NPIEP_CONFIG) == 0
    g.partition.reset()
    assert g.rdmsr(NPIEP_CONFIG) == 0


def test_a_crash_is_reported(guest):
    for n in range(5):
        guest.wrmsr(0x40000100 + n, n + 0xA0)
    guest.wrmsr(0x40000105, 1 << 63)
    assert any("crashed: 0xa0 0xa1 0xa2 0xa3 0xa4" in line for line in guest.reports)


@pytest.mark.parametrize("at, size, shown", [(0x300000, 20, True), (0x300000, 4097, False), (1 << 60, 20, False)])
def test_a_crash_may_come_with_a_text(guest, at, size, shown):
    assert guest.rdmsr(0x40000105) == 3 << 62
    guest.m.memory.write(0x300000, b"Kernel panic\x1b[2J\n\0\0")
    for n, value in enumerate((1, 2, 3, at, size)):
        guest.wrmsr(0x40000100 + n, value)
    guest.wrmsr(0x40000105, 3 << 62)
    (line,) = [line for line in guest.reports if "crashed" in line]
    assert line.endswith(f"{size:#x}" + "\nKernel panic.[2J\n" * shown)


def test_the_reset_register_ends_the_run(guest):
    guest.m.stopping = None
    guest.wrmsr(0x40000003, 1)
    assert guest.m.stopping.reason == "reset"
