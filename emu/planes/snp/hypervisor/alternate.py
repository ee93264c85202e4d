"""Interrupts for VMPLs under alternate injection: a more privileged VMPL gives them out, and learns of them from
records in its own #HV doorbell page, one for each of VMPL1 to VMPL3 (GHCB specification, 5 and the exits
CONFIGURE_INJECTION to SPECIFIC_EOI; APM Vol. 2 15.36.16)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emu.planes.snp import ghcb, injection, vmsa
from emu.planes.snp.hypervisor.call import Call, Malformed
from emu.planes.snp.hypervisor.doorbell import VECTOR, VMPL_EVENTS, Doorbells
from jit import layout

if TYPE_CHECKING:
    from emu.plane import Plane
    from emu.vcpu import VCpu

# A record: u32 status, u32 IRR[7] from vector 32 on, u32 ISR[8]
RECORD = struct.Struct("<I28s32s")
STATUS_VECTOR, STATUS_NMI, STATUS_LEVEL, STATUS_SEVERAL, STATUS_VECTOR_31 = 0xFF, 1 << 8, 1 << 10, 1 << 14, 1 << 31
FIRST_IN_IRR, LOWEST_VECTOR = 32, 31
# DISABLE_ALTERNATE_INJECTION and SPECIFIC_EOI: SW_EXITINFO1
INFO_VMPL_SHIFT, INFO_TPR_SHIFT = 16, 8


class Record:
    """What waits for one VMPL. One vector stands in the status. A second one lets all stand in the IRR, which
    STATUS_SEVERAL announces; only a level-triggered vector keeps its place, since its EOI is to come back."""

    def __init__(self, page: bytearray, vmpl: int) -> None:
        self._page, self._at = page, RECORD.size * vmpl
        self.status, irr, isr = RECORD.unpack_from(page, self._at)
        self.irr = int.from_bytes(irr, "little") << FIRST_IN_IRR
        self.isr = int.from_bytes(isr, "little")

    def store(self) -> None:
        """Write it to the page."""
        irr, isr = (self.irr >> FIRST_IN_IRR).to_bytes(28, "little"), self.isr.to_bytes(32, "little")
        RECORD.pack_into(self._page, self._at, self.status, irr, isr)

    def add(self, vector: int, level: bool) -> bool:
        """Note a vector. False: a level-triggered one has to wait until that before it was consumed."""
        present, present_level = self.status & STATUS_VECTOR, bool(self.status & STATUS_LEVEL)
        if level and present and present_level:
            return present == vector
        if level or not present and not self.status & STATUS_SEVERAL:
            if present:
                self._gather(present)
            self.status |= vector | (STATUS_LEVEL if level else 0)
            return True
        if not present_level and present:
            self._gather(present)
        self._gather(vector)
        return True

    def _gather(self, vector: int) -> None:
        if not self.status & STATUS_LEVEL:
            self.status &= ~STATUS_VECTOR
        self.status |= STATUS_SEVERAL
        if vector == LOWEST_VECTOR:
            self.status |= STATUS_VECTOR_31
        else:
            self.irr |= 1 << vector

    def vectors(self) -> tuple[int, int]:
        """All vectors that wait, as a set of bits, and those of them that are level-triggered."""
        found = self.irr | (1 << LOWEST_VECTOR if self.status & STATUS_VECTOR_31 else 0)
        vector = self.status & STATUS_VECTOR
        level = 1 << vector if vector and self.status & STATUS_LEVEL else 0
        single = 1 << vector if vector and not self.status & STATUS_SEVERAL else 0
        return found | single | level, level


class AlternateInjection(Doorbells):
    """The hypervisor's part of it."""

    def alternate(self, vcpu: VCpu, number: int) -> bool:
        """Whether a plane takes the events of its VMSA alone."""
        return bool(self.features_of(vcpu, number) & vmsa.ALTERNATE_INJECTION)

    def interrupt_changed(self, vcpu: VCpu, number: int) -> None:
        """What its local APIC has for such a plane is its manager's to know; it takes what VINTR_CTRL requests."""
        if not self.alternate(vcpu, number):
            super().interrupt_changed(vcpu, number)
            return
        plane, page = vcpu.planes[number], self.guest.vps[vcpu.index].contexts[number].page
        wants = page is not None and injection.requested(self.guest.world.view(page), plane.get(layout.CR8))
        plane.set(layout.INTERRUPT, int(wants not in (None, False)))
        self.post_for(vcpu, number)

    def injects(self, vcpu: VCpu, plane: Plane) -> bool:
        """What INTERRUPT announced is to be delivered; False: as processors without SNP do."""
        context = self.guest.vps[vcpu.index].contexts[plane.number]
        if context.has(vmsa.ALTERNATE_INJECTION) and context.page is not None:
            injection.take(plane, self.guest.world.view(context.page))
            return True
        return super().injects(vcpu, plane)

    def post_for(self, vcpu: VCpu, number: int) -> None:
        """Tell the manager of a plane what its local APIC has for it, in the manager's doorbell page."""
        manager, lapic, channel = self.manager(vcpu, number), vcpu.lapics[number], self.channel(vcpu, number)
        page = self.doorbell_page(vcpu, manager) if manager != number and (lapic.irr or channel.nmi) else None
        if page is None:
            return
        record = Record(page, number)
        if channel.nmi:
            record.status |= STATUS_NMI
            channel.nmi = False
        for vector in (n for n in range(LOWEST_VECTOR, 256) if lapic.irr >> n & 1):
            if record.add(vector, bool(lapic.tmr >> vector & 1)):
                lapic.irr &= ~(1 << vector)
        record.store()
        page[VMPL_EVENTS] |= 1 << number - 1
        notification = self.channel(vcpu, manager).notification
        if notification and page[VECTOR] == 0:
            page[VECTOR] = notification
        self.ring(vcpu, manager, page)

    def configure_injection(self, call: Call) -> None:
        """INFO1: the vector that tells the manager of events for the VMPLs that it looks after."""
        vector = call.info[0]
        if not LOWEST_VECTOR <= vector < 256:
            raise Malformed(ghcb.INVALID_INPUT)
        self.channel(call.vcpu).notification = vector

    def disable_alternate_injection(self, call: Call) -> None:
        """The interrupt controller of a VMPL is the hypervisor's again. INFO1: VMPL in bits 23:16, its TPR in 15:8 (the
        rest is of use to who cannot see it). The caller left what waits and what is in service in the record, and
        has taken the feature out of the VMSA."""
        info, vcpu = call.info[0], call.vcpu
        vmpl, tpr = info >> INFO_VMPL_SHIFT & 0xFF, info >> INFO_TPR_SHIFT & 0xFF
        page = self.doorbell_page(vcpu, call.number)
        if not call.number < vmpl < len(vcpu.planes) or page is None:
            raise Malformed(ghcb.INVALID_INPUT)
        record, lapic, context = Record(page, vmpl), vcpu.lapics[vmpl], self.guest.vps[vcpu.index].contexts[vmpl]
        waiting, level = record.vectors()
        lapic.irr |= waiting
        lapic.tmr |= level
        lapic.isr, lapic.tpr = record.isr, tpr
        nmi = bool(record.status & STATUS_NMI)
        record.status = record.irr = record.isr = 0
        record.store()
        page[VMPL_EVENTS] &= ~(1 << vmpl - 1)
        self.write_shared(self.channel(vcpu, call.number).doorbell, bytes(page))
        self.channel(vcpu, vmpl).features &= ~vmsa.ALTERNATE_INJECTION
        context.features = 0                        # VMRUN finds out anew what the VMSA says
        self.guest.publish(vcpu)
        if nmi:
            self.nmi(vcpu, vmpl)
        vcpu.interrupt_changed(vmpl)

    def specific_eoi(self, call: Call) -> None:
        """INFO1: VMPL in bits 23:16, vector in bits 7:0, which I/O APICs get to know if it was level-triggered."""
        info = call.info[0]
        vmpl, vector = info >> INFO_VMPL_SHIFT & 0xFF, info & 0xFF
        if vmpl >= len(call.vcpu.lapics):
            raise Malformed(ghcb.INVALID_INPUT)
        call.vcpu.lapics[vmpl].end(vector)

    def inject(self, vcpu: VCpu, event: int) -> None:
        """An event, in the form of EVENTINJ, for whichever plane of a vCPU is run next: VMRUN takes it, ignores it
        under alternate injection, or fails."""
        self.guest.vps[vcpu.index].eventinj = event

    def nmi(self, vcpu: VCpu, number: int) -> None:
        """An NMI for a plane: it is taken as by any processor, or announced under restricted or alternate injection."""
        if self.alternate(vcpu, number):
            self.channel(vcpu, number).nmi = True
            self.post_for(vcpu, number)
        else:
            vcpu.planes[number].set(layout.NMI, 1)
            if self.restricted(vcpu, number):
                self.post(vcpu, number)
