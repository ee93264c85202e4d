"""Interrupts for VMPLs: restricted and alternate injection; tN: number in the SNP scenario list."""
import pytest

from emu.irq.apicbus import ApicMessage
from emu.planes.snp import exits, ghcb, injection, vmsa
from emu.planes.snp.rmp import Entry
from jit import layout
from tests.emu.planes.snp.guest import CODE, HV, IDT, NOP, PAGE, Guest

DOORBELL = 0x58000
RESTRICTED = vmsa.SNP_ACTIVE | vmsa.RESTRICTED_INJECTION
ALTERNATE = vmsa.SNP_ACTIVE | vmsa.ALTERNATE_INJECTION
NO_FURTHER_SIGNAL, NMI_PENDING = 0x80, 1
VALID, EXCEPTION = vmsa.EVENT_VALID, vmsa.EVENT_EXCEPTION


@pytest.fixture
def guest():
    """VMPL0 under restricted injection, with a doorbell page."""
    guest = Guest(features=RESTRICTED)
    guest.share(DOORBELL)
    assert guest.request(exits.HV_DOORBELL, 1, DOORBELL)["sw_exitinfo2"] == DOORBELL
    guest.vcpu.lapics[0].svr |= 0x100
    return guest


def interrupt(guest, vector, vmpl=0):
    guest.vcpu.lapics[vmpl].svr |= 0x100
    guest.vcpu.lapics[vmpl].accept(ApicMessage(vector=vector, destination=0))


def doorbell(guest, clear=()):
    """The page's first bytes; those of `clear` become 0 then, as when the guest takes them."""
    page = bytearray(guest.hv.read_shared(DOORBELL, 4))
    found = bytes(page)
    for at in clear:
        page[at] = 0
    guest.hv.write_shared(DOORBELL, bytes(page))
    return found


@pytest.mark.parametrize("event, problem", [
    (0x30 | VALID, True), (HV | EXCEPTION | VALID, False), (HV | VALID, True), (2 | vmsa.EVENT_NMI | VALID, True),
    (HV | EXCEPTION | vmsa.EVENT_ERROR_VALID | VALID, True), (0, False)])
def test_t68_what_restricted_injection_takes(guest, event, problem):
    assert bool(injection.event_problem(event, restricted=True)) is problem


def test_t68_hv_is_delivered(guest):
    interrupt(guest, 0x30)
    guest.run(1)
    assert guest.exception == HV and doorbell(guest)[:2] == bytes((0x30, NO_FURTHER_SIGNAL))
    assert guest.frame(1)[0] == CODE + 4           # no error code: the return address


def test_t69_one_signal_for_many(guest):
    interrupt(guest, 0x30)
    interrupt(guest, 0x50)
    guest.run(1)
    assert guest.exception == HV
    guest.resume(CODE)
    guest.step(NOP)
    assert guest.exception is None
    seen = []
    while True:                             # the guest's protocol: clear the flag, take vectors until there is none
        page = doorbell(guest, clear=(0, 1))
        if not page[0]:
            break
        seen.append(page[0])
        guest.vcpu.lapics[0].write_register(0xB0, 0)
        guest.hv.post(guest.vcpu, 0)
    assert seen == [0x30, 0x50]


@pytest.mark.parametrize("at", range(4))
def test_t70_a_signal_at_each_instruction_of_a_window(guest, at):
    """A handler that finds RIP in the window sends it to the cancel label: VMGEXIT is not executed after that."""
    window, cancel = CODE + 0x100, CODE + 0x200
    guest.put(NOP * 3 + b"\xf3\x0f\x01\xd9", window)
    guest.put(NOP * 8, cancel)
    guest.resume(window)
    guest.run(at)
    interrupt(guest, 0x30)
    guest.run(1)
    assert guest.exception == HV
    rip = guest.frame(1)[0]
    assert window <= rip <= window + 3
    before = dict(guest.hv.exits)
    guest.resume(cancel)
    guest.run(4)
    assert guest.hv.exits == before and guest.reg(layout.RIP) == cancel + 4


