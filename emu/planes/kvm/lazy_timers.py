"""Local APIC timers as KVM has them, for comparisons with it: one that expires while its vCPU is not in KVM_RUN is not
in IRR before the vCPU runs again (arch/x86/kvm/lapic.c, kvm_inject_apic_timer_irqs)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emu.irq.lapic import LocalApic


class LazyTimers:
    """Those of one vCPU. `expired`: planes whose timer has expired unseen; `runs`: KVM_RUN is under way, so that expiry
    is seen at once. `notice` is told of expiries."""

    def __init__(self, notice: Callable[[], None]) -> None:
        self.expired: set[int] = set()
        self.runs = False
        self._notice = notice
        self._fire: dict[int, Callable[[], None]] = {}

    def attach(self, lapic: LocalApic, number: int) -> None:
        """Let the timer of a plane's local APIC be one."""
        self._fire[number] = lapic.timer.fire

        def expires() -> None:
            if self.runs:
                self._fire[number]()
            else:
                self.expired.add(number)
                self._notice()
        lapic.timer.fire = expires

    def inject(self) -> bool:
        """Put the interrupts of expired timers into IRR; whether there were any."""
        found, self.expired = sorted(self.expired), set()
        for number in found:
            self._fire[number]()
        return bool(found)
