"""Creating and deleting processors and VMPLs; tN: number in the SNP scenario list. What the SVSM decides is a test of
firmware/snp; here the hypervisor's and the processor's part of it."""
import pytest

from emu.planes.snp import exits, ghcb, vmsa
from emu.planes.snp.rmp import FAIL_INUSE
from jit import layout
from tests.emu.planes.snp.guest import CODE, HLT, NOP, PAGE, STORE, WINDOW, C, Guest

CREATE, DESTROY = 1, 2
SNP = vmsa.SNP_ACTIVE


@pytest.fixture
def guest():
    return Guest(vcpus=2)


def bless(guest, gpa, vmpl=1, on=1):
    """RMPADJUST that makes a page a VMSA, or no VMSA any more."""
    guest.window(gpa | 7 | C)
    return guest.adjust(WINDOW, vmpl, 0, vmsa=on)


def create(guest, gpa, apic=1, vmpl=0, operation=CREATE, features=SNP):
    """AP creation: (INFO1, INFO2)."""
    answer = guest.request(exits.AP_CREATION, operation | vmpl << 16 | apic << 32, gpa, rax=features)
    return answer["sw_exitinfo1"], answer["sw_exitinfo2"]


REFUSED = (ghcb.MALFORMED, ghcb.INVALID_INPUT)


def test_t76_a_processor_starts_with_exactly_its_vmsas_registers(guest):
    gpa = guest.make_vmsa(0, vcpu=1, rip=CODE + 0x800, rbx=0x1234, r15=0x5678)
    guest.put(NOP * 4, CODE + 0x800)
    assert bless(guest, gpa) == 0
    assert create(guest, gpa) == (0, 0)
    other = guest.m.vcpus[1]
    assert other.runs()
    guest.run(1, other)
    plane = other.plane
    assert plane.get(layout.RIP) == CODE + 0x801
    assert (plane.get(layout.gpr(3)), plane.get(layout.gpr(15))) == (0x1234, 0x5678)


def test_a_vmpl_that_halted_sees_that_there_is_another(guest):
    """The SVSM of the other processor waits by HLT for its guest's VMSA."""
    gpa = guest.make_vmsa(0, vcpu=1, rip=CODE + 0x800)
    guest.put(HLT + NOP * 4, CODE + 0x800)
    bless(guest, gpa)
    assert create(guest, gpa) == (0, 0)
    other = guest.m.vcpus[1]
    guest.run(1, other)
    assert not other.runs()
    lower = guest.make_vmsa(2, vcpu=1)
    bless(guest, lower)
    assert create(guest, lower, vmpl=2) == (0, 0)
    assert other.runs() and other.group.active == 0
    guest.run(1, other)
    assert other.group.active == 0 and other.plane.get(layout.RIP) == CODE + 0x802


def test_t77_a_vmsa_is_out_of_the_guests_reach(guest):
    guest.add_vmpl(2)
    gpa = guest.make_vmsa(2, vcpu=1)
    guest.window(gpa | 7 | C)
    assert guest.adjust(WINDOW, 2, 0) == 0
    assert guest.adjust(WINDOW, 1, 0, vmsa=1) == 0 and guest.rmp.vmsa[gpa >> 12]
    assert create(guest, gpa, vmpl=2) == (0, 0)
    guest.switch(2)
    guest.step(STORE, rax=WINDOW, rbx=0)
    assert guest.hv.faults[-1].info1 & exits.NPF_VMPL


@pytest.mark.parametrize("change", [{"efer": 0x500}, {"sev_features": 0}, {"vmpl": 7}])
def test_t78_a_vmsa_that_cannot_run(guest, change):
    gpa = guest.make_vmsa(0, vcpu=1, **change)
    bless(guest, gpa)
    create(guest, gpa)
    guest.run(1, guest.m.vcpus[1])
    assert guest.hv.failures[-1][:2] == (0, exits.INVALID)


