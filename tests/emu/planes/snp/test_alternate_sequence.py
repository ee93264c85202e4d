"""An SVSM that gives out the interrupts of its guest, as COCONUT-SVSM does: the test does in guest memory what its code
at VMPL0 would do between #HV and the request to run VMPL2."""
import struct

import pytest

from emu.irq.apicbus import ApicMessage
from emu.planes.snp import exits, vmsa
from jit import layout
from tests.emu.planes.snp.guest import CODE, HV, NOP, RAX, RDMSR, RDX, VC, Guest

DOORBELL, NOTIFICATION = 0x58000, 0x50
RESTRICTED = vmsa.SNP_ACTIVE | vmsa.RESTRICTED_INJECTION | vmsa.DEBUG_SWAP
ALTERNATE = vmsa.SNP_ACTIVE | vmsa.ALTERNATE_INJECTION
STI, CLI, HLT = b"\xfb", b"\xfa", b"\xf4"
NO_FURTHER_SIGNAL = 0x80


class Svsm(Guest):
    """VMPL0 with a doorbell page and a notification vector, and VMPL2, which has run up to a NOP with RFLAGS.IF = 1."""

    def __init__(self, engine="interp"):
        super().__init__(engine, features=RESTRICTED)
        self.share(DOORBELL)
        assert self.request(exits.HV_DOORBELL, 1, DOORBELL)["sw_exitinfo2"] == DOORBELL
        assert self.request(exits.CONFIGURE_INJECTION, NOTIFICATION)["sw_exitinfo1"] == 0
        self.add_vmpl(2, sev_features=ALTERNATE)
        for lapic in self.vcpu.lapics:
            lapic.svr |= 0x100
        self.switch(2)
        self.step(STI + NOP, 2)

    def interrupt(self, vector, **kind):
        """A device's, or the timer's, for VMPL2."""
        self.vcpu.lapics[2].accept(ApicMessage(vector=vector, destination=0, **kind))

    def signalled(self):
        """VMPL0 takes its #HV, and consumes what the doorbell page has for VMPL2: the vector."""
        self.run(1)
        assert self.vmpl == 0 and self.exception == HV
        self.resume(CODE)
        page = bytearray(self.hv.read_shared(DOORBELL, 192))
        assert page[0] == NOTIFICATION and page[1] == NO_FURTHER_SIGNAL and page[3] == 1 << 1
        status, = struct.unpack_from("<I", page, 64 + 64)
        page[0] = page[1] = page[3] = 0
        page[128:132] = bytes(4)
        self.hv.write_shared(DOORBELL, bytes(page))
        return status & 0xFF

    def inject(self, vector):
        """Deliver now: EVENTINJ."""
        self.vmsa(2)["eventinj"] = vector | vmsa.EVENT_VALID

    def queue(self, vector):
        """Deliver once VMPL2 can take it: V_IRQ."""
        self.vmsa(2)["vintr_ctrl"] |= (
            vmsa.V_IRQ | vector >> 4 << vmsa.V_PRIORITY_SHIFT | vector << vmsa.V_VECTOR_SHIFT)


@pytest.fixture(params=["interp", "auto"])
def svsm(request):
    return Svsm(request.param)


def test_an_interrupt_goes_through_the_svsm(svsm):
    svsm.interrupt(0x41)
    assert svsm.signalled() == 0x41
    svsm.inject(0x41)
    svsm.switch(2)
    svsm.run(1)
    assert svsm.vmpl == 2 and svsm.exception == 0x41 and not svsm.vmsa(2)["eventinj"] & vmsa.EVENT_VALID
    assert not svsm.vcpu.lapics[2].isr                  # what is in service is the SVSM's to know


def test_one_that_cannot_be_taken_yet_is_queued(svsm):
    svsm.step(CLI)
    svsm.interrupt(0x41)
    assert svsm.signalled() == 0x41
    svsm.queue(0x41)
    svsm.switch(2)
    svsm.step(NOP)
    assert svsm.exception is None and svsm.vmsa(2)["vintr_ctrl"] & vmsa.V_IRQ
    svsm.step(STI + NOP, 2)
    svsm.run(1)
    assert svsm.vmpl == 2 and svsm.exception == 0x41 and not svsm.vmsa(2)["vintr_ctrl"] & vmsa.V_IRQ


