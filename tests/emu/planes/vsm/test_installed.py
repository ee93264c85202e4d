"""HvCallInstallIntercept beyond single ports and leaves, and the results that make intercepts unnecessary."""
import struct

import pytest

from emu.planes.vsm.codes import HvError
from emu.planes.vsm.installed import LIMIT
from emu.snapshot.encoding import decode, encode
from emu.snapshot.fields import ObjectState
from jit import layout
from tests.emu.planes.vsm.guest import CONFIG, HANDLER, NOP, SELF, VP_SELF, Guest

MSR, CPUID_TYPE, EXCEPTION, MSR_INDEX, UNKNOWN_CONNECTION, RETARGET, PORT_RANGE = 1, 2, 3, 0xC, 0xD, 0xF, 0x11
M_MSR, M_CPUID, M_EXCEPTION, M_PORT, M_HYPERCALL = 0x80010001, 0x80010002, 0x80010003, 0x80010000, 0x80000050
R, W, X = 1, 2, 4
WRMSR, RDMSR, CPUID, UD2, INT3, VMCALL = b"\x0f\x30", b"\x0f\x32", b"\x0f\xa2", b"\x0f\x0b", b"\xcc", b"\x0f\x01\xc1"
UNKNOWN_MSR, LSTAR, APIC_BASE, GS_BASE, EFER = 0xC0011FFF, 0xC0000082, 0x1B, 0xC0000101, 0xC0000080
PENDING_EVENT, RIP = 0x10004, 0x20010
RAX, RCX, RDX, RBX = (layout.gpr(n) for n in range(4))
ANY_VP = 0xFFFFFFFF


@pytest.fixture(params=["interp", "auto"])
def guest(request):
    """In VTL1, with its SynIC on."""
    g = Guest(engine=request.param)
    g.secure()
    return g


def install(g, access, parameter, kind):
    return g.call(0x4D, struct.pack("<QIIQ", SELF, access, kind, parameter))[0]


def register(g, kind, data, vp=ANY_VP, code=0x91):
    return g.call(code, (struct.pack("<QII", SELF, vp, kind) + data).ljust(60, b"\0"))[0]


def leaf(eax, ecx=0, specific=0, always=0):
    return struct.pack("<IIBB2x", eax, ecx, specific, always)


# --- exceptions ------------------------------------------------------------------------------------------------------

def exception(payload):
    """(vector, information, bytes, error code, parameter), instruction bytes, RBX"""
    return struct.unpack_from("<HBBIQ", payload, 0x28), payload[0x40:0x50], struct.unpack_from("<Q", payload, 0x88)[0]


def test_an_exception_is_told_and_may_be_given_back(guest):
    assert install(guest, X, 6, EXCEPTION) == 0
    guest.vtl_return()
    rip = guest.reg(layout.RIP)
    assert guest.attempt(UD2, rbx=0x77) == 1
    kind, payload, _ = guest.message()
    assert kind == M_EXCEPTION and len(payload) == 240
    assert struct.unpack_from("<BB", payload, 4) == (2, 2) and struct.unpack_from("<Q", payload, 0x18)[0] == rip
    assert exception(payload) == ((6, 0, 2, 0, 0), UD2.ljust(16, b"\0"), 0x77)
    guest.handled()
    assert guest.set((PENDING_EVENT, 1 | 6 << 16), vtl=0) == (0, 1)
    guest.vtl_return()
    guest.run(1)
    assert guest.vtl == 0 and guest.exception() == (True, rip)


def test_an_exception_that_is_not_given_back_is_raised_again(guest):
    assert install(guest, X, 6, EXCEPTION) == 0
    guest.vtl_return()
    rip = guest.reg(layout.RIP)
    assert guest.attempt(UD2) == 1
    guest.handled()
    guest.vtl_return()
    assert guest.vtl == 0
    guest.run(1)
    assert guest.vtl == 1 and guest.message()[0] == M_EXCEPTION
    guest.handled()
    assert guest.set((RIP, rip + 2), vtl=0) == (0, 1)
    guest.vtl_return()
    guest.step(NOP)
    assert guest.vtl == 0 and guest.reg(layout.RIP) == rip + 3


