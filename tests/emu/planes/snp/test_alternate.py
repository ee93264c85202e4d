"""Alternate injection between hypervisor and SVSM: the records of the doorbell page, the notification, specific EOI,
and giving the interrupt controller back."""
import struct

import pytest

from emu.irq.apicbus import NMI, ApicMessage
from emu.planes.snp import exits, ghcb, vmsa
from jit import layout
from tests.emu.planes.snp.guest import CODE, HV, NOP, Guest

DOORBELL, NOTIFICATION = 0x58000, 0x50
RESTRICTED = vmsa.SNP_ACTIVE | vmsa.RESTRICTED_INJECTION
ALTERNATE = vmsa.SNP_ACTIVE | vmsa.ALTERNATE_INJECTION
LEVEL, SEVERAL, NMI_PENDING, VECTOR_31 = 1 << 10, 1 << 14, 1 << 8, 1 << 31
RECORD = 64 + 64                        # of VMPL2 in the doorbell page
FOR_VMPL2 = 2


@pytest.fixture
def guest():
    """VMPL0 under restricted injection with a doorbell page, VMPL2 under alternate injection."""
    guest = Guest(features=RESTRICTED)
    guest.share(DOORBELL)
    guest.request(exits.HV_DOORBELL, 1, DOORBELL)
    guest.add_vmpl(2, sev_features=ALTERNATE)
    for lapic in guest.vcpu.lapics:
        lapic.svr |= 0x100
    return guest


def interrupt(guest, vector, **kind):
    guest.vcpu.lapics[2].accept(ApicMessage(vector=vector, destination=0, **kind))


def record(guest):
    """(status, IRR of vectors 32 on as a set of bits, ISR) of VMPL2."""
    status, irr, isr = struct.unpack("<I28s32s", guest.hv.read_shared(DOORBELL + RECORD, 64))
    return status, int.from_bytes(irr, "little") << 32, int.from_bytes(isr, "little")


def write_record(guest, status=0, irr=0, isr=0):
    guest.hv.write_shared(DOORBELL + RECORD, struct.pack(
        "<I28s32s", status, (irr >> 32).to_bytes(28, "little"), isr.to_bytes(32, "little")))


def bits(*vectors):
    return sum(1 << vector for vector in vectors)


def take_hv(guest):
    """VMPL0 takes its #HV, and goes on."""
    guest.run(1)
    assert guest.vmpl == 0 and guest.exception == HV
    guest.resume(CODE)


def failed(answer):
    return (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.INVALID_INPUT)


def test_one_vector_stands_in_the_status_alone(guest):
    interrupt(guest, 0x40)
    assert record(guest) == (0x40, 0, 0) and guest.hv.read_shared(DOORBELL + 3, 1)[0] == FOR_VMPL2
    assert not guest.vcpu.lapics[2].irr


def test_further_vectors_are_gathered_in_the_irr(guest):
    for vector in (0x40, 0x52, 31):
        interrupt(guest, vector)
    assert record(guest) == (SEVERAL | VECTOR_31, bits(0x40, 0x52), 0)


def test_what_was_consumed_does_not_come_again(guest):
    interrupt(guest, 0x40)
    write_record(guest)
    interrupt(guest, 0x52)
    assert record(guest) == (0x52, 0, 0)


def test_a_level_triggered_vector_keeps_the_status(guest):
    interrupt(guest, 0x40)
    interrupt(guest, 0x61, level_triggered=True)
    interrupt(guest, 0x52)
    assert record(guest) == (0x61 | LEVEL | SEVERAL, bits(0x40, 0x52), 0)
    interrupt(guest, 0x62, level_triggered=True)            # has to wait for the first one's EOI
    assert record(guest)[0] & 0xFF == 0x61 and guest.vcpu.lapics[2].irr == bits(0x62)
    take_hv(guest)
    write_record(guest)
    ended = []
    guest.vcpu.lapics[2]._eoi = ended.append
    guest.request(exits.SPECIFIC_EOI, 2 << 16 | 0x61)
    assert ended == [0x61] and record(guest)[0] == 0x62 | LEVEL


