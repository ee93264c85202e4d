"""#VC, the GHCB MSR protocol and requests through the GHCB; tN: number in the SNP scenario list."""
import struct

import pytest

from emu import stop
from emu.planes.snp import exits, ghcb, ghcb_msr, vmsa
from emu.planes.snp.hypervisor import Hypervisor
from jit import layout
from tests.emu.planes.snp.guest import (
    CODE,
    CPUID,
    GHCB,
    GHCB_MSR,
    GP,
    HLT,
    NOP,
    OUT_AL,
    PAGE,
    RAX,
    RCX,
    RDMSR,
    RDX,
    STORE,
    UD,
    VC,
    VMGEXIT,
    WRMSR,
    Guest,
)

ALL_ONES = (1 << 64) - 1
BUFFER = ghcb.SHARED_BUFFER


@pytest.fixture
def guest():
    return Guest()


def test_t42_cpuid_is_the_guests_to_answer(guest):
    guest.hv.intercepts = frozenset()
    guest.step(CPUID, rax=0)
    assert guest.caught() == (VC, exits.CPUID, CODE) and not guest.hv.exits


@pytest.mark.parametrize("code, exit_code", [
    (b"\xe4\x60", exits.IOIO), (OUT_AL, exits.IOIO), (b"\x6e", exits.IOIO), (b"\x0f\x33", exits.RDPMC),
    (b"\x0f\x09", exits.WBINVD), (b"\x0f\x08", exits.INVD), (b"\x0f\x01\xc8", exits.MONITOR),
    (b"\x0f\x01\xc9", exits.MWAIT), (b"\x0f\x21\xf8", exits.READ_DR7), (b"\x0f\x23\xf8", exits.WRITE_DR7),
    (b"\x0f\x01\xd9", exits.VMMCALL), (RDMSR, exits.MSR), (WRMSR, exits.MSR)])
def test_what_the_hypervisor_would_intercept_is_vc(guest, code, exit_code):
    guest.step(code, rax=0, rcx=0x1B if exit_code == exits.MSR else 0, rdx=0xE0 if exit_code == exits.IOIO else 0,
               rsi=PAGE)
    assert guest.caught() == (VC, exit_code, CODE)


def test_debug_swap_gives_dr7_back():
    guest = Guest(features=vmsa.SNP_ACTIVE | vmsa.DEBUG_SWAP)
    guest.step(b"\x0f\x23\xf8", rax=0x401)
    assert guest.exception is None and guest.reg(layout.DR7) == 0x401


@pytest.mark.parametrize("code, exit_code", [(b"\x0f\x31", exits.RDTSC), (b"\x0f\x01\xf9", exits.RDTSCP)])
def test_the_hypervisor_may_intercept_more(code, exit_code):
    class Nosy(Hypervisor):
        intercepts = Hypervisor.intercepts | {exits.RDTSC, exits.RDTSCP}

    guest = Guest()
    guest.step(code)
    assert guest.exception is None
    guest = Guest(hypervisor=Nosy)
    guest.step(code)
    assert guest.caught() == (VC, exit_code, CODE)


def test_t43_output_to_a_port():
    seen = []

    class Ports(Hypervisor):
        def port(self, call, port, size, value):
            seen.append((port, size, value))
            return 0x5A

    guest = Guest(hypervisor=Ports)
    guest.step(OUT_AL, rax=0x77, rdx=0xE0)
    assert guest.caught()[:2] == (VC, exits.IOIO)
    answer = guest.request(exits.IOIO, 0xE0 << 16 | 1 << 4, rax=0x77)
    assert seen == [(0xE0, 1, 0x77)] and answer["sw_exitinfo1"] == ghcb.DONE
    answer = guest.request(exits.IOIO, 0xE0 << 16 | 1 << 4 | 1)
    assert seen[1:] == [(0xE0, 1, None)] and answer["rax"] == 0x5A
    gpa = guest.ghcb()
    guest.hv.write_shared(gpa + BUFFER, b"abc")
    guest.request(exits.IOIO, 0xE0 << 16 | 1 << 4 | 1 << 2 | 1 << 3, 3, sw_scratch=gpa + BUFFER)
    assert seen[2:] == [(0xE0, 1, ord(c)) for c in "abc"]


def test_t44_the_msr_protocol_says_who_is_there(guest):
    value = guest.msr_request(ghcb_msr.SEV_INFO_REQUEST)
    assert value & 0xFFF == 1 and value >> 24 & 0xFF == 51
    assert (value >> 32 & 0xFFFF, value >> 48) == (1, 2)