def test_a_page_fault_comes_with_its_address(guest):
    assert install(guest, X, 14, EXCEPTION) == 0
    guest.vtl_return()
    cr2 = guest.reg(layout.CR2)
    assert guest.attempt(b"\x8b\x18", rax=0x40000000) == 1                # mov ebx, [rax]
    (vector, info, size, error, parameter), code, _ = exception(guest.message()[1])
    assert (vector, info, size, error, parameter, code[:2]) == (14, 1, 2, 0, 0x40000000, b"\x8b\x18")
    assert guest.reg(layout.CR2) == cr2


def test_int3_is_a_software_exception(guest):
    assert install(guest, X, 3, EXCEPTION) == 0
    guest.vtl_return()
    rip = guest.reg(layout.RIP)
    assert guest.attempt(INT3) == 1
    kind, payload, _ = guest.message()
    assert kind == M_EXCEPTION and exception(payload)[0][:3] == (3, 2, 1)
    assert guest.vcpu.planes[0].get(layout.RIP) == rip


def test_other_vectors_interrupts_and_vtl1s_own_exceptions_are_delivered(guest):
    assert install(guest, X, 13, EXCEPTION) == 0 and install(guest, X, 6, EXCEPTION) == 0
    assert install(guest, 0, 6, EXCEPTION) == 0
    guest.step(b"\x0f\x22\xd8", rax=1 << 63 | 1 << 62)                     # mov cr3, rax: #GP in VTL1
    guest.run(1)
    assert guest.vtl == 1 and guest.message()[0] == 0
    guest.vtl_return()
    assert guest.attempt(UD2) == 0 and guest.message()[0] == 0


def test_what_cannot_be_installed(guest):
    bad = [(W, 6, EXCEPTION), (X, 2, EXCEPTION), (X, 32, EXCEPTION), (X, 1, MSR), (R, 0, MSR_INDEX), (R, GS_BASE, MSR),
           (R, 0x176, MSR), (R, 1 << 32, MSR), (R, 0x80 << 16 | 0x81, PORT_RANGE), (X, 0, PORT_RANGE),
           (R, 0, UNKNOWN_CONNECTION), (X, 1, RETARGET), (X, 0, 5)]
    assert [case for case in bad if install(guest, *case) != 0x5] == []


# --- ports -----------------------------------------------------------------------------------------------------------

def check(g, port, size, write, vtl=0):
    status, _ = g.call(0xAD, struct.pack("<QIBxHBB", SELF, VP_SELF, 0x10 | vtl, port, size, write))
    return status, g.m.memory.read(0x17000, 1)[0]


def test_a_range_of_ports_and_a_hole_in_it(guest):
    assert install(guest, R | W, 0x100 | 0x1FF << 16, PORT_RANGE) == 0 and install(guest, W, 0x180, 0) == 0
    for port, size, write, expected in ((0xFF, 1, 0, 0), (0xFF, 2, 0, 1), (0x100, 1, 1, 1), (0x1FF, 4, 0, 1),
                                        (0x200, 4, 1, 0), (0x180, 1, 0, 0), (0x180, 1, 1, 1), (0x180, 2, 0, 1)):
        assert check(guest, port, size, write) == (0, expected), (port, size, write)
    assert check(guest, 0x100, 1, 0, vtl=1) == (0, 0)
    assert check(guest, 0x100, 3, 0)[0] == check(guest, 0x100, 1, 2)[0] == 0x5
    guest.vtl_return()
    assert guest.attempt(b"\x66\xed", rdx=0x150) == 1                      # in ax, dx
    assert guest.message()[0] == M_PORT and struct.unpack_from("<HB", guest.message()[1], 0x28) == (0x150, 2)
    guest.handled()
    assert install(guest, 0, 0xFFFF << 16, PORT_RANGE) == 0
    assert check(guest, 0x100, 1, 1) == (0, 0) and check(guest, 0x180, 1, 1) == (0, 0)


