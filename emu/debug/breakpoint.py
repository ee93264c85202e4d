"""Breakpoints, watchpoints and hooks: what each looks for, and what happens when it is found.

All of them qualify by plane, vCPU, condition and number of hits. Without a callback a hit ends the run; with one it is
called with the Event, and the run goes on unless it returns True.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emu.debug.condition import Condition
from emu.debug.event import EXECUTE, INSTRUCTION, REGISTER, WRITE, Event
from emu.debug.table import EVERY_PLANE, WRITTEN_VALUE, Comparison, Record
from jit import probe_layout

if TYPE_CHECKING:
    from emu.debug.probes import Probes

TESTED = (EXECUTE, INSTRUCTION, WRITE)      # kinds whose records have room for a condition's comparison
Callback = Callable[[Event], Any]


class Breakpoint:
    """`kind`: what it looks for (emu/debug/event.py). `number`: counts from 1 in a machine. `hits`: how often it was
    true; the first `ignore` of these do nothing. `temporary`: removed when it ends a run."""

    def __init__(self, probes: Probes, kind: str, what: str, *, plane: int | None, vcpu: int | None,
                 condition: Condition | Callable[[Event], bool] | None, ignore: int, callback: Callback | None,
                 temporary: bool = False) -> None:
        self._probes, self.kind, self.what = probes, kind, what
        self.plane, self.vcpu, self.condition, self.callback = plane, vcpu, condition, callback
        self.ignore, self.temporary = ignore, temporary
        self.number = probes.number()
        self.address: int | None = None     # the linear address of the instruction that it is on, if it is on one
        self.index: int | None = None       # the MSR, port, ... that it is for, where it is for one
        self.slot = 0                       # the register that it watches, an offset of jit/layout.py
        self.records: list[Record] = []
        self._on = True
        self._hits = 0

    def __repr__(self) -> str:
        return f"<Breakpoint {self.number}: {self.what}{'' if self._on else ', disabled'}, {self.hits} hits>"

    def __enter__(self) -> Breakpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def native(self) -> Comparison | None:
        """The condition as compiled code tests it: a register in front of an instruction, or the value of a store."""
        if not isinstance(self.condition, Condition) or self.condition.comparison is None:
            return None
        of_value = self.condition.comparison.slot == WRITTEN_VALUE
        return self.condition.comparison if of_value == (self.kind == WRITE) and self.kind in TESTED else None

    @property
    def counted_natively(self) -> bool:
        """Whether compiled code can count the hits: nothing remains for Python to test, or to note (a register's new
        value)."""
        return self.kind != REGISTER and (self.condition is None or self.native is not None)

    def prepare(self, record: Record, test: Comparison | None = None) -> Record:
        """Fill in the filters of one of this breakpoint's records."""
        planes = EVERY_PLANE if self.plane is None else 1 << self.plane
        record.set_filter(test, planes, self.vcpu, self.ignore if self.counted_natively else 0)
        record[probe_layout.ON] = int(self._on)
        self.records.append(record)
        return record

    @property
    def hits(self) -> int:
        """How often it was true."""
        return self._hits + sum(record[probe_layout.HITS] for record in self.records if self.counted_natively)

    @hits.setter
    def hits(self, value: int) -> None:
        ignored = min(value, self.ignore) if self.counted_natively else 0
        self._hits = value - ignored
        for n, record in enumerate(self.records):
            record[probe_layout.HITS] = 0 if n else ignored

    @property
    def enabled(self) -> bool:
        """Whether it is looked for."""
        return self._on

    @enabled.setter
    def enabled(self, on: bool) -> None:
        self._on = on
        self._probes.switch(self, on)

    def remove(self) -> None:
        """Forget it. Removing it twice does nothing."""
        self._probes.remove(self)

    def fires(self, event: Event, names: Callable[[Event], Any], counted: bool = False) -> bool:
        """Count a hit that compiled code let through, unless it has counted it. True: it is to be acted upon."""
        if isinstance(self.condition, Condition):
            if self.native is None and not self.condition.holds(names(event)):
                return False
        elif self.condition is not None and not self.condition(event):
            return False
        if not (counted and self.counted_natively):
            self._hits += 1
        return self.counted_natively or self._hits > self.ignore
