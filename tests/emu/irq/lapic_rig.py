"""A machine of local APICs on one APIC bus, for tests."""

from emu.clock import Clock
from emu.irq.apicbus import ApicBus
from emu.irq.lapic import LocalApic
from emu.irq.lapic_msr import LapicMsrs


class Rig:
    def __init__(self, cpus: int = 1, virtual_wire: bool = False) -> None:
        self.clock = Clock()
        self.reports: list[str] = []
        self.signals: list[tuple[int, str, int]] = []
        self.eois: list[int] = []
        self.notified = 0
        self.bus = ApicBus(self.reports.append)
        self.apics: list[LocalApic] = []
        for index in range(cpus):
            apic = LocalApic(
                index,
                self.clock,
                send=self.bus.send,
                notify=self._notify,
                signal=lambda kind, vector, index=index: self.signals.append((index, kind, vector)),
                eoi=self.eois.append,
                extint=lambda: 0x77,
                bsp=index == 0,
                virtual_wire=virtual_wire and index == 0,
            )
            self.bus.attach(apic)
            self.apics.append(apic)
        self.msrs = [LapicMsrs(apic) for apic in self.apics]

    def _notify(self) -> None:
        self.notified += 1

    def write(self, offset: int, value: int, cpu: int = 0) -> None:
        if self.apics[cpu].covers(0xFEE00000 + offset):
            self.apics[cpu].mmio_write(offset, 4, value)

    def read(self, offset: int, cpu: int = 0) -> int:
        apic = self.apics[cpu]
        return apic.mmio_read(offset, 4) if apic.covers(0xFEE00000 + offset) else 0xFFFFFFFF

    def enable(self) -> None:
        for cpu in range(len(self.apics)):
            self.write(0xF0, 0x1FF, cpu)

    def to_x2apic(self) -> None:
        for msrs in self.msrs:
            msrs.msr_write(0x1B, msrs.msr_read(0x1B) | 1 << 10)

    def ipi(self, low: int, destination: int = 0, cpu: int = 0) -> None:
        self.write(0x310, destination << 24, cpu)
        self.write(0x300, low, cpu)

    def wait(self, ns: int) -> None:
        end = self.clock.now + ns
        while (deadline := self.clock.next_deadline()) is not None and deadline <= end:
            self.clock.skip_to(deadline)
            self.clock.run_due()
        self.clock.skip_to(end)