def test_a_snapshot_keeps_which_range_is_the_newest(guest):
    assert install(guest, R | W, 0x300 | 0x3FF << 16, PORT_RANGE) == 0 and install(guest, W, 0x380, 0) == 0
    assert install(guest, R, 0x100 | 0x3A0 << 16, PORT_RANGE) == 0 and install(guest, X, 6, EXCEPTION) == 0
    assert register(guest, CPUID_TYPE, leaf(1) + bytes(32)) == 0
    model = ObjectState(guest.partition, "emu.planes", guest.m.clock)
    state = decode(encode(model.save()))
    before = [check(guest, port, 1, write) for port in (0x2FF, 0x300, 0x380, 0x3A0, 0x3A1) for write in (0, 1)]
    guest.partition.intercepts.installed.clear()
    guest.partition.intercepts.results.clear()
    model.load(state)
    assert [check(guest, port, 1, write)
            for port in (0x2FF, 0x300, 0x380, 0x3A0, 0x3A1) for write in (0, 1)] == before
    assert guest.partition.intercepts.installed.traps(1) == 1 << 32 + 6
    assert guest.partition.intercepts.results.cpuid(guest.vp, 0, 1, 0, (5, 5, 5, 5)) == ((5, 5, 5, 5), True, False)


def test_ports_one_by_one_are_a_range_and_there_may_be_too_many_others(guest):
    for port in range(0x400, 0x420):
        assert install(guest, R, port, 0) == 0
    table = guest.partition.intercepts.installed
    assert table._ports == {1: [(0x400, 0x41F, R)]}
    for port in range(0, 2 * LIMIT, 2):
        table.install(2, 0, R, port)
    with pytest.raises(HvError):
        table.install(2, 0, R, 3 * LIMIT)
    assert table.install(2, 0, W, 0) and table.port(2, 0) == W and table.port(2, 2) == R


def test_msrs_leaves_and_results_have_a_limit(guest):
    model = guest.partition.intercepts
    for n in range(LIMIT):
        model.installed.install(1, CPUID_TYPE, X, n)
        model.results.set_msr(1, 0, n, R, 1)
    assert install(guest, X, LIMIT, CPUID_TYPE) == 0xB and install(guest, X, 5, CPUID_TYPE) == 0
    assert register(guest, MSR, struct.pack("<3I", LIMIT, R, 1)) == 0xB
    assert install(guest, 0, 5, CPUID_TYPE) == install(guest, X, LIMIT, CPUID_TYPE) == 0


# --- MSRs ------------------------------------------------------------------------------------------------------------

def msr(payload):
    return struct.unpack_from("<IIQQ", payload, 0x28)


def test_msrs_that_nobody_implements(guest):
    assert install(guest, R | W, 0, MSR) == 0
    guest.vtl_return()
    assert guest.attempt(RDMSR, rcx=0xC0000082) == 0 and guest.attempt(RDMSR, rcx=APIC_BASE) == 0
    rip = guest.reg(layout.RIP)
    assert guest.attempt(WRMSR, rcx=UNKNOWN_MSR, rax=5, rdx=6) == 1
    assert guest.message()[0] == M_MSR and msr(guest.message()[1]) == (UNKNOWN_MSR, 0, 6, 5)
    guest.handled()
    assert guest.set((RIP, rip + 2), vtl=0) == (0, 1)
    guest.vtl_return()
    assert guest.attempt(RDMSR, rcx=UNKNOWN_MSR) == 1 and guest.message()[1][5] == 0


