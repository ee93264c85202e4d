"""What SVSMs and kernels of others do first, step by step, as their sources have it: COCONUT-SVSM up to its guest at
VMPL2, Linux beneath an SVSM."""
import pytest

from emu.planes.snp import exits, ghcb, ghcb_msr, vmsa
from emu.planes.snp.hypervisor import Hypervisor
from jit import layout
from tests.emu.planes.snp.guest import (
    CODE,
    INVLPGB,
    NOP,
    PAGE,
    RAX,
    RDMSR,
    RDX,
    STACK,
    TLBSYNC,
    VMGEXIT,
    WRMSR,
    Guest,
)

COCONUT = vmsa.SNP_ACTIVE | vmsa.RESTRICTED_INJECTION | vmsa.DEBUG_SWAP
DOORBELL, GHCB_AT = 0x58000, 0x5A000
SEV_STATUS, GHCB_MSR, CAA_MSR = 0xC001_0131, 0xC001_0130, 0xC001_F000


@pytest.fixture
def svsm():
    """VMPL0 with the features that COCONUT's loader asks for, and a second vCPU that waits."""
    return Guest(features=COCONUT, vcpus=2)


def rdmsr(guest, index):
    guest.step(RDMSR, rcx=index)
    return guest.reg(RDX) << 32 | guest.reg(RAX)


def protocol(guest, value):
    """WRMSR of a request, VMGEXIT, RDMSR: all by instructions."""
    guest.step(WRMSR, rcx=GHCB_MSR, rax=value & 0xFFFF_FFFF, rdx=value >> 32)
    guest.step(VMGEXIT)
    return rdmsr(guest, GHCB_MSR)


def test_coconut_from_negotiation_to_its_doorbell(svsm):
    """SEV_STATUS; protocol version and C-bit; features; a page made shared: rescinded first, then by the MSR protocol;
    the GHCB registered and used; and made private again."""
    assert rdmsr(svsm, SEV_STATUS) == 3 | COCONUT << 2
    info = protocol(svsm, ghcb_msr.SEV_INFO_REQUEST)
    assert info & 0xFFF == 1 and info >> 24 & 0xFF == 51 and info >> 32 & 0xFFFF <= 2 <= info >> 48
    features = protocol(svsm, ghcb_msr.FEATURES_REQUEST)
    assert features & 0xFFF == 0x081 and features >> 12 & 0b100011 == 0b100011     # SNP, AP creation, several VMPLs
    assert svsm.validate(GHCB_AT, valid=0) == (0, 0, 1)
    assert protocol(svsm, GHCB_AT | 2 << 52 | 0x014) == 0x015
    assert protocol(svsm, GHCB_AT | 0x012) == GHCB_AT | 0x013
    svsm.hv.write_shared(GHCB_AT, bytes(4096))
    svsm.step(WRMSR, rcx=GHCB_MSR, rax=GHCB_AT, rdx=0)
    page = ghcb.Ghcb(bytearray(4096))
    page["sw_exitcode"], page["sw_exitinfo1"], page["sw_exitinfo2"] = exits.HV_DOORBELL, 0, 0
    svsm.hv.write_shared(GHCB_AT, bytes(page.page))
    svsm.step(VMGEXIT)
    answer = ghcb.Ghcb(bytearray(svsm.hv.read_shared(GHCB_AT, 4096)))
    assert answer["sw_exitinfo2"] == (1 << 64) - 1 and rdmsr(svsm, GHCB_MSR) == GHCB_AT
    assert protocol(svsm, GHCB_AT | 1 << 52 | 0x014) == 0x015
    assert svsm.validate(GHCB_AT) == (0, 0, 1)


