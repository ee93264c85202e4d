"""Races, and hypervisors that lie: what the guest, the processor or nobody notices; tN: number in the SNP scenario
list."""
import pytest

from emu.planes.snp import exits, ghcb_msr, rmp
from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.rmp import Entry
from jit import layout
from tests.emu.planes.snp.guest import CODE, LOAD, NOP, PAGE, RAX, STORE, VC, WINDOW, C, Guest
from tests.emu.planes.snp.test_rmp import faults

SECRET = 0x5EC2E75EC2E7


@pytest.fixture
def guest():
    return Guest()


@pytest.mark.parametrize("zeroing", [True, False])
def test_t83_a_secret_that_is_mapped_elsewhere(guest, zeroing):
    """The page of VMPL0's secret is given to the OS. Only a VMPL0 that clears what it accepts keeps the secret."""
    guest.add_vmpl(2)
    frame, page = (PAGE + 0x1000) >> 12, PAGE >> 12
    guest.step(STORE, rax=PAGE, rbx=SECRET)
    guest.rmp.update(page, Entry(False))
    guest.rmp.update(page, Entry(True, guest.snp.asid, frame))
    guest.nested.map(frame, page)
    rip = guest.reg(layout.RIP)
    guest.step(LOAD, rax=PAGE)
    assert guest.reg(layout.RIP) == rip and guest.hv.faults          # VMPL0 notices at once
    assert guest.validate(PAGE + 0x1000) == (0, 0, 1)                # the OS asked for that
    if zeroing:
        guest.step(STORE, rax=PAGE + 0x1000, rbx=0)
    assert guest.adjust(PAGE + 0x1000, 2, 3) == 0
    guest.switch(2)
    guest.step(LOAD, rax=PAGE + 0x1000)
    assert guest.reg(RAX) == (0 if zeroing else SECRET)


@pytest.mark.parametrize("careless", [False, True])
def test_t84_two_pages_for_one_address(guest, careless):
    first, second = PAGE >> 12, (PAGE + 0x1000) >> 12
    guest.step(STORE, rax=PAGE, rbx=1)
    guest.rmp.update(second, Entry(True, guest.snp.asid, first))
    guest.nested.map(first, second)
    guest.step(LOAD, rax=PAGE)
    assert guest.caught()[:2] == (VC, exits.PAGE_NOT_VALIDATED)      # a guest that ends here is safe
    if not careless:
        return
    guest.resume(CODE)
    assert guest.validate(PAGE) == (0, 0, 1)
    guest.step(STORE, rax=PAGE, rbx=2)
    for page, value in ((first, 1), (second, 2), (first, 1)):
        guest.nested.map(first, page)
        guest.step(LOAD, rax=PAGE)
        assert guest.reg(RAX) == value and guest.exception is None   # replayed without a trace


def test_t85_the_svsm_is_left_out():
    class Skips(Hypervisor):
        def switch_vmpl(self, vcpu, target):
            if target != 0:
                super().switch_vmpl(vcpu, target)

    guest = Guest(hypervisor=Skips)
    guest.add_vmpl(2)
    guest.switch(2)
    guest.m.memory.write(PAGE, b"\1")                                # call_pending
    assert guest.switch(0) == ghcb_msr.RUN_VMPL_RESPONSE and guest.vmpl == 2
    assert guest.read(PAGE, 1) == b"\1"                              # what tells the guest


def test_t86_vmpl0_is_entered_without_a_call(guest):
    guest.add_vmpl(2)
    guest.switch(2)
    guest.step(NOP)
    guest.snp.planes.permit(guest.vcpu, 0, True)
    guest.run(0)
    assert guest.vmpl == 0 and guest.vmsa(2)["guest_exitcode"] == exits.INTR


def test_t87_one_vmsa_on_two_processors():
    guest = Guest(vcpus=2)
    page = guest.snp.vps[0].contexts[0].page
    guest.enter()
    guest.snp.vps[1].contexts[0].page = page
    guest.m.vcpus[1].plane.set(layout.ACTIVITY, 0)
    guest.snp.resume(guest.m.vcpus[1])
    assert guest.hv.failures[-1][:2] == (0, exits.INVALID) and "another processor" in guest.hv.failures[-1][2]


def test_t88_an_exit_that_is_shown_twice(guest):
    guest.add_vmpl(2)
    guest.switch(2)
    guest.m.memory.write(PAGE, b"\1")
    guest.switch(0)
    assert guest.vmsa(2)["guest_exitcode"] == exits.VMGEXIT
    guest.m.memory.write(PAGE, b"\0")                                # VMPL0 takes the call, then is entered once more
    guest.step(NOP)
    guest.run(1)
    assert guest.vmsa(2)["guest_exitcode"] == exits.VMGEXIT and guest.read(PAGE, 1) == b"\0"