def test_t71_it_cannot_be_masked(guest):
    guest.step(b"\xfa")
    interrupt(guest, 0x30)
    guest.run(1)
    assert guest.exception == HV


def test_an_nmi_is_a_flag_of_the_page(guest):
    guest.plane.set(layout.NMI, 1)
    guest.hv.post(guest.vcpu, 0)
    guest.run(1)
    assert guest.exception == HV and doorbell(guest)[1] == NMI_PENDING | NO_FURTHER_SIGNAL


def test_without_a_doorbell_page_interrupts_wait():
    guest = Guest(features=RESTRICTED)
    interrupt(guest, 0x30)
    guest.step(NOP)
    assert guest.exception is None and guest.vcpu.lapics[0].pending()


def test_the_doorbell_page_can_be_asked_for(guest):
    assert guest.request(exits.HV_DOORBELL, 0)["sw_exitinfo2"] == (1 << 64) - 1
    assert guest.request(exits.HV_DOORBELL, 2)["sw_exitinfo2"] == DOORBELL
    answer = guest.request(exits.HV_DOORBELL, 1, DOORBELL + 8)
    assert (answer["sw_exitinfo1"], answer["sw_exitinfo2"]) == (ghcb.MALFORMED, ghcb.INVALID_INPUT)
    assert guest.request(exits.HV_DOORBELL, 2)["sw_exitinfo2"] == 0
    assert guest.request(exits.HV_DOORBELL, 1, PAGE)["sw_exitinfo1"] == ghcb.MALFORMED       # private


def test_an_ipi_is_posted(guest):
    guest.request(exits.HV_IPI, 0x40031)            # to itself
    guest.run(1)
    assert doorbell(guest)[0] == 0x31


def test_t62_an_interrupt_for_vmpl2_while_vmpl0_runs(guest):
    guest.add_vmpl(2, sev_features=ALTERNATE)
    interrupt(guest, 0x40, vmpl=2)
    guest.step(NOP)
    assert guest.vmpl == 0 and doorbell(guest)[3] == 1 << 1
    assert guest.exception == HV


# --- alternate injection ---------------------------------------------------------------------------------------------


@pytest.fixture
def managed():
    """VMPL2 takes its events from its VMSA, and reflects #VC."""
    guest = Guest()
    guest.add_vmpl(2, sev_features=ALTERNATE | vmsa.REFLECT_VC)
    return guest


def test_t72_an_event_of_the_vmsa(managed):
    managed.vmsa(2)["eventinj"] = 0x31 | VALID
    managed.switch(2)
    managed.run(1)
    assert managed.vmpl == 2 and managed.exception == 0x31
    assert not managed.vmsa(2)["eventinj"] & VALID
    interrupt(managed, 0x55, vmpl=2)        # the hypervisor's own events do not count
    managed.resume(CODE + 0x2800)
    managed.step(b"\xfb" + NOP, 2)
    assert managed.exception is None


def test_t72_an_interrupt_request_of_the_vmsa(managed):
    managed.vmsa(2)["vintr_ctrl"] = vmsa.V_IRQ | 4 << vmsa.V_PRIORITY_SHIFT | 0x41 << vmsa.V_VECTOR_SHIFT
    managed.switch(2)
    managed.step(NOP)
    assert managed.exception is None        # IF = 0
    managed.step(b"\xfb" + NOP, 2)
    managed.run(1)
    assert managed.exception == 0x41 and not managed.vmsa(2)["vintr_ctrl"] & vmsa.V_IRQ


def unreadable_idt(managed):
    """The hypervisor takes the IDT's page back while VMPL0 has one of its own."""
    managed.enter()
    managed.rmp.update(IDT >> 12, Entry(True, managed.snp.asid, IDT >> 12))