def test_a_queued_one_waits_for_the_priority(svsm):
    svsm.interrupt(0x41)
    svsm.signalled()
    svsm.vmsa(2)["vintr_ctrl"] = 5
    svsm.queue(0x41)
    svsm.switch(2)
    svsm.step(NOP + b"\x44\x0f\x20\xc0", 2)             # mov rax, cr8
    assert svsm.exception is None and svsm.reg(RAX) == 5
    svsm.step(b"\x44\x0f\x22\xc0" + NOP, 2, rax=3)      # mov cr8, rax
    svsm.run(1)
    assert svsm.exception == 0x41


def test_a_queued_one_is_taken_back(svsm):
    """Before it queues a more important one, an SVSM clears V_IRQ, and finds out whether the first was taken."""
    svsm.step(CLI)
    svsm.interrupt(0x41)
    svsm.signalled()
    svsm.queue(0x41)
    svsm.switch(2)
    svsm.step(NOP)
    svsm.interrupt(0x91)
    assert svsm.signalled() == 0x91
    assert svsm.vmsa(2)["vintr_ctrl"] & vmsa.V_IRQ
    svsm.vmsa(2)["vintr_ctrl"] = 0
    svsm.queue(0x91)
    svsm.switch(2)
    svsm.step(STI + NOP, 2)
    svsm.run(1)
    assert svsm.exception == 0x91


def test_a_guest_that_halted_goes_on(svsm):
    svsm.step(HLT)
    rip = svsm.reg(layout.RIP)
    assert not svsm.vcpu.runs()
    svsm.interrupt(0x41)
    assert svsm.vcpu.runs() and svsm.signalled() == 0x41
    svsm.inject(0x41)
    svsm.switch(2)
    svsm.run(1)
    assert svsm.vmpl == 2 and svsm.exception == 0x41 and svsm.frame(1)[0] == rip


def test_a_guest_that_halted_goes_on_without_an_interrupt(svsm):
    """What VMPL0 asks for is VMRUN, and the VMSA knows nothing of HLT."""
    svsm.step(HLT)
    rip = svsm.reg(layout.RIP)
    svsm.interrupt(0x41)
    svsm.signalled()
    svsm.put(NOP, rip)
    svsm.switch(2)
    svsm.run(1)
    assert svsm.vmpl == 2 and svsm.reg(layout.RIP) == rip + 1


def test_an_nmi_is_requested_in_the_vmsa(svsm):
    svsm.switch(0)
    svsm.vmsa(2)["vintr_ctrl"] |= vmsa.V_NMI | vmsa.V_NMI_ENABLE
    svsm.switch(2)
    svsm.run(1)
    assert svsm.vmpl == 2 and svsm.exception == 2
    svsm.resume(CODE + 0x2000)
    svsm.switch(0)
    control = svsm.vmsa(2)["vintr_ctrl"]
    assert control & vmsa.V_NMI_MASK and not control & vmsa.V_NMI


def test_its_local_apic_is_reached_by_vc(svsm):
    """x2APIC MSRs of a VMPL under alternate injection exit, which is #VC there."""
    svsm.step(RDMSR, rcx=0x802)
    assert svsm.caught()[:2] == (VC, exits.MSR)
    svsm.resume(CODE + 0x2800)
    for index, value in ((0x1B, 0xFEE00D00), (0x80F, 0x1FF), (0x832, 0x42), (0x83E, 0xB)):
        assert svsm.request(exits.MSR, 1, 0, rcx=index, rax=value, rdx=0)["sw_exitinfo1"] == 0


def test_its_timer_is_the_hosts(svsm):
    for index, value in ((0x1B, 0xFEE00D00), (0x80F, 0x1FF), (0x832, 0x42), (0x83E, 0xB), (0x838, 500)):
        assert svsm.request(exits.MSR, 1, 0, rcx=index, rax=value, rdx=0)["sw_exitinfo1"] == 0
    svsm.step(HLT)
    svsm.m.stopping, svsm.m.reschedule = None, False
    svsm.m.run(max_insns=1)
    assert svsm.vmpl == 0 and svsm.exception == HV
    svsm.reg(RDX)
    assert svsm.hv.read_shared(DOORBELL + 128, 1)[0] == 0x42
