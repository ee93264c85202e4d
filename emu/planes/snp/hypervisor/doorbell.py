"""#HV and its doorbell page: interrupts under restricted injection (GHCB specification, 5; APM Vol. 2 15.36.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.mem.ram import PAGE
from emu.planes.snp import ghcb, injection, vmsa
from emu.planes.snp.hypervisor.base import Base
from emu.planes.snp.hypervisor.call import Call, Malformed
from emu.waiting import HALTED, RUNNING
from jit import layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.vcpu import VCpu

PREFERRED, SET, QUERY, CLEAR = range(4)         # operations of HV_DOORBELL
NO_PAGE = (1 << 64) - 1
# Of the page: the vector that waits, flags, and per-VMPL events
VECTOR, FLAGS, VMPL_EVENTS = 0, 1, 3
NMI_PENDING, NO_FURTHER_SIGNAL = 1, 1 << 7
EVENT_HV = injection.HV | vmsa.EVENT_EXCEPTION | vmsa.EVENT_VALID


class Doorbells(Base):
    """Interrupts for planes with restricted injection; all others take them as processors do."""

    def hv_doorbell(self, call: Call) -> None:
        """INFO1: the operation; INFO2: the page."""
        operation, gpa = call.info
        channel = self.channel(call.vcpu)
        if operation == PREFERRED:
            call.info2 = NO_PAGE
        elif operation == SET:
            if gpa % PAGE or self.shared_page(gpa) is None:
                channel.doorbell = 0
                raise Malformed(ghcb.INVALID_INPUT)
            channel.doorbell = call.info2 = gpa
            call.after = lambda: self.post(call.vcpu, call.number)
        elif operation == QUERY:
            call.info2 = channel.doorbell
        elif operation == CLEAR:
            channel.doorbell = 0
        else:
            channel.doorbell = 0
            raise Malformed(ghcb.INVALID_INPUT)

    def hv_ipi(self, call: Call) -> None:
        """INFO1 is written to the interrupt command register, as x2APIC has it."""
        lapic = call.vcpu.lapics[call.number]
        lapic.icr = call.info[0]
        lapic.send_icr()

    def restricted(self, vcpu: VCpu, number: int) -> bool:
        """Whether a plane takes #HV alone."""
        return self.guest.vps[vcpu.index].contexts[number].has(vmsa.RESTRICTED_INJECTION)

    def interrupt_changed(self, vcpu: VCpu, number: int) -> None:
        """A plane's local APIC may have an interrupt for it."""
        if number >= len(self.guest.vps[vcpu.index].contexts):
            return
        context = self.guest.vps[vcpu.index].contexts[number]
        if self.restricted(vcpu, number):
            vcpu.planes[number].set(layout.INTERRUPT, 0)
            self.post(vcpu, number)
        elif context.has(vmsa.ALTERNATE_INJECTION):
            vcpu.planes[number].set(layout.INTERRUPT, 0)

    def post(self, vcpu: VCpu, number: int) -> None:
        """Write the vector that waits into the doorbell page if it is free, and ring once for as many as come."""
        channel, lapic, plane = self.channel(vcpu, number), vcpu.lapics[number], vcpu.planes[number]
        page = bytearray(self.read_shared(channel.doorbell, PAGE) or b"") if channel.doorbell else bytearray()
        if not page or not self.restricted(vcpu, number):
            return
        news = False
        if plane.get(layout.NMI):
            plane.set(layout.NMI, 0)
            page[FLAGS] |= NMI_PENDING
            news = True
        if lapic.pending() and page[VECTOR] == 0:
            page[VECTOR] = lapic.acknowledge()
            news = True
        if not news:
            return
        if not page[FLAGS] & NO_FURTHER_SIGNAL:
            page[FLAGS] |= NO_FURTHER_SIGNAL
            self.ring(vcpu, number)
        self.write_shared(channel.doorbell, bytes(page[:8]))

    def ring(self, vcpu: VCpu, number: int) -> None:
        """Let the plane have #HV before its next instruction, whatever RFLAGS.IF."""
        plane = vcpu.planes[number]
        plane.set(layout.INTERRUPT, layout.UNMASKABLE)
        if plane.get(layout.ACTIVITY) == HALTED:
            plane.set(layout.ACTIVITY, RUNNING)

    def injects(self, vcpu: VCpu, plane: Plane) -> bool:
        """What INTERRUPT announced is to be delivered; False: as processors without SNP do."""
        if not self.restricted(vcpu, plane.number):
            return False
        plane.set(layout.INTERRUPT, 0)
        injection.inject(plane, EVENT_HV)
        return True

    # --- alternate injection -------------------------------------------------------------------------------------

    def configure_injection(self, call: Call) -> None:
        """INFO1: the vector that tells the manager of events for the VMPLs that it looks after."""
        self.channel(call.vcpu).notification = call.info[0] & 0xFF

    def disable_alternate_injection(self, call: Call) -> None:
        """The interrupt controller of a VMPL is the hypervisor's again."""
        self.guest.report("GHCB exit disable alternate injection")
        raise Malformed(ghcb.INVALID_EVENT)

    def specific_eoi(self, call: Call) -> None:
        """INFO1: VMPL in bits 23:16, vector in bits 7:0."""
        info, _ = call.info
        vmpl, vector = info >> 16 & 0xFF, info & 0xFF
        if vmpl >= len(call.vcpu.lapics):
            raise Malformed(ghcb.INVALID_INPUT)
        lapic = call.vcpu.lapics[vmpl]
        lapic.isr &= ~(1 << vector)
        call.vcpu.interrupt_changed(vmpl)