def test_the_msr_protocol_tells_cpuid_and_features(guest):
    value = guest.msr_request(0x8000001F << 32 | 1 << 30 | ghcb_msr.CPUID_REQUEST)
    assert value & 0xFFF == ghcb_msr.CPUID_RESPONSE and value >> 32 & 0x3F == 51
    assert guest.msr_request(ghcb_msr.FEATURES_REQUEST) >> 12 == guest.hv.features
    assert guest.msr_request(ghcb_msr.PREFERRED_GPA_REQUEST) == ALL_ONES << 12 & ALL_ONES | 0x011
    assert guest.msr_request(GHCB | ghcb_msr.REGISTER_GPA_REQUEST) == GHCB | 0x013


def test_the_msr_protocol_changes_page_states(guest):
    shared = guest.msr_request(2 << 52 | PAGE | ghcb_msr.PSC_REQUEST)
    assert shared == ghcb_msr.PSC_RESPONSE and guest.hv.shared_page(PAGE) is not None
    assert guest.msr_request(1 << 52 | PAGE | ghcb_msr.PSC_REQUEST) == ghcb_msr.PSC_RESPONSE
    assert guest.validate(PAGE) == (0, 0, 1)
    assert guest.msr_request(1 << 52 | 0xFEE00000 | ghcb_msr.PSC_REQUEST) >> 32


def test_an_unknown_msr_request_changes_nothing(guest):
    assert guest.msr_request(0xABC) == 0xABC and len(guest.reports) == 1


def test_t45_a_ghcb_that_is_not_registered(guest):
    guest.share(GHCB)
    answer = guest.request(exits.CPUID, registered=False, rax=0, rcx=0)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.NOT_REGISTERED)


def test_t46_a_field_that_is_missing(guest):
    guest.step(NOP, rcx=0x1234)
    answer = guest.request(exits.MSR)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.MISSING_INPUT)
    assert guest.reg(RCX) == 0x1234


@pytest.mark.parametrize("scratch", [GHCB + 0x800 + 0x7F0 - 3, GHCB + 0x400, GHCB + 0x1000, PAGE])
def test_t47_a_bad_scratch_area(guest, scratch):
    answer = guest.request(exits.MMIO_READ, 0xFEE00020, 4, sw_scratch=scratch)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.INVALID_SCRATCH)


def test_mmio_goes_to_devices(guest):
    gpa = guest.ghcb()
    answer = guest.request(exits.MMIO_READ, 0xFEE00030, 4, sw_scratch=gpa + BUFFER)
    assert answer["sw_exitinfo1"] == 0
    assert guest.hv.read_shared(gpa + BUFFER, 4) == guest.vcpu.lapic.read_register(0x30).to_bytes(4, "little")


def test_an_access_to_a_device_is_vc(guest):
    guest.window(0xFEE00000 | 7)
    guest.step(STORE, rax=0x200000)
    assert guest.caught()[:2] == (VC, exits.NPF)


def test_t48_an_exception_is_the_answer(guest):
    answer = guest.request(exits.MSR, rcx=0xDEAD)
    event = GP | 3 << 8 | 1 << 11 | 1 << 31
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.EXCEPTION, event)


def test_t49_no_ghcb(guest):
    guest.enter()
    guest.plane.set(layout.GHCB, 0)
    rip = guest.reg(layout.RIP)
    guest.step(VMGEXIT, rax=5)
    assert guest.reg(layout.RIP) == rip + len(VMGEXIT) and guest.reg(RAX) == 5
    guest.plane.set(layout.GHCB, GHCB)      # private
    before = guest.read(GHCB, 4096)
    guest.step(VMGEXIT)
    assert guest.read(GHCB, 4096) == before


def psc(guest, entries, current=0, end=None, reserved=0):
    """A page state change: (INFO2, header's current)."""
    gpa = guest.ghcb()
    end = len(entries) - 1 if end is None else end
    guest.hv.write_shared(gpa + BUFFER, struct.pack(f"<HHI{len(entries)}Q", current, end, reserved, *entries))
    answer = guest.request(exits.PSC, sw_scratch=gpa + BUFFER)
    return answer["sw_exitinfo2"], struct.unpack("<H", guest.hv.read_shared(gpa + BUFFER, 2))[0]