@pytest.mark.parametrize("gpa, features", [(PAGE + 8, SNP), (0xFEE00000, SNP), (PAGE, vmsa.SECURE_AVIC | SNP)])
def test_t79_what_may_not_be_a_vmsa(guest, gpa, features):
    assert create(guest, gpa, features=features) == REFUSED


def test_t81_a_vmsa_at_a_multiple_of_2m(guest):
    assert create(guest, 0x400000) == REFUSED


def test_t80_a_vmsa_that_runs_cannot_be_taken_away(guest):
    gpa = guest.make_vmsa(0, vcpu=1)
    bless(guest, gpa)
    create(guest, gpa)
    guest.run(1, guest.m.vcpus[1])
    vp = guest.snp.vps[1]
    vp.exited = False                       # as if it ran on another processor now
    assert bless(guest, gpa, on=0) == FAIL_INUSE and guest.rmp.vmsa[gpa >> 12]
    vp.exited = True
    assert bless(guest, gpa, on=0) == 0 and not guest.rmp.vmsa[gpa >> 12]
    guest.run(1, guest.m.vcpus[1])
    assert guest.hv.failures[-1][:2] == (0, exits.INVALID)


def test_t82_no_such_processor(guest):
    assert create(guest, guest.make_vmsa(0, vcpu=1), apic=99) == REFUSED
    assert create(guest, guest.make_vmsa(0, vcpu=1), vmpl=4) == REFUSED
    assert create(guest, guest.make_vmsa(0, vcpu=1), operation=3) == REFUSED


def test_vmpl0_does_not_replace_its_own_vmsa(guest):
    assert create(guest, guest.make_vmsa(0), apic=0) == REFUSED


def test_a_vmpl_keeps_its_features(guest):
    assert create(guest, guest.make_vmsa(0, vcpu=1), features=SNP | vmsa.DEBUG_SWAP) == REFUSED


def test_create_on_init_waits_for_it(guest):
    gpa = guest.make_vmsa(0, vcpu=1)
    bless(guest, gpa)
    assert create(guest, gpa, operation=0) == (0, 0)
    other = guest.m.vcpus[1]
    assert not other.runs()
    guest.vcpu.lapics[0].icr = 1 << 56 | 0x4600         # start-up IPI to APIC 1
    guest.vcpu.lapics[0].send_icr()
    assert other.runs()


def test_destroy(guest):
    gpa = guest.make_vmsa(0, vcpu=1)
    bless(guest, gpa)
    create(guest, gpa)
    assert create(guest, 0, operation=DESTROY) == (0, 0)
    assert not guest.m.vcpus[1].runs() and guest.snp.vps[1].contexts[0].page is None


def test_ap_reset_hold(guest):
    answer = guest.request(exits.AP_RESET_HOLD)
    assert answer["sw_exitinfo2"] == 1 and not guest.vcpu.runs()
    guest.hv.startup(guest.vcpu)
    assert guest.vcpu.runs()


def test_ap_reset_hold_by_the_msr_protocol(guest):
    """The answer says that a start-up IPI has come: bits 63:12 are not 0."""
    assert guest.msr_request(0x006) == 1 << 12 | 0x007 and not guest.vcpu.runs()
    guest.hv.startup(guest.vcpu)
    assert guest.vcpu.runs()


def test_jump_table_and_apic_ids(guest):
    guest.request(exits.AP_JUMP_TABLE, 0, 0x9000)
    assert guest.request(exits.AP_JUMP_TABLE, 1)["sw_exitinfo2"] == 0x9000
    guest.share(PAGE)
    assert guest.request(exits.APIC_IDS, PAGE, rax=0)["rax"] == 1
    answer = guest.request(exits.APIC_IDS, PAGE, rax=1)
    assert answer["sw_exitinfo1"] == 0
    assert guest.hv.read_shared(PAGE, 12) == b"\2\0\0\0" + b"\0\0\0\0" + b"\1\0\0\0"