def test_coconut_starts_its_guest_on_its_own_and_another_processor(svsm):
    """The VMSA's page: taken from VMPL2, made a VMSA, flushed; registered by AP creation on INIT; run. VMPL0 of
    the other processor likewise."""
    for vmpl in (1, 2, 3):
        assert svsm.adjust(PAGE, vmpl, 0xF) == 0
    for at in (CODE + 0x2000, STACK + 0x2000, 0x10000, 0x11000, 0x12000, 0x13000):
        assert svsm.adjust(at, 2, 0xF) == 0
    svsm.make_vmsa(2, sev_features=vmsa.SNP_ACTIVE)
    gpa = svsm.vmsa_at(2)
    svsm.put(NOP * 16, CODE + 0x2000)
    assert svsm.adjust(gpa, 2, 0, vmsa=1) == 0
    svsm.step(INVLPGB + TLBSYNC, 2, rax=0, rcx=0, rdx=0)
    answer = svsm.request(exits.AP_CREATION, 0 | 2 << 16 | 0 << 32, gpa, rax=vmsa.SNP_ACTIVE)
    assert answer["sw_exitinfo1"] == 0 and svsm.vmpl == 0
    svsm.step(WRMSR, rcx=GHCB_MSR, rax=0x016, rdx=2)
    svsm.step(VMGEXIT)
    assert svsm.vmpl == 2
    svsm.run(1)
    assert svsm.reg(layout.RIP) == CODE + 0x2001
    svsm.switch(0)
    second = svsm.make_vmsa(0, vcpu=1, vmpl=0, sev_features=COCONUT)
    assert svsm.adjust(second, 1, 0, vmsa=1) == 0
    answer = svsm.request(exits.AP_CREATION, 1 | 0 << 16 | 1 << 32, second, rax=COCONUT)
    assert answer["sw_exitinfo1"] == 0
    other = svsm.m.vcpus[1]
    assert other.plane.get(layout.ACTIVITY) == 0
    svsm.put(NOP * 16, CODE)
    svsm.run(1, other)
    assert other.plane.get(layout.RIP) == CODE + 1


def test_an_idle_svsm_is_woken_by_its_doorbell(svsm):
    """The doorbell page is set, the timer's interrupt rings it, HLT ends by #HV, EOI goes by an x2APIC MSR through the
    GHCB."""
    svsm.share(DOORBELL)
    assert svsm.request(exits.HV_DOORBELL, 1, DOORBELL)["sw_exitinfo2"] == DOORBELL
    for index, value in ((0x1B, 0xFEE00D00), (0x80F, 0x1FF), (0x832, 0x44), (0x83E, 0xB), (0x838, 500)):
        answer = svsm.request(exits.MSR, 1, 0, rcx=index, rax=value, rdx=0)
        assert answer["sw_exitinfo1"] == 0, hex(index)
    svsm.step(b"\xfb\xf4", 2)
    svsm.m.stopping, svsm.m.reschedule = None, False
    svsm.m.run(max_insns=1)
    assert svsm.exception == 28 and svsm.hv.read_shared(DOORBELL, 2) == bytes((0x44, 0x80))
    svsm.resume(CODE)
    svsm.hv.write_shared(DOORBELL, bytes(2))
    assert svsm.vcpu.lapics[0].isr >> 0x44 & 1
    assert svsm.request(exits.MSR, 1, 0, rcx=0x80B, rax=0, rdx=0)["sw_exitinfo1"] == 0
    assert not svsm.vcpu.lapics[0].isr


class Quiet(Hypervisor):
    """Faults end the slice."""

    def vmpl_fault(self, vcpu, fault):
        self.machine.reschedule = True


def test_linux_finds_that_it_is_not_at_vmpl0():
    """RMPADJUST for VMPL1 fails beneath an SVSM, PVALIDATE raises #GP, and the calling area's MSR is the SVSM's to
    answer: the hypervisor refuses it."""
    guest = Guest(hypervisor=Quiet)
    guest.add_vmpl(2)
    guest.switch(2)
    assert guest.adjust(PAGE, 1, 0xF) == 2
    answer = guest.request(exits.MSR, 0, 0, rcx=CAA_MSR)
    assert answer["sw_exitinfo1"] == 1 and answer["sw_exitinfo2"] & 0xFF == 13
    guest.validate(PAGE)
    assert guest.exception == 13
