"""8259A interrupt controller pair (Intel 8259A datasheet) with the PC's edge/level registers (PIIX3 ELCR, 0x4D0/0x4D1).

A request must stay asserted until it is acknowledged, in edge mode too; one that is withdrawn before makes the
spurious IR7 of its chip (datasheet, "Edge and Level Triggered Modes").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MASTER_COMMAND, MASTER_DATA, SLAVE_COMMAND, SLAVE_DATA = 0x20, 0x21, 0xA0, 0xA1
ELCR_MASTER, ELCR_SLAVE = 0x4D0, 0x4D1
CASCADE_LINE = 2
ELCR_WRITABLE = (0xF8, 0xDE)  # IRQ 0, 1, 2, 8 and 13 are always edge-triggered (PIIX3, ELCR1/ELCR2)

_STATE = (
    "isr", "imr", "lines", "edges", "elcr", "base", "lowest", "step", "needs_icw4", "single", "ready",
    "auto_eoi", "rotate_aeoi", "special_mask", "fully_nested", "read_isr", "poll",
)  # fmt: skip


class _Chip:
    """One 8259A."""

    def __init__(self, is_slave: bool) -> None:
        self.is_slave = is_slave
        self.lines = 0
        self.elcr = 0
        self.ready = False
        self.base = 0
        self.initialise()

    def initialise(self) -> None:
        """What ICW1 does (datasheet, "Initialization Command Words 1 and 2")."""
        self.edges = 0
        self.isr = 0
        self.imr = 0
        self.lowest = 7
        self.step = 0
        self.special_mask = self.read_isr = self.poll = False
        self.auto_eoi = self.rotate_aeoi = self.fully_nested = self.needs_icw4 = self.single = False

    @property
    def irr(self) -> int:
        """Requests: the line itself for level inputs; for edge inputs, a latched edge whose line is still high."""
        return self.lines & (self.edges | self.elcr)

    def set_line(self, line: int, level: bool) -> None:
        bit = 1 << line
        if level:
            if not self.lines & bit:
                self.edges |= bit
            self.lines |= bit
        else:
            self.lines &= ~bit
            self.edges &= ~bit

    def request(self) -> int | None:
        """The input that INT asks service for, or None."""
        if not self.ready:
            return None
        pending = self.irr & ~self.imr
        if not pending:
            return None
        blocking = self.isr & ~self.imr if self.special_mask else self.isr
        if self.fully_nested and not self.is_slave:
            blocking &= ~(1 << CASCADE_LINE)
        for distance in range(1, 9):
            line = (self.lowest + distance) & 7
            if blocking >> line & 1:
                return None  # "all further interrupts of the same or lower priority are inhibited"
            if pending >> line & 1:
                return line
        return None

    def acknowledge(self) -> int | None:
        """The INTA sequence: the line taken into service, or None for a spurious one (vector of IR7, ISR unchanged)."""
        line = self.request()
        if line is None:
            return None
        bit = 1 << line
        self.edges &= ~bit
        if self.auto_eoi:
            if self.rotate_aeoi:
                self.lowest = line
        else:
            self.isr |= bit
        return line

    def _highest_in_service(self) -> int | None:
        # "An IS bit masked by an IMR bit will not be cleared by a non-specific EOI if in special mask mode."
        candidates = self.isr & ~self.imr if self.special_mask else self.isr
        for distance in range(1, 9):
            line = (self.lowest + distance) & 7
            if candidates >> line & 1:
                return line
        return None

    def write_command(self, value: int) -> None:
        if value & 0x10:
            self.initialise()
            self.ready = False
            self.needs_icw4 = bool(value & 0x01)
            self.single = bool(value & 0x02)
            self.step = 2
        elif value & 0x08:
            self._ocw3(value)
        else:
            self._ocw2(value >> 5, value & 7)

    def _ocw3(self, value: int) -> None:
        if value & 0x04:
            self.poll = True
        if value & 0x02:
            self.read_isr = bool(value & 0x01)
        if value & 0x40:
            self.special_mask = bool(value & 0x20)

    def _ocw2(self, command: int, level: int) -> None:
        if command in (0b000, 0b100):
            self.rotate_aeoi = command == 0b100
        elif command in (0b001, 0b101):
            line = self._highest_in_service()
            if line is not None:
                self.isr &= ~(1 << line)
                if command == 0b101:
                    self.lowest = line
        elif command in (0b011, 0b111):
            self.isr &= ~(1 << level)
            if command == 0b111:
                self.lowest = level
        elif command == 0b110:
            self.lowest = level
        # 0b010 is "no operation".

    def write_data(self, value: int) -> None:
        if self.step == 2:
            self.base = value & 0xF8
            self.step = 3 if not self.single else 4 if self.needs_icw4 else 0
        elif self.step == 3:
            # ICW3: on a PC the cascade is hard-wired to IR2 and slave identity 2; the value has no other use.
            self.step = 4 if self.needs_icw4 else 0
        elif self.step == 4:
            self.auto_eoi = bool(value & 0x02)
            self.fully_nested = bool(value & 0x10)
            self.step = 0
        else:
            self.imr = value
            return
        self.ready = self.step == 0

    def read_command(self) -> int:
        return self.isr if self.read_isr else self.irr

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _STATE}

    def load(self, state: dict[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, state[name])


class PicPair:
    """Master and slave 8259A. `output` follows the master's INT pin; `report` names what is not modelled."""

    def __init__(self, output: Callable[[bool], None], report: Callable[[str], None] = lambda _: None) -> None:
        self._output = output
        self._report = report
        self._level = False
        self._master, self._slave = _Chip(False), _Chip(True)

    def reset(self) -> None:
        """Power-on: the chips stay silent until they are initialised. Input lines keep their level."""
        for chip in (self._master, self._slave):
            chip.initialise()
            chip.ready = False
            chip.base = 0
            chip.elcr = 0
        self._update()

    @property
    def level(self) -> bool:
        """The INT pin."""
        return self._level

    def set_irq(self, line: int, level: bool) -> None:
        """Drive IRQ `line`, 0 .. 15. IRQ 2 is the cascade and belongs to the pair itself."""
        if not 0 <= line <= 15 or line == CASCADE_LINE:
            raise ValueError(f"IRQ {line}: the 8259A pair has inputs 0, 1 and 3 to 15")
        (self._slave if line & 8 else self._master).set_line(line & 7, level)
        self._update()

    def acknowledge(self) -> int:
        """Run the processor's interrupt-acknowledge cycle; returns the vector, spurious ones included."""
        line = self._master.acknowledge()
        if line is None:
            vector = self._master.base + 7
        elif line == CASCADE_LINE and not self._master.single:
            slave_line = self._slave.acknowledge()
            vector = self._slave.base + (7 if slave_line is None else slave_line)
            # INT of the slave falls during the sequence, so a further request makes a new edge at the master.
            self._master.set_line(CASCADE_LINE, False)
        else:
            vector = self._master.base + line
        self._update()
        return vector

    def port_read(self, port: int, size: int) -> int:
        if port in (ELCR_MASTER, ELCR_SLAVE):
            return (self._master if port == ELCR_MASTER else self._slave).elcr
        chip = self._slave if port & 0x80 else self._master
        if chip.poll:
            # A poll is an acknowledge by read: bit 7 says that there was a request (datasheet, "Poll Command").
            chip.poll = False
            line = chip.acknowledge()
            if chip.is_slave:
                self._master.set_line(CASCADE_LINE, False)
            self._update()
            return 0 if line is None else 0x80 | line
        return chip.imr if port & 1 else chip.read_command()

    def port_write(self, port: int, size: int, value: int) -> None:
        if port in (ELCR_MASTER, ELCR_SLAVE):
            index = port - ELCR_MASTER
            (self._master, self._slave)[index].elcr = value & ELCR_WRITABLE[index]
        else:
            chip = self._slave if port & 0x80 else self._master
            if port & 1:
                if chip.step == 4 and not value & 0x01:
                    self._report("8259A: MCS-80/85 mode (ICW4 bit 0 clear) does not exist on a PC")
                chip.write_data(value)
            else:
                chip.write_command(value)
        self._update()

    def _update(self) -> None:
        self._master.set_line(CASCADE_LINE, self._slave.request() is not None)
        level = self._master.request() is not None
        if level != self._level:
            self._level = level
            self._output(level)

    def save(self) -> dict[str, Any]:
        return {"master": self._master.save(), "slave": self._slave.save()}

    def load(self, state: dict[str, Any]) -> None:
        self._master.load(state["master"])
        self._slave.load(state["slave"])
        self._update()
