"""Guest memory: private and shared pages, #NPF, page state changes (GHCB specification, 2.3.1 and 4.1.6)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emu import stop
from emu.mem.ram import PAGE
from emu.planes.snp import exits, ghcb, ghcb_msr
from emu.planes.snp.checks import NPF_ID, NPF_P, NestedFault
from emu.planes.snp.hypervisor.base import Base
from emu.planes.snp.hypervisor.call import Call
from emu.planes.snp.nested import NONE
from emu.planes.snp.rmp import LARGE, SUCCESS, Entry
from jit import layout

if TYPE_CHECKING:
    from emu.vcpu import VCpu

OPERATIONS = (ghcb_msr.PSC_PRIVATE, ghcb_msr.PSC_SHARED, ghcb_msr.PSC_PSMASH, ghcb_msr.PSC_UNSMASH)
STALL_COST, STALLS_ALLOWED = 100, 1000          # instructions' time of a retry, and how many in a row


class PageStates(Base):
    """The host's side of the RMP and the nested page table. `psc_batch`: entries of a page state change that are done
    before the guest is asked to come again; `large_pages`: private memory is given in 2 MiB pages where it can be."""

    psc_batch = ghcb.PSC_MAX_ENTRIES
    large_pages = True

    # --- the host's instructions -------------------------------------------------------------------------------------

    def assign(self, gfn: int, large: bool = False) -> bool:
        """Make a frame private: RMPUPDATE of its private backing, then the mapping. It is not validated."""
        nested, page = self.guest.nested, self.guest.nested.private_backing(gfn)
        if self.guest.rmp.update(page, Entry(True, self.guest.asid, gfn, large)) != SUCCESS:
            return False
        count = LARGE if large else 1
        nested.map(gfn, page, count, large)
        self.guest.nested.shared[gfn:gfn + count] = False
        return True

    def share(self, gfn: int) -> bool:
        """Make a frame shared: its private page is the hypervisor's again, the shared one is mapped."""
        table, nested = self.guest.rmp, self.guest.nested
        self.split(gfn)
        if table.update(nested.private_backing(gfn), Entry(False)) != SUCCESS:
            return False
        nested.map(gfn, nested.shared_backing(gfn))
        self.guest.nested.shared[gfn] = True
        return True

    def split(self, gfn: int) -> bool:
        """PSMASH, where a 2 MiB entry covers a frame, and 4 KiB mappings."""
        nested, page = self.guest.nested, int(self.guest.nested.page[gfn])
        done = True
        if page != NONE and self.guest.rmp.large[page]:
            done = self.guest.rmp.psmash(page & -LARGE) == SUCCESS
        if nested.large[gfn]:
            nested.split(gfn)
        return done

    def _fresh(self, gfn: int) -> bool:
        """Whether the 2 MiB around a frame are memory that nobody has been given yet."""
        first = gfn & -LARGE
        nested = self.guest.nested
        place = slice(first, first + LARGE)
        return (first + LARGE <= nested.frames and bool(nested.ram[place].all()) and not nested.shared[place].any()
                and not self.guest.rmp.any_assigned(nested.private_backing(first), True)
                and bool((nested.page[place] == NONE).all()))

    # --- #NPF --------------------------------------------------------------------------------------------------------

    def is_mmio(self, fault: NestedFault) -> bool:
        """Whether a fault is about a device: the hypervisor maps those with a reserved bit, so that it becomes #VC,
        with and without the C-bit, which is no part of the address (OVMF's SEC phase does set it)."""
        return not fault.info1 & (NPF_ID | exits.NPF_TABLE) and not self.guest.nested.exists(fault.gpa // PAGE)

    def nested_fault(self, vcpu: VCpu, fault: NestedFault) -> None:
        """#NPF of the active plane, which tries again afterwards."""
        gfn, private = fault.gpa // PAGE, bool(fault.info1 & exits.NPF_ENCRYPTED)
        nested = self.guest.nested
        if not nested.exists(gfn):
            what = "a fetch from" if fault.info1 & NPF_ID else "a page table at"
            self.machine.stop(stop.UNIMPLEMENTED, f"{what} {fault.gpa:#x}, where the guest has no memory", vcpu)
        elif fault.info1 & exits.NPF_VMPL:
            self.vmpl_fault(vcpu, fault)
        elif private == bool(self.guest.nested.shared[gfn]):
            self.convert(vcpu, gfn, private)
        elif not fault.info1 & NPF_P:
            if private:
                large = self.large_pages and self._fresh(gfn)
                self.assign(gfn & -LARGE if large else gfn, large)
            else:
                nested.map(gfn, nested.shared_backing(gfn))
        elif fault.info1 & exits.NPF_SIZE_MISMATCH or self.guest.rmp.large[nested.page[gfn]] or nested.large[gfn]:
            self.split(gfn)
        else:
            nested.unmap(gfn)
            self.stall(vcpu, fault)

    def convert(self, vcpu: VCpu, gfn: int, private: bool) -> None:
        """The guest uses a frame in the other way than it said (an implicit conversion)."""
        if private:
            self.guest.nested.unmap(gfn)
            self.guest.nested.shared[gfn] = False
            self.assign(gfn)
        else:
            self.share(gfn)

    def vmpl_fault(self, vcpu: VCpu, fault: NestedFault) -> None:
        """A VMPL may not do that: nothing that the host could change. The manager is asked to run, if there is one."""
        active = vcpu.group.active
        manager = self.manager(vcpu, active)
        self.stall(vcpu, fault)
        if manager != active:
            self.run_plane(vcpu, manager, active)

    def stall(self, vcpu: VCpu, fault: NestedFault) -> None:
        """The instruction is tried again, which may go on for ever: time passes, and at last the machine stops."""
        plane, channel = vcpu.plane, self.channel(vcpu)
        here = plane.get(layout.RIP), fault.gpa
        channel.stalls = channel.stalls + 1 if channel.stalled == here else 1
        channel.stalled = here
        left = plane.signed(layout.BUDGET)
        plane.set(layout.BUDGET, left - min(max(left, 0), STALL_COST))
        if channel.stalls > STALLS_ALLOWED:
            self.machine.stop(stop.HALTED, f"no progress: #NPF at {fault.gpa:#x} again and again, EXITINFO1 "
                              f"{fault.info1:#x}", vcpu)

    # --- page state changes ------------------------------------------------------------------------------------------

    def change_state(self, gfn: int, count: int, operation: int) -> bool:
        """Carry out an operation on frames; False: it is not possible."""
        nested = self.guest.nested
        if not all(nested.exists(frame) for frame in (gfn, gfn + count - 1)):
            return False
        large = count == LARGE and gfn % LARGE == 0
        if operation == ghcb_msr.PSC_PRIVATE:
            if large and self.large_pages and self.assign(gfn, True):
                return True                     # not where accepted pages of 4 KiB are among them
            return all([self.assign(frame) for frame in range(gfn, gfn + count)])
        if operation == ghcb_msr.PSC_SHARED:
            return all([self.share(frame) for frame in range(gfn, gfn + count)])
        return self.split(gfn) if operation == ghcb_msr.PSC_PSMASH else True    # PSC_UNSMASH is a hint

    def page_state_change(self, call: Call) -> None:
        """Entries `current` to `end` of the buffer, of one that was begun the pages that are left; the counters, and
        each entry's own, say how far it got."""
        current, end, reserved = struct.unpack("<HHI", call.scratch(ghcb.PSC_HEADER))
        if current > end or end >= ghcb.PSC_MAX_ENTRIES or reserved:
            call.info2 = ghcb.PSC_BAD_HEADER
            return
        size = ghcb.PSC_HEADER + (end + 1) * ghcb.PSC_ENTRY
        entries = struct.unpack_from(f"<{end + 1}Q", call.scratch(size), ghcb.PSC_HEADER)
        last = min(end + 1, current + self.psc_batch)
        while current < last and call.info2 == 0:
            entry = entries[current]
            frame, done = (entry & ghcb.PSC_GFN) // PAGE, entry & ghcb.PSC_CURRENT_PAGE
            count = LARGE if entry & ghcb.PSC_2M else 1
            operation = entry >> ghcb.PSC_OPERATION_SHIFT & 0xF
            if frame % count or done > count or operation not in OPERATIONS:
                call.info2 = ghcb.PSC_BAD_ENTRY
            elif done < count and not self.change_state(frame + done, count - done, operation):
                call.info2 = ghcb.PSC_GENERIC
            else:
                finished = entry & ~ghcb.PSC_CURRENT_PAGE | count
                call.write_scratch(struct.pack("<Q", finished), ghcb.PSC_HEADER + current * ghcb.PSC_ENTRY)
                current += 1
        call.write_scratch(struct.pack("<H", current))
