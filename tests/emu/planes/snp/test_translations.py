"""Making lowered permissions felt: INVLPGB with its operands and intercepts, and PCPU_ID of a VMSA."""
import pytest

from emu.planes.snp import exits, vmsa
from emu.planes.snp.hypervisor import Hypervisor
from tests.emu.planes.snp.guest import CODE, GP, INVLPGB, NOP, PAGE, STORE, TLBSYNC, VC, Guest

READ = 1


@pytest.fixture
def stale():
    """VMPL2 has a translation by which it may still write to a page that VMPL0 has made read-only for it."""
    guest = Guest("auto", lazy=True)
    guest.add_vmpl(2)
    guest.switch(2)
    guest.step(STORE, rax=PAGE, rbx=1)
    guest.switch(0)
    assert guest.adjust(PAGE, 2, READ) == 0
    return guest


def writes(guest):
    """Whether VMPL2 can write to the page."""
    guest.switch(2)
    guest.hv.faults.clear()
    guest.step(STORE, rax=PAGE, rbx=2)
    guest.resume(CODE + 0x2000)
    return not guest.hv.faults


def test_a_vmsa_says_where_it_ran(stale):
    assert writes(stale)
    assert stale.vmsa(2)["pcpu_id"] == stale.vmsa(0)["pcpu_id"] == 1


def test_zero_in_pcpu_id_forces_a_flush(stale):
    stale.enter()
    stale.vmsa(2)["pcpu_id"] = 0
    assert not writes(stale)
    assert stale.vmsa(2)["pcpu_id"] != 0            # by which software sees that it is done


@pytest.mark.parametrize("operands", [
    {"rax": 1 << 6}, {"rax": 1 << 11}, {"rcx": 1 << 16}, {"rcx": 8}, {"rdx": 1 << 28}])
def test_operands_that_invlpgb_refuses(operands):
    guest = Guest()
    guest.step(INVLPGB, **{"rax": 0, "rcx": 0, "rdx": 0, **operands})
    assert guest.exception == GP


@pytest.mark.parametrize("operands", [
    {"rax": 1}, {"rax": 1 << 2 | 1 << 3}, {"rax": 1 << 2, "rdx": 5}, {"rcx": 1 << 31 | 7}])
def test_a_guest_flushes_its_own_asid_whatever_it_names(stale, operands):
    stale.step(INVLPGB + TLBSYNC, 2, **{"rax": 0, "rcx": 0, "rdx": 0, **operands})
    assert stale.exception is None and not writes(stale)


@pytest.mark.parametrize("code, exit_code", [(INVLPGB, exits.INVLPGB), (TLBSYNC, exits.TLBSYNC)])
def test_a_hypervisor_may_intercept_both(code, exit_code):
    class Intercepts(Hypervisor):
        intercepts = Hypervisor.intercepts | {exits.INVLPGB, exits.TLBSYNC}

    guest = Guest(hypervisor=Intercepts)
    guest.step(code, rax=0, rcx=0, rdx=0)
    assert guest.caught() == (VC, exit_code, CODE)


@pytest.mark.parametrize("feature", [
    vmsa.PREVENT_HOST_IBS, vmsa.BTB_ISOLATION, vmsa.SMT_PROTECTION, vmsa.IBPB_ON_ENTRY])
def test_features_against_what_is_not_there(feature):
    guest = Guest(features=vmsa.SNP_ACTIVE | feature)
    guest.step(NOP)
    assert guest.exception is None and not guest.hv.failures


@pytest.mark.parametrize("feature", [
    vmsa.PMC_VIRT, vmsa.IBS_VIRT, vmsa.GUEST_INTERCEPT_CTL, vmsa.VMSA_REG_PROT, vmsa.SECURE_AVIC, 1 << 30])
def test_features_that_cpuid_does_not_offer(feature):
    guest = Guest()
    guest.add_vmpl(2, sev_features=vmsa.SNP_ACTIVE | feature)
    guest.switch(2)
    assert guest.hv.failures[-1][:2] == (2, exits.INVALID)