def test_edge_triggered_vectors_have_no_eoi_for_io_apics(guest):
    ended = []
    guest.vcpu.lapics[2]._eoi = ended.append
    interrupt(guest, 0x40)
    take_hv(guest)
    guest.request(exits.SPECIFIC_EOI, 2 << 16 | 0x40)
    assert not ended
    assert failed(guest.request(exits.SPECIFIC_EOI, 3 << 16 | 0x40))        # there is no VMPL3


def test_an_nmi_is_the_managers_to_give(guest):
    guest.vcpu.lapics[2].accept(ApicMessage(vector=2, mode=NMI, destination=0))
    assert record(guest)[0] == NMI_PENDING and not guest.vcpu.planes[2].get(layout.NMI)


def test_an_nmi_under_restricted_injection_is_announced(guest):
    guest.vcpu.lapics[0].accept(ApicMessage(vector=2, mode=NMI, destination=0))
    guest.run(1)
    assert guest.exception == HV and guest.hv.read_shared(DOORBELL + 1, 1)[0] & 1
    assert not guest.plane.get(layout.NMI)


def test_the_manager_is_told_by_the_vector_it_chose(guest):
    guest.request(exits.CONFIGURE_INJECTION, NOTIFICATION)
    guest.switch(2)
    guest.step(NOP)
    interrupt(guest, 0x40)
    guest.run(1)
    assert guest.vmpl == 0 and guest.exception == HV
    assert guest.hv.read_shared(DOORBELL, 4) == bytes((NOTIFICATION, 0x80, 0, FOR_VMPL2))


@pytest.mark.parametrize("vector", [0, 30, 256, 1 << 40])
def test_a_notification_has_to_be_an_interrupts_vector(guest, vector):
    assert failed(guest.request(exits.CONFIGURE_INJECTION, vector))


def test_the_priority_of_a_vmpl_is_that_of_its_vmsa(guest):
    guest.vmsa(2)["vintr_ctrl"] = 5
    guest.switch(2)
    guest.run(1)
    interrupt(guest, 0x40)
    assert guest.vcpu.planes[2].get(layout.CR8) == 5


def test_the_interrupt_controller_is_given_back(guest):
    """IRR, ISR, TPR and NMI are the local APIC's again, and VMPL2 takes its interrupts without help."""
    interrupt(guest, 0x61, level_triggered=True)
    take_hv(guest)
    write_record(guest, SEVERAL | LEVEL | VECTOR_31 | 0x61, bits(0x90), bits(0x71))
    guest.enter()
    guest.vmsa(2)["sev_features"] = vmsa.SNP_ACTIVE
    answer = guest.request(exits.DISABLE_ALTERNATE_INJECTION, 2 << 16 | 0x30 << 8 | 1)
    lapic = guest.vcpu.lapics[2]
    assert answer["sw_exitinfo1"] == 0 and record(guest) == (0, 0, 0)
    assert (lapic.irr, lapic.isr, lapic.tpr) == (bits(31, 0x61, 0x90), bits(0x71), 0x30) and lapic.tmr == bits(0x61)
    guest.vmsa(2)["rflags"] = 0x202
    guest.switch(2)
    guest.run(1)
    assert guest.vmpl == 2 and guest.exception == 0x90
    guest.resume(CODE + 0x2000)
    interrupt(guest, 0xA0)
    assert record(guest) == (0, 0, 0) and lapic.irr & bits(0xA0)


def test_an_nmi_comes_back_too(guest):
    write_record(guest, NMI_PENDING)
    guest.enter()
    guest.vmsa(2)["sev_features"] = vmsa.SNP_ACTIVE
    guest.request(exits.DISABLE_ALTERNATE_INJECTION, 2 << 16)
    guest.switch(2)
    guest.run(1)
    assert guest.vmpl == 2 and guest.exception == 2


@pytest.mark.parametrize("vmpl", [0, 1, 3, 200])
def test_only_that_of_a_less_privileged_vmpl_can_be_given_back(guest, vmpl):
    if vmpl != 1:
        assert failed(guest.request(exits.DISABLE_ALTERNATE_INJECTION, vmpl << 16))
    guest.switch(2)
    assert failed(guest.request(exits.DISABLE_ALTERNATE_INJECTION, vmpl << 16))