def test_t50_a_page_state_change_in_parts(guest):
    guest.hv.psc_batch = 100
    entries = [(PAGE + n * 4096) | 2 << 52 for n in range(253)]
    assert psc(guest, entries) == (0, 100)
    assert psc(guest, entries, 100) == (0, 200)
    assert psc(guest, entries, 200) == (0, 253)
    assert all(guest.hv.shared_page(PAGE + n * 4096) is not None for n in range(253))


def test_page_state_changes_that_are_refused(guest):
    assert psc(guest, [PAGE | 2 << 52], reserved=1)[0] == ghcb.PSC_BAD_HEADER
    assert psc(guest, [PAGE | 2 << 52], end=253)[0] == ghcb.PSC_BAD_HEADER
    assert psc(guest, [PAGE | 1 << 56 | 2 << 52])[0] == ghcb.PSC_BAD_ENTRY
    assert psc(guest, [0xFEE00000 | 2 << 52]) == (ghcb.PSC_GENERIC, 0)


def test_a_2m_page_is_given(guest):
    big = 0x400000
    assert psc(guest, [big | 1 << 56 | 2 << 52]) == (0, 1)
    assert psc(guest, [big | 1 << 56 | 1 << 52]) == (0, 1)
    assert guest.rmp.large[big >> 12] and guest.validate(big, size=1) == (0, 0, 1)


def test_t51_counters_that_go_back():
    """What a guest sees of a hypervisor that moves the counters: the answer it must take for an attack."""
    class Backwards(Hypervisor):
        def page_state_change(self, call):
            super().page_state_change(call)
            call.write_scratch(struct.pack("<HHI", 0, 0, 7))

    guest = Guest(hypervisor=Backwards)
    gpa = guest.ghcb()
    assert psc(guest, [PAGE | 2 << 52], 0)[1] == 0
    assert guest.hv.read_shared(gpa + BUFFER + 4, 4) == b"\7\0\0\0"
    guest.msr_request(0x1100 | 1 << 16)     # what Linux does then: set 1, reason PSC
    assert guest.hv.terminated == (1, 1)


def test_t52_termination(guest):
    guest.msr_request(ghcb_msr.TERMINATE | 1 << 12 | 2 << 16)
    assert guest.hv.terminated == (1, 2) and guest.m.stopping.reason == stop.TERMINATED
    guest.request(exits.TERMINATE, 1 | 5 << 4)
    assert guest.hv.terminated == (1, 5)


def test_features_come_through_the_ghcb_too(guest):
    assert guest.request(exits.HV_FEATURES)["sw_exitinfo2"] == guest.hv.features
    answer = guest.request(0x80000055)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.INVALID_EVENT)
    assert any("0x80000055" in line for line in guest.reports)


def test_msrs_that_the_processor_serves(guest):
    guest.step(RDMSR, rcx=0xC0010131)
    assert guest.reg(RAX) == 7
    guest.step(WRMSR, rcx=GHCB_MSR, rax=GHCB, rdx=0)
    guest.step(RDMSR, rcx=GHCB_MSR, rax=0)
    assert (guest.reg(RAX), guest.reg(RDX)) == (GHCB, 0)
    guest.step(RDMSR, rcx=0xC0010135)
    assert guest.exception == GP


def test_svme_cannot_be_written(guest):
    guest.step(WRMSR, rcx=0xC0000080, rax=0xD00, rdx=0)
    assert guest.exception is None and guest.reg(layout.EFER) & vmsa.EFER_SVME


def test_hlt_is_an_automatic_exit(guest):
    guest.step(HLT)
    state = guest.vmsa(0)
    assert state["guest_exitcode"] == exits.HLT and state["rip"] == CODE + 1


def test_an_instruction_of_another_mode_is_undefined(guest):
    guest.step(b"\xf2\x0f\x01\xfd")         # RMPREAD, without its CPUID bit
    assert guest.exception == UD


@pytest.mark.parametrize("code", [VMGEXIT, b"\xf2\x0f\x01\xd9"])
def test_both_encodings_of_vmgexit(guest, code):
    guest.enter()
    guest.plane.set(layout.GHCB, ghcb_msr.SEV_INFO_REQUEST)
    guest.step(code)
    assert guest.plane.get(layout.GHCB) & 0xFFF == 1