@pytest.mark.parametrize("kind", [MSR, MSR_INDEX])
@pytest.mark.parametrize("index", [LSTAR, APIC_BASE, EFER, 0x277 + 0x1000])
def test_an_msr_by_its_index(guest, kind, index):
    assert install(guest, R, index, kind) == 0
    guest.vtl_return()
    assert guest.attempt(RDMSR, rcx=index) == 1 and msr(guest.message()[1])[0] == index
    guest.handled()
    assert install(guest, 0, index, kind) == 0
    guest.vtl_return()
    if index != 0x1277:
        assert guest.attempt(RDMSR, rcx=index) == 0


# --- hypercalls ------------------------------------------------------------------------------------------------------

def test_messages_and_events_to_unknown_connections(guest):
    assert install(guest, X, 0, UNKNOWN_CONNECTION) == 0
    assert guest.call(0x5D, struct.pack("<IHH", 0x77, 0, 0))[0] == 0x12         # VTL1's own
    guest.vtl_return()
    rip = guest.reg(layout.RIP)
    assert guest.attempt(VMCALL, rcx=0x1005D, rdx=0x77, r8=0, rbx=1, rsi=2, rdi=3, rax=4) == 1
    kind, payload, _ = guest.message()
    assert kind == M_HYPERCALL and payload[4] & 0xF == 3 and len(payload) == 0xD0
    assert struct.unpack_from("<7Q", payload, 0x28) == (4, 1, 0x1005D, 0x77, 0, 2, 3)
    guest.handled()
    assert guest.set((RIP, rip + 3), vtl=0) == (0, 1)
    guest.vtl_return(fast=True)
    assert guest.reg(layout.RIP) == rip + 3


def test_retargeting_an_interrupt_of_an_unknown_device(guest):
    assert install(guest, X, 0, RETARGET) == 0
    guest.vtl_return()
    block = bytes(40) + struct.pack("<II2Q", 0x40, 2, 0, 0)
    guest.m.memory.write(0x16000, block)
    assert guest.attempt(VMCALL, rcx=0x7E | 2 << 17, rdx=0x16000, r8=0) == 1
    assert guest.message()[0] == M_HYPERCALL


# --- results ---------------------------------------------------------------------------------------------------------

def cpuid(g, eax, ecx=0):
    entered = g.attempt(CPUID, rax=eax, rcx=ecx)
    return entered, [g.reg(r) for r in (RAX, RBX, RCX, RDX)]


def test_cpuid_results_are_merged_under_their_masks(guest):
    assert register(guest, CPUID_TYPE, leaf(1) + struct.pack("<8I", 0, 0, 0x55000000, 0xFF000000, 0, 1, 0, 0)) == 0
    before = guest.vcpu.cpuid.read(1, 0)
    guest.step(CPUID, rax=1, rcx=0)
    assert guest.reg(RBX) == before[1]                                    # VTL1's own
    guest.vtl_return()
    entered, answer = cpuid(guest, 1)
    assert entered == 0 and answer == [before[0], before[1] & 0xFFFFFF | 0x55000000, before[2] & ~1, before[3]]


def test_a_result_of_one_subleaf_of_one_processor(guest):
    data = leaf(4, 1, specific=1) + struct.pack("<8I", *(0x11, 0xFFFFFFFF) * 4)
    assert register(guest, CPUID_TYPE, data, vp=0) == 0 and register(guest, CPUID_TYPE, data, vp=1) == 0xE
    guest.vtl_return()
    assert cpuid(guest, 4, 1) == (0, [0x11] * 4) and cpuid(guest, 4, 0)[1] != [0x11] * 4


def test_an_intercept_says_the_registered_result_or_gives_way_to_it(guest):
    full = struct.pack("<8I", *(0x22, 0xFFFFFFFF) * 4)
    assert install(guest, X, 7, CPUID_TYPE) == 0 and register(guest, CPUID_TYPE, leaf(7) + full) == 0
    guest.vtl_return()
    assert guest.attempt(CPUID, rax=7, rcx=0) == 1
    assert struct.unpack_from("<4Q", guest.message()[1], 0x48) == (0x22,) * 4
    guest.handled()
    assert register(guest, CPUID_TYPE, leaf(7, always=1) + full) == 0
    guest.vtl_return()
    assert cpuid(guest, 7) == (0, [0x22] * 4)


