"""The APIC EOI assist: a bit in the VP assist page that lets a VTL end an interrupt without telling its APIC (TLFS,
"Virtual interrupt control", EOI assist).

The bit is set where EOI would do nothing but end the interrupt: it is edge-triggered, and nothing waits behind it. A
guest that finds it set clears it instead of EOI. Whether it did so is looked at before the APIC is used the next time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.irq.lapic import EOI

if TYPE_CHECKING:
    from emu.irq.lapic import LocalApic
    from emu.planes.vsm.partition import Partition

NO_EOI_REQUIRED = 1             # bit 0 of the page's first word


class EoiAssist:
    """The assist of one VTL's APIC. `page` is the address of its VP assist page, or None."""

    def __init__(self, partition: Partition, lapic: LocalApic, vtl: int) -> None:
        self._partition, self._lapic, self._vtl = partition, lapic, vtl
        self._offered = False
        self._page: int | None = None
        lapic.settle, lapic.taken = self._settle, self._taken

    def use(self, page: int | None) -> None:
        """The VP assist page was enabled at an address, or disabled."""
        self._settle()
        self._page = page

    def _taken(self, vector: int) -> None:
        """An interrupt was taken: offer to do without its EOI."""
        lapic = self._lapic
        if self._page is None or lapic.irr or lapic.tmr >> vector & 1 or not lapic.isr >> vector & 1:
            return
        word = self._partition.machine.memory.read(self._page, 1)[0]
        self._partition.store(self._vtl, self._page, bytes((word | NO_EOI_REQUIRED,)))
        self._offered = True

    def _settle(self) -> None:
        """Before the APIC is used: end the interrupt if the guest did, or take the offer back."""
        if not self._offered or self._page is None:
            return
        self._offered = False
        word = self._partition.machine.memory.read(self._page, 1)[0]
        if word & NO_EOI_REQUIRED:
            self._partition.store(self._vtl, self._page, bytes((word & ~NO_EOI_REQUIRED,)))
        else:
            self._lapic.write_register(EOI, 0)