def test_cpuid_of_the_state_that_the_guest_names(guest):
    """The hypervisor does not see XCR0: the size of the XSAVE area is that of the values in the GHCB."""
    size = {xcr0: guest.request(exits.CPUID, rax=0xD, rcx=0, xcr0=xcr0)["rbx"] for xcr0 in (1, 3, 7)}
    assert size == {1: 576, 3: 576, 7: 832}
    compacted = guest.request(exits.CPUID, rax=0xD, rcx=1, xcr0=7, xss=0)["rbx"]
    assert guest.request(exits.CPUID, rax=0xD, rcx=1, xcr0=7, xss=1 << 11)["rbx"] >= compacted == 832
    answer = guest.request(exits.CPUID, rax=0xD, rcx=0)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.MISSING_INPUT)


@pytest.mark.parametrize("size, accesses", [
    (3, [(0, 2), (2, 1)]), (8, [(0, 8)]), (20, [(0, 8), (8, 8), (16, 4)]), (1, [(0, 1)])])
def test_mmio_of_any_size(size, accesses):
    seen = []

    class Devices(Hypervisor):
        def __init__(self, guest):
            super().__init__(guest)
            self.machine.device_access = lambda vcpu, kind, address, size, value: seen.append((address, size)) or 0xA5

    guest = Guest(hypervisor=Devices)
    gpa = guest.ghcb()
    for code in (exits.MMIO_READ, exits.MMIO_WRITE):
        seen.clear()
        assert guest.request(code, 0xFED00000, size, sw_scratch=gpa + BUFFER)["sw_exitinfo1"] == 0
        assert [(address - 0xFED00000, part) for address, part in seen] == accesses
    answer = guest.request(exits.MMIO_READ, 0xFED00000, 0, sw_scratch=gpa + BUFFER)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.INVALID_INPUT)


def test_an_msr_exit_reads_or_writes(guest):
    answer = guest.request(exits.MSR, 2, rcx=0x1B, rax=0, rdx=0)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.INVALID_INPUT)


def test_a_2m_entry_that_was_begun_is_finished(guest):
    """What the entry's own counter says is done is left alone, and the counter ends at the number of pages."""
    big = 0x400000
    assert psc(guest, [big | 1 << 56 | 2 << 52 | 510]) == (0, 1)
    shared = [guest.hv.shared_page(big + n * 4096) is not None for n in range(512)]
    assert shared == [False] * 510 + [True] * 2
    entry, = struct.unpack("<Q", guest.hv.read_shared(guest.ghcb() + BUFFER + 8, 8))
    assert entry == big | 1 << 56 | 2 << 52 | 512
    assert psc(guest, [big | 1 << 56 | 1 << 52 | 512]) == (0, 1)
    assert guest.hv.shared_page(big + 511 * 4096) is not None


@pytest.mark.parametrize("entry", [PAGE, PAGE | 5 << 52, PAGE | 2 << 52 | 2, 0x400000 | 1 << 56 | 2 << 52 | 513])
def test_entries_that_make_no_sense(guest, entry):
    assert psc(guest, [entry]) == (ghcb.PSC_BAD_ENTRY, 0)


def test_the_msr_protocol_has_two_page_states(guest):
    assert guest.msr_request(3 << 52 | PAGE | ghcb_msr.PSC_REQUEST) >> 32


def test_a_ghcb_where_there_is_no_memory_is_refused(guest):
    assert guest.msr_request(0xFEE00000 | ghcb_msr.REGISTER_GPA_REQUEST) == ALL_ONES << 12 & ALL_ONES | 0x013


def test_an_event_that_the_guest_cannot_handle_is_named(guest):
    """The guest goes on, to say itself what that means."""
    answer = guest.request(exits.UNSUPPORTED, exits.RDPMC)
    assert answer["sw_exitinfo1"] == ghcb.DONE and guest.m.stopping is None
    assert [line for line in guest.reports if "#VC of RDPMC (0x6f)" in line]


@pytest.mark.parametrize("code", [exits.HV_TIMER, exits.SECURE_AVIC, exits.TIO_GUEST_REQUEST, 0x80000019, exits.HLT])
def test_what_is_not_offered_is_no_event(guest, code):
    """Their bits are not among the hypervisor's features, or CPUID's."""
    answer = guest.request(code, rax=0)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.INVALID_EVENT)
    assert any(exits.name(code) in line for line in guest.reports)


@pytest.mark.parametrize("number, cpl, result", [(1, 0, 0), (1, 3, -1), (1005, 0, -1000), (12, 3, -1)])
def test_hypercalls_of_kvm(guest, number, cpl, result):
    assert guest.request(exits.VMMCALL, rax=number, cpl=cpl)["rax"] == result & ALL_ONES