def test_a_registered_leaf_counts_as_implemented(guest):
    assert guest.set((CONFIG, 1 << 10 | 0x3F)) == (0, 1)
    assert register(guest, CPUID_TYPE, leaf(0x40000077) + struct.pack("<8I", *(3, 0xFFFFFFFF) * 4)) == 0
    guest.vtl_return()
    assert cpuid(guest, 0x40000077) == (0, [3] * 4) and guest.attempt(CPUID, rax=0x40000078) == 1


def test_msrs_that_read_zero_and_ignore_writes(guest):
    assert register(guest, MSR, struct.pack("<3I", UNKNOWN_MSR, R | W, 1)) == 0
    assert register(guest, MSR, struct.pack("<3I", LSTAR, R | W, 1)) == 0
    guest.vtl_return()
    assert guest.attempt(WRMSR + RDMSR, rcx=UNKNOWN_MSR, rax=5, rdx=6) == 0
    guest.run(1)
    assert (guest.reg(RAX), guest.reg(RDX)) == (0, 0)
    guest.attempt(WRMSR, rcx=LSTAR, rax=0x1000, rdx=0)
    assert guest.reg(layout.LSTAR) == 0x1000                              # implemented, so nothing to ignore
    guest.vtl_call()
    guest.handled()
    assert register(guest, MSR, struct.pack("<3I", UNKNOWN_MSR, R, 0)) == 0
    guest.vtl_return()
    guest.attempt(RDMSR, rcx=UNKNOWN_MSR)
    guest.run(1)
    assert guest.reg(layout.RIP) in range(HANDLER, HANDLER + 4)


def test_results_can_be_taken_back(guest):
    full = struct.pack("<8I", *(0x33, 0xFFFFFFFF) * 4)
    assert register(guest, CPUID_TYPE, leaf(7) + full) == 0 and register(guest, CPUID_TYPE, leaf(7), code=0x92) == 0
    assert register(guest, CPUID_TYPE, leaf(7), code=0x92) == 0x10
    assert register(guest, MSR, struct.pack("<3I", UNKNOWN_MSR, R, 1)) == 0
    assert register(guest, MSR, struct.pack("<2I", UNKNOWN_MSR, R), code=0x92) == 0
    assert register(guest, MSR, struct.pack("<2I", UNKNOWN_MSR, R), code=0x92) == 0x10
    guest.vtl_return()
    assert cpuid(guest, 7)[1] != [0x33] * 4


def test_malformed_results(guest):
    assert register(guest, EXCEPTION, bytes(44)) == 0x5 and register(guest, MSR, struct.pack("<3I", 1, 0, 0)) == 0x5
    assert register(guest, MSR, struct.pack("<3I", 1, X, 0)) == 0x5
    assert register(guest, MSR, struct.pack("<3I", 1, R, 2)) == 0x5
    assert register(guest, CPUID_TYPE, leaf(1, specific=2)) == register(guest, CPUID_TYPE, bytes(11) + b"\1") == 0x5
    guest.vtl_return()
    assert register(guest, CPUID_TYPE, leaf(1)) == 0x6 and register(guest, CPUID_TYPE, leaf(1), code=0x92) == 0x6


def test_all_of_it_ends_with_a_reset(guest):
    assert install(guest, X, 6, EXCEPTION) == 0 and install(guest, R | W, 0xFFFF << 16, PORT_RANGE) == 0
    assert register(guest, CPUID_TYPE, leaf(1) + bytes(32)) == 0
    guest.partition.reset()
    assert guest.vcpu.planes[0].get(layout.TRAPS) == 0 and not guest.partition.intercepts.installed.has_ports()
    assert guest.partition.intercepts.results.cpuid(guest.vp, 0, 1, 0, (0, 0, 0, 0)) == ((0, 0, 0, 0), False, False)