def test_t89_the_ghcb_changes_under_the_guests_eyes(guest):
    gpa = guest.ghcb()
    guest.window(gpa | 7)
    guest.hv.write_shared(gpa + 0x1F8, (7).to_bytes(8, "little"))
    guest.step(b"\x48\x8b\x98\xf8\x01\0\0", rax=WINDOW)              # mov rbx, [rax + 0x1f8]: the copy
    guest.hv.write_shared(gpa + 0x1F8, (8).to_bytes(8, "little"))
    guest.step(b"\x48\x8b\x88\xf8\x01\0\0", rax=WINDOW)
    assert (guest.reg(layout.gpr(3)), guest.reg(layout.gpr(1))) == (7, 8)


def test_t90_rmpupdate_of_a_vmsa_that_runs(guest):
    gpa = guest.add_vmpl(2)
    page = gpa >> 12
    guest.switch(2)
    guest.enter()
    assert guest.rmp.update(page, Entry(False)) == rmp.FAIL_INUSE
    guest.run(0)
    assert guest.rmp.update(page, Entry(False)) == rmp.SUCCESS
    guest.run(0)
    assert guest.hv.failures[-1][:2] == (2, exits.INVALID)


def test_t91_an_interrupt_storm():
    """#HV at every entry: every vector is handled once, and between two signals an instruction retires."""
    from tests.emu.planes.snp.test_injection import DOORBELL, RESTRICTED, doorbell, interrupt
    guest = Guest(features=RESTRICTED)
    guest.share(DOORBELL)
    guest.request(exits.HV_DOORBELL, 1, DOORBELL)
    posted, seen = [], []
    for n in range(300):
        vector = 0x30 + n % 0x40
        interrupt(guest, vector)
        posted.append(vector)
        assert guest.run(1) == 1
        assert guest.exception == 28
        seen.append(doorbell(guest, clear=(0, 1))[0])
        guest.vcpu.lapics[0].write_register(0xB0, 0)
        guest.resume(CODE)
    assert seen == posted


def test_t92_features_that_are_not_there():
    class Boasts(Hypervisor):
        features = (1 << 52) - 1

    guest = Guest(hypervisor=Boasts)
    assert guest.msr_request(ghcb_msr.FEATURES_REQUEST) >> 12 == (1 << 52) - 1
    for code in (exits.HV_TIMER, exits.SECURE_AVIC, exits.TIO_GUEST_REQUEST, 0x80000099):
        assert guest.request(code, rax=0)["sw_exitinfo1"] == 2


def test_t93_vmpl2_before_there_is_one(guest):
    guest.snp.planes.ensure(guest.vcpu, 2)
    guest.snp.planes.permit(guest.vcpu, 0, False)
    guest.snp.planes.permit(guest.vcpu, 2, True)
    guest.run(0)
    assert guest.hv.failures[-1][:2] == (2, exits.INVALID)
    guest.add_vmpl(2, efer=0x500)
    guest.snp.planes.permit(guest.vcpu, 2, True)
    guest.run(0)
    assert "SVME" in guest.hv.failures[-1][2]


def test_t94_a_page_that_is_shared_without_being_asked(guest):
    guest.step(STORE, rax=PAGE, rbx=SECRET)
    guest.share(PAGE)
    assert faults(guest, LOAD, rax=PAGE).info1 & exits.NPF_ENCRYPTED
    assert SECRET.to_bytes(8, "little") not in guest.hv.read_shared(PAGE, 4096)
    assert guest.snp.cipher.read(PAGE, 8) != b""


def test_a_user_may_replace_one_piece():
    class Lies(Hypervisor):
        def read_cpuid(self, vcpu, leaf, subleaf):
            return 1, 2, 3, 4

    guest = Guest(hypervisor=Lies)
    assert not guest.hv.direct
    answer = guest.request(exits.CPUID, rax=0, rcx=0)
    assert [answer[name] for name in ("rax", "rbx", "rcx", "rdx")] == [1, 2, 3, 4]


def test_the_page_of_another_frame_is_seen_as_such(guest):
    guest.window((PAGE + 0x1000) | 7 | C)
    guest.nested.map((PAGE + 0x1000) >> 12, PAGE >> 12)
    assert faults(guest, LOAD, rax=WINDOW).info1 & exits.NPF_RMP