def test_t73_an_event_whose_delivery_does_not_end(managed):
    managed.vmsa(2)["eventinj"] = 0x31 | VALID
    unreadable_idt(managed)
    managed.switch(2)
    managed.run(1)
    state = managed.vmsa(2)
    assert state["guest_exitcode"] == exits.PAGE_NOT_VALIDATED
    assert state["guest_exitintinfo"] == 0x31 | VALID and state["vintr_ctrl"] & vmsa.V_BUSY
    managed.switch(2)
    assert managed.hv.failures[-1][:2] == (2, exits.BUSY)
    managed.snp.planes.permit(managed.vcpu, 2, False)
    managed.snp.planes.permit(managed.vcpu, 0, True)
    managed.run(0)
    managed.rmp.validate(IDT >> 12, True)
    managed.rmp.permissions[2, IDT >> 12] = 0x1F
    managed.rmp.changed(IDT >> 12, 1)
    state["eventinj"] = state["guest_exitintinfo"]
    state["vintr_ctrl"] &= ~vmsa.V_BUSY
    managed.switch(2)
    managed.run(1)
    assert managed.vmpl == 2 and managed.exception == 0x31


def test_t74_a_software_interrupt_is_executed_again(managed):
    managed.switch(2)
    rip = managed.reg(layout.RIP)
    unreadable_idt(managed)
    managed.step(b"\xcc")
    state = managed.vmsa(2)
    assert managed.vmpl == 0 and state["rip"] == rip and not state["guest_exitintinfo"] & VALID
    managed.rmp.validate(IDT >> 12, True)
    managed.rmp.permissions[2, IDT >> 12] = 0x1F
    managed.rmp.changed(IDT >> 12, 1)
    state["vintr_ctrl"] &= ~vmsa.V_BUSY
    managed.switch(2)
    managed.run(1)
    assert managed.exception == 3



@pytest.mark.parametrize("features", [RESTRICTED | vmsa.ALTERNATE_INJECTION])
def test_t75_modes_that_exclude_each_other(features):
    guest = Guest()
    guest.add_vmpl(2, sev_features=features)
    guest.switch(2)
    assert guest.hv.failures[-1][:2] == (2, exits.INVALID) and "exclude" in guest.hv.failures[-1][2]


@pytest.fixture
def devices():
    """VMPL0 and VMPL2 run; COM1's pin of the I/O APIC is programmed: level-triggered, vector 0x44, for APIC ID 0."""
    guest = Guest()
    guest.add_vmpl(2)
    ioapic = guest.m.pc.ioapic
    for register, value in ((0x10 + 2 * 4, 0x44 | 1 << 15), (0x11 + 2 * 4, 0)):
        ioapic.mmio_write(0, 4, register)
        ioapic.mmio_write(0x10, 4, value)
    for lapic in guest.vcpu.lapics:
        lapic.svr |= 0x100
    return guest


def test_devices_interrupt_the_least_privileged_vmpl(devices):
    """And its EOI reaches the I/O APIC: a level that is still asserted interrupts again."""
    first, second = devices.vcpu.lapics[0], devices.vcpu.lapics[2]
    devices.m.pc.ioapic.set_irq(4, True)
    assert second.irr >> 0x44 & 1 and not first.irr
    devices.switch(2)
    devices.step(b"\xfb\x90\x90", 3)
    assert devices.vmpl == 2 and devices.exception == 0x44 and not second.irr
    second.write_register(0xB0, 0)
    assert second.irr >> 0x44 & 1
    devices.m.pc.ioapic.set_irq(4, False)


def test_a_hypervisor_may_give_devices_to_another_vmpl(devices):
    devices.hv.device_vmpl = lambda: 0
    devices.m.pc.ioapic.set_irq(4, True)
    assert devices.vcpu.lapics[0].irr >> 0x44 & 1 and not devices.vcpu.lapics[2].irr


def test_the_8259_interrupts_it_too(devices):
    second = devices.vcpu.lapics[2]
    second.write_register(0x350, 0x700)                 # LVT LINT0: ExtINT, not masked
    pic = devices.m.pc.pic
    for port, value in ((0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0xEF)):
        pic.port_write(port, 1, value)
    pic.set_irq(4, True)
    assert second.pending() and not devices.vcpu.lapics[0].pending()
    devices.switch(2)
    devices.step(b"\xfb\x90\x90", 3)
    assert devices.vmpl == 2 and devices.exception == 0x24


def test_vmpl0_has_them_as_long_as_it_is_alone():
    assert Guest().hv.device_vmpl() == 0
