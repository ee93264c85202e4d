"""The local APIC's registers, priorities and delivery (Intel SDM vol. 3A, chapter 11 "APIC").

Register offsets are those of the xAPIC page; x2APIC MSR 0x800 + n is offset n * 16 (SDM table 11-6). The MSR rules,
which differ in their checks, are in `lapic_msr`. ISR, TMR and IRR are 256-bit integers, bit n for vector n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.clock import SECOND, Clock
from emu.irq import apicbus
from emu.irq.apicbus import ApicMessage
from emu.irq.lapic_timer import ApicTimer

ID, VERSION, TPR, APR, PPR, EOI, RRR, LDR, DFR, SVR = 0x20, 0x30, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0
ISR, TMR, IRR, ESR = 0x100, 0x180, 0x200, 0x280
ICR_LOW, ICR_HIGH = 0x300, 0x310
LVT_CMCI, LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR = (
    0x2F0, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370,
)  # fmt: skip
TIMER_INITIAL, TIMER_CURRENT, TIMER_DIVIDE, SELF_IPI = 0x380, 0x390, 0x3E0, 0x3F0

LVT_WRITABLE = {
    LVT_CMCI: 0x107FF, LVT_TIMER: 0x700FF, LVT_THERMAL: 0x107FF, LVT_PERF: 0x107FF,
    LVT_LINT0: 0x1A7FF, LVT_LINT1: 0x1A7FF, LVT_ERROR: 0x100FF,
}  # fmt: skip
LVT_MASKED, LVT_LEVEL, LVT_REMOTE_IRR = 1 << 16, 1 << 15, 1 << 14
SVR_ENABLED, SVR_SUPPRESS_EOI = 1 << 8, 1 << 12
SVR_WRITABLE = 0x11FF
ICR_LOW_WRITABLE = 0xCCFFF

# Version 0x14, LVT entries 0 to 6, EOI-broadcast suppression (SDM 11.4.8).
VERSION_VALUE = 0x14 | 6 << 16 | 1 << 24
ESR_SEND_ILLEGAL, ESR_RECEIVE_ILLEGAL, ESR_ILLEGAL_REGISTER = 1 << 5, 1 << 6, 1 << 7

BASE_BSP, BASE_EXTD, BASE_EN = 1 << 8, 1 << 10, 1 << 11
DEFAULT_BASE = 0xFEE00000


class LocalApic:
    """One CPU's local APIC.

    `send` gives a message to the APIC bus, `notify` says that what `pending()` answers may have changed, `signal` takes
    ("nmi" | "smi" | "init" | "sipi", vector), `eoi` the vectors whose EOI is broadcast to I/O APICs, `extint` runs the
    8259A's acknowledge cycle. With `virtual_wire`, reset leaves LINT0 = ExtINT and LINT1 = NMI as PC firmware does.
    """

    def __init__(
        self,
        apic_id: int,
        clock: Clock,
        *,
        send: Callable[[ApicMessage, LocalApic], Any],
        notify: Callable[[], None],
        signal: Callable[[str, int], None],
        eoi: Callable[[int], None],
        extint: Callable[[], int],
        bsp: bool = False,
        virtual_wire: bool = False,
        timer_hz: int = SECOND,
    ) -> None:
        self.apic_id = apic_id
        self.bsp = bsp
        self._send, self._notify, self._signal, self._eoi, self._extint = send, notify, signal, eoi, extint
        self._virtual_wire = virtual_wire
        self.timer = ApicTimer(clock, timer_hz, lambda: self._deliver_local(LVT_TIMER))
        self._lint = [False, False]
        self.auto_eoi = 0       # vectors that end when they are taken, by bit, as a hypervisor may want it
        self.ended: Callable[[int], None] = lambda vector: None     # is told of every EOI ...
        self.taken: Callable[[int], None] = lambda vector: None     # ... and of vectors that were acknowledged
        self.settle: Callable[[], None] = lambda: None              # is called before registers are used
        self.reset()

    def reset(self) -> None:
        """Power-up: xAPIC mode at the default base, enabled in IA32_APIC_BASE."""
        self.base = DEFAULT_BASE | BASE_EN | (BASE_BSP if self.bsp else 0)
        self.xapic_id = self.apic_id & 0xFF
        self.init()

    def init(self) -> None:
        """State after an INIT or after IA32_APIC_BASE.EN went from 0 to 1 (SDM 11.4.7.1): all but ID and base."""
        self.tpr = 0
        self.ldr, self.dfr, self.svr = 0, 0xFFFFFFFF, 0xFF
        self.isr = self.tmr = self.irr = 0
        self.esr = self._errors = 0
        self.icr = 0
        self.lvt = {offset: LVT_MASKED for offset in LVT_WRITABLE}
        if self._virtual_wire:
            self.lvt[LVT_LINT0], self.lvt[LVT_LINT1] = apicbus.EXTINT << 8, apicbus.NMI << 8
        self._extint_message = False
        self.timer.reset()
        self._notify()

    @property
    def enabled(self) -> bool:
        """IA32_APIC_BASE.EN."""
        return bool(self.base & BASE_EN)

    @property
    def x2apic(self) -> bool:
        """x2APIC mode: IA32_APIC_BASE.EN and EXTD."""
        return self.base & (BASE_EN | BASE_EXTD) == BASE_EN | BASE_EXTD

    @property
    def software_enabled(self) -> bool:
        """SVR bit 8."""
        return bool(self.svr & SVR_ENABLED)

    # -- what the CPU sees --

    @property
    def priority(self) -> int:
        """The processor-priority register (SDM 11.8.3.1)."""
        in_service = max(self.isr.bit_length() - 1, 0)
        return self.tpr if self.tpr >> 4 >= in_service >> 4 else in_service & 0xF0

    def pending_vector(self) -> int | None:
        """The vector that would be dispatched now: the highest in IRR if its class is above the PPR's."""
        if not self.irr or not self.enabled:
            return None
        vector = self.irr.bit_length() - 1
        return vector if vector >> 4 > self.priority >> 4 else None

    def extint_pending(self) -> bool:
        """An external (8259A) interrupt is asserted through LINT0, by message, or by a disabled APIC's INTR pin."""
        if not self.enabled:
            return self._lint[0]
        entry = self.lvt[LVT_LINT0]
        return self._extint_message or (
            self._lint[0] and not entry & LVT_MASKED and entry >> 8 & 7 == apicbus.EXTINT
        )

    def pending(self) -> bool:
        """True if the CPU should take an interrupt once it can."""
        return self.pending_vector() is not None or self.extint_pending()

    def acknowledge(self) -> int:
        """Take the interrupt: IRR to ISR, or the 8259A's cycle; the spurious vector if nothing is left (SDM 11.9)."""
        self.settle()
        vector = self.pending_vector()
        if vector is not None:
            self.irr &= ~(1 << vector)
            self.isr |= 1 << vector & ~self.auto_eoi
            self.taken(vector)
            return vector
        if self.extint_pending():
            self._extint_message = False
            return self._extint()
        return self.svr & 0xFF

    # -- inputs --

    def set_lint(self, pin: int, level: bool) -> None:
        """Drive LINT0 (INTR when the APIC is disabled) or LINT1 (then NMI)."""
        rising = level and not self._lint[pin]
        self._lint[pin] = level
        if not self.enabled:
            if pin == 1 and rising:
                self._signal("nmi", 2)
            self._notify()
            return
        offset = LVT_LINT1 if pin else LVT_LINT0
        entry = self.lvt[offset]
        if entry >> 8 & 7 == apicbus.EXTINT:
            self._notify()
        elif pin == 0 and entry & LVT_LEVEL and entry >> 8 & 7 == apicbus.FIXED:
            self._sample_level_lint0()
        elif rising:
            self._deliver_local(offset)

    def lint0_is_nmi(self) -> bool:
        """Whether LINT0 is unmasked and delivers an NMI."""
        return self.lvt[LVT_LINT0] & (LVT_MASKED | 7 << 8) == apicbus.NMI << 8

    def _sample_level_lint0(self) -> None:
        entry = self.lvt[LVT_LINT0]
        if self._lint[0] and not entry & (LVT_MASKED | LVT_REMOTE_IRR) and entry & LVT_LEVEL and not entry >> 8 & 7:
            self.lvt[LVT_LINT0] |= LVT_REMOTE_IRR
            self.accept(ApicMessage(entry & 0xFF, level_triggered=True))

    def raise_local(self, offset: int, *, masks: bool = False) -> None:
        """An internal source (performance counter, thermal, CMCI) signals its LVT entry, given by offset. `masks`: the
        entry masks itself when it is delivered, as that of Intel's performance counters does (SDM 11.5.1)."""
        self._deliver_local(offset)
        if masks:
            self.lvt[offset] |= LVT_MASKED

    def _deliver_local(self, offset: int) -> None:
        entry = self.lvt[offset]
        if entry & LVT_MASKED or not self.enabled:
            return
        mode = apicbus.FIXED if offset in (LVT_TIMER, LVT_ERROR) else entry >> 8 & 7
        self.accept(ApicMessage(entry & 0xFF, mode))

    def matches(self, message: ApicMessage) -> bool:
        """Destination match (SDM 11.6.2, 11.12.10)."""
        if not self.enabled:
            return False
        destination = message.destination
        if destination == (0xFFFFFFFF if message.wide else 0xFF):
            return True
        if not message.logical:
            return destination == (self.apic_id if self.x2apic else self.xapic_id)
        if self.x2apic:
            cluster = self.x2apic_ldr
            return destination >> 16 == cluster >> 16 and bool(destination & cluster & 0xFFFF)
        mine = self.ldr >> 24
        if destination > 0xFF:
            return False
        if self.dfr >> 28 == 0xF:
            return bool(destination & mine)
        return destination >> 4 in (mine >> 4, 0xF) and bool(destination & mine & 0xF)

    @property
    def x2apic_ldr(self) -> int:
        """The read-only logical ID of x2APIC mode: cluster in bits 31:16, one bit in 15:0."""
        return self.apic_id >> 4 << 16 | 1 << (self.apic_id & 0xF)

    def accept(self, message: ApicMessage) -> None:
        """Take an interrupt message. Fixed ones need the APIC software-enabled; NMI, SMI, INIT and SIPI do not."""
        self.settle()
        mode, vector = message.mode, message.vector
        if not self.enabled:
            return
        if mode in (apicbus.FIXED, apicbus.LOWEST_PRIORITY):
            if vector < 16:
                self._error(ESR_RECEIVE_ILLEGAL)
            elif self.software_enabled:
                bit = 1 << vector
                self.irr |= bit
                self.tmr = self.tmr | bit if message.level_triggered else self.tmr & ~bit
                self._notify()
        elif mode == apicbus.EXTINT:
            self._extint_message = True
            self._notify()
        elif mode in (apicbus.NMI, apicbus.SMI, apicbus.INIT, apicbus.STARTUP):
            names = {apicbus.NMI: "nmi", apicbus.SMI: "smi", apicbus.INIT: "init", apicbus.STARTUP: "sipi"}
            self._signal(names[mode], 2 if mode == apicbus.NMI else vector)

    def _error(self, bit: int) -> None:
        new = bit & ~self._errors
        self._errors |= bit
        # An illegal vector in the error entry itself must not raise itself for ever: only a new error interrupts.
        if new:
            self._deliver_local(LVT_ERROR)

    # -- registers, shared by both interfaces --

    def read_register(self, offset: int) -> int | None:
        """Value of the 32-bit register at `offset`; None if there is none."""
        self.settle()
        if offset in self.lvt:
            return self.lvt[offset]
        for bank, bits in ((ISR, self.isr), (TMR, self.tmr), (IRR, self.irr)):
            if bank <= offset < bank + 0x80:
                return bits >> (offset - bank) * 2 & 0xFFFFFFFF
        simple: dict[int, int] = {
            ID: self.apic_id if self.x2apic else self.xapic_id << 24,
            VERSION: VERSION_VALUE, TPR: self.tpr, APR: 0, PPR: self.priority, EOI: 0, RRR: 0,
            LDR: self.x2apic_ldr if self.x2apic else self.ldr,
            DFR: self.dfr, SVR: self.svr, ESR: self.esr,
            ICR_LOW: self.icr & 0xFFFFFFFF, ICR_HIGH: self.icr >> 32,
            TIMER_INITIAL: self.timer.initial, TIMER_CURRENT: self.timer.current(), TIMER_DIVIDE: self.timer.divide,
        }  # fmt: skip
        return simple.get(offset)

    def write_register(self, offset: int, value: int) -> bool:
        """Write a 32-bit register; False if there is none. Reserved bits are ignored here."""
        self.settle()
        if offset in self.lvt:
            self._write_lvt(offset, value)
        elif offset == EOI:
            self._end_of_interrupt()
        elif offset == TPR:
            self.tpr = value & 0xFF
            self._notify()
        elif offset == ICR_LOW:
            self.icr = self.icr >> 32 << 32 | value & ICR_LOW_WRITABLE
            self.send_icr()
        elif offset == ICR_HIGH:
            self.icr = self.icr & 0xFFFFFFFF | (value & 0xFF000000) << 32
        elif offset == TIMER_INITIAL:
            self.timer.write_initial(value)
        elif offset == TIMER_DIVIDE:
            self.timer.write_divide(value)
        elif offset == SVR:
            self._write_svr(value)
        elif offset == ESR:
            self.esr, self._errors = self._errors, 0
        elif offset == LDR:
            self.ldr = value & 0xFF000000
        elif offset == DFR:
            self.dfr = value | 0x0FFFFFFF
        elif offset == ID:
            self.xapic_id = value >> 24
        else:
            return offset in (VERSION, APR, PPR, RRR, TIMER_CURRENT) or ISR <= offset < ESR
        return True

    def _write_lvt(self, offset: int, value: int) -> None:
        value &= LVT_WRITABLE[offset]
        if not self.software_enabled:
            value |= LVT_MASKED
        self.lvt[offset] = value | self.lvt[offset] & LVT_REMOTE_IRR
        if offset == LVT_TIMER:
            self.timer.write_control(value >> 17 & 3, bool(value & LVT_MASKED))
        elif offset == LVT_LINT0:
            self._sample_level_lint0()
        self._notify()

    def _write_svr(self, value: int) -> None:
        self.svr = value & SVR_WRITABLE
        if not self.software_enabled:
            for offset in self.lvt:
                self._write_lvt(offset, self.lvt[offset])

    def _end_of_interrupt(self) -> None:
        if self.isr:
            self.end(self.isr.bit_length() - 1)

    def end(self, vector: int) -> None:
        """EOI of a vector, which need not be in service: whoever gives interrupts out may keep that elsewhere."""
        self.isr &= ~(1 << vector)
        if self.tmr >> vector & 1:
            entry = self.lvt[LVT_LINT0]
            if entry & LVT_REMOTE_IRR and entry & 0xFF == vector:
                self.lvt[LVT_LINT0] = entry & ~LVT_REMOTE_IRR
                self._sample_level_lint0()
            elif not self.svr & SVR_SUPPRESS_EOI:
                self._eoi(vector)
        self._notify()
        self.ended(vector)

    def send_icr(self) -> None:
        """Send what ICR describes (SDM 11.6.1)."""
        icr, mode = self.icr, self.icr >> 8 & 7
        if mode in (apicbus.FIXED, apicbus.LOWEST_PRIORITY) and icr & 0xFF < 16:
            self._error(ESR_SEND_ILLEGAL)
            return
        message = ApicMessage(
            vector=icr & 0xFF,
            mode=mode,
            destination=icr >> 32 if self.x2apic else icr >> 56,
            logical=bool(icr >> 11 & 1),
            level_triggered=mode == apicbus.INIT and bool(icr >> 15 & 1),
            asserted=bool(icr >> 14 & 1),
            shorthand=icr >> 18 & 3,
            wide=self.x2apic,
        )
        self._send(message, self)

    # -- the xAPIC page --

    def covers(self, gpa: int) -> bool:
        """Whether the page is there: it is not while the APIC is disabled or in x2APIC mode."""
        return self.base & (BASE_EN | BASE_EXTD) == BASE_EN and gpa >> 12 == self.base >> 12

    def mmio_read(self, offset: int, size: int) -> int:
        """A load from the page. Only the low dword of each 16 bytes holds a register (SDM 11.4.1)."""
        value = self.read_register(offset & ~0xF)
        if value is None:
            self._error(ESR_ILLEGAL_REGISTER)
            return 0
        return value >> (offset & 0xF) * 8 & ((1 << size * 8) - 1)

    def mmio_write(self, offset: int, size: int, value: int) -> None:
        """A store to the page. Anything but an aligned dword is "undefined" (SDM 11.4.1) and is dropped here."""
        if offset & 0xF or size < 4:
            return
        if not self.write_register(offset, value & 0xFFFFFFFF):
            self._error(ESR_ILLEGAL_REGISTER)

    # -- snapshots --

    _PLAIN = (
        "base", "xapic_id", "tpr", "ldr", "dfr", "svr", "isr", "tmr", "irr", "esr", "_errors", "icr", "_extint_message",
        "auto_eoi",
    )  # fmt: skip

    def save(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: getattr(self, name) for name in self._PLAIN}
        return state | {"lvt": sorted(self.lvt.items()), "lint": list(self._lint), "timer": self.timer.save()}

    def load(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state[name])
        self.lvt = {offset: entry for offset, entry in state["lvt"]}
        self._lint = list(state["lint"])
        self.timer.load(state["timer"])
        self._notify()
