"""Puts breakpoints where compiled code meets them: micro-ops in front of instructions, records of watchpoints, vectors.

Nothing is written to guest memory. An instruction with a probe is decoded with a micro-op in front, in every page that
has an instruction at that page offset, whatever linear address the page is mapped at; the micro-op compares addresses.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from iced_x86 import OpKind

from emu.debug.breakpoint import Breakpoint
from emu.debug.event import REGISTER
from emu.debug.table import Comparison, Table
from jit import layout, probe_layout, uops
from jit.probe_layout import MAX_WATCHES, WRITE_BIT
from jit.semantics.wiring import PROBE_ANYWHERE, PROBE_EQUAL, PROBE_FILE, PROBE_HOT

if TYPE_CHECKING:
    from iced_x86 import Instruction

    from emu.decode.emitter import Emitter
    from emu.machine import Machine

PAGE = 4096


class Site:
    """Where a breakpoint's probes go: in front of instructions at a page offset (`offset`, of the page `gpa` alone if
    that is given), of some mnemonics, or, with neither, of every instruction. `where`: which address the micro-op
    compares; `immediate`: the instruction's immediate must be this, where it has one."""

    def __init__(self, breakpoint: Breakpoint, where: str = PROBE_ANYWHERE, *, offset: int | None = None,
                 gpa: int | None = None, mnemonics: frozenset[int] | None = None,
                 tests: tuple[Comparison | None, Comparison | None] = (None, None), immediate: int | None = None,
                 address: int = 0) -> None:
        self.breakpoint, self.where, self.offset, self.gpa = breakpoint, where, offset, gpa
        self.mnemonics, self.tests, self.immediate, self.address = mnemonics, tests, immediate, address


class Probes:
    """All breakpoints of a machine, and their native side."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.table = Table()
        self.breakpoints: dict[int, Breakpoint] = {}
        self.by_record: dict[int, Breakpoint] = {}
        self.watches: list[Breakpoint | None] = [None] * MAX_WATCHES
        self.vectors: dict[int, tuple[Breakpoint, frozenset[int]]] = {}
        self.switches: dict[int, Breakpoint] = {}
        self.violations: dict[int, Breakpoint] = {}
        self._sites: dict[int, Site] = {}
        self._numbers = 0
        self.looking = True

    def number(self) -> int:
        """A number for a new breakpoint."""
        self._numbers += 1
        return self._numbers

    # --- adding ------------------------------------------------------------------------------------------------------

    def add_site(self, site: Site) -> Breakpoint:
        """A breakpoint in front of instructions."""
        found = site.breakpoint
        for test in dict.fromkeys(site.tests):
            record = found.prepare(self.table.record(), test)
            record[probe_layout.ADDRESS] = site.address
            self.by_record[record.address] = found
        self._sites[found.number] = site
        self._redecode(site)
        return self._keep(found)

    def add_watch(self, found: Breakpoint, address: int, size: int, kinds: int, space: int) -> Breakpoint:
        """A watchpoint. ValueError: there are too many."""
        if None not in self.watches:
            raise ValueError(f"no more than {MAX_WATCHES} watchpoints can be set")
        if self.machine.engine.regions.expect_watchpoints():
            self.machine.engine.translator.invalidate_all()     # so that hot code is compiled with them in mind
        place = self.watches.index(None)
        self.watches[place] = found
        record = self.table.watch(place)
        for offset, value in ((probe_layout.ADDRESS, address), (probe_layout.LENGTH, size),
                              (probe_layout.KINDS, kinds), (probe_layout.SPACE, space), (probe_layout.HITS, 0)):
            record[offset] = value
        found.prepare(record, found.native if kinds == WRITE_BIT else None)
        return self._keep(found)

    def add_vectors(self, found: Breakpoint, vectors: frozenset[int]) -> Breakpoint:
        """A breakpoint on the delivery of interrupts and exceptions."""
        self.vectors[found.number] = (found, vectors)
        return self._keep(found)

    def add_switches(self, found: Breakpoint) -> Breakpoint:
        """A breakpoint on plane switches."""
        self.switches[found.number] = found
        return self._keep(found)

    def add_violations(self, found: Breakpoint) -> Breakpoint:
        """A breakpoint on accesses that a plane's protections deny."""
        self.violations[found.number] = found
        return self._keep(found)

    def at(self, uop: int) -> Breakpoint | None:
        """The breakpoint of a probe's micro-op."""
        return self.by_record.get(ctypes.c_uint64.from_address(uop + uops.IMM).value)

    def resync(self) -> None:
        """Registers are watched for changes from what they are now."""
        for found in self.breakpoints.values():
            if found.kind == REGISTER and found.plane is not None:
                planes = self.machine.vcpus[found.vcpu or 0].planes
                if found.plane < len(planes):
                    record = found.records[0]
                    record[probe_layout.LOW] = planes[found.plane].get(found.slot) & record[probe_layout.MASK]

    def _keep(self, found: Breakpoint) -> Breakpoint:
        self.breakpoints[found.number] = found
        self._refresh()
        return found

    # --- changing ----------------------------------------------------------------------------------------------------

    def switch(self, found: Breakpoint, on: bool) -> None:
        """Look for a breakpoint or not."""
        for record in found.records:
            record[probe_layout.ON] = int(on)
        self._refresh()

    def remove(self, found: Breakpoint) -> None:
        """Forget a breakpoint."""
        if self.breakpoints.pop(found.number, None) is None:
            return
        if found in self.watches:
            self.watches[self.watches.index(found)] = None
            found.records[0][probe_layout.ON] = 0
        self.vectors.pop(found.number, None)
        self.switches.pop(found.number, None)
        self.violations.pop(found.number, None)
        site = self._sites.pop(found.number, None)
        if site is not None:
            self._redecode(site)
            for record in found.records:
                del self.by_record[record.address]
                self.table.give_back(record)
        self._refresh()

    def suspend(self, on: bool) -> None:
        """While going to another time, nothing is looked for: `on` False; True restores what was."""
        for found in self.breakpoints.values():
            for record in found.records:
                record[probe_layout.ON] = int(on and found.enabled)
        self.looking = on
        self._refresh()

    def _refresh(self) -> None:
        """Write the table's own fields, and tell every plane whether there is something in it."""
        looking = self.looking
        count = max((n + 1 for n, watch in enumerate(self.watches) if watch is not None), default=0)
        self.table.set(probe_layout.COUNT, count)
        bits = 0
        for found, vectors in self.vectors.values():
            if found.enabled and looking:
                bits |= sum(1 << vector for vector in vectors)
        for n in range(4):
            self.table.set(probe_layout.VECTORS + 8 * n, bits >> 64 * n)
        switches = looking and any(found.enabled for found in self.switches.values())
        self.table.set(probe_layout.SWITCHES, int(switches))
        address = self.table.address if looking and (count or bits or switches) else 0
        engine = self.machine.engine
        flush = bool(count) or engine.probes != address
        engine.probes = address
        for plane in self.machine.all_planes():
            plane.set(layout.PROBES, address)
            if flush:
                plane.flush()

    # --- decoding ----------------------------------------------------------------------------------------------------

    def _redecode(self, site: Site) -> None:
        translator = self.machine.engine.translator
        translator.instrument = self._instrument if self._sites else None
        if site.gpa is not None:
            translator.invalidate(site.gpa)
        else:
            translator.invalidate_all(site.offset)
        for plane in self.machine.all_planes():
            plane.flush()

    def _instrument(self, emitter: Emitter, insn: Instruction, gpa: int) -> None:
        """Put micro-ops in front of an instruction."""
        for site in self._sites.values():
            if site.offset is not None and site.offset != gpa % PAGE:
                continue
            if site.gpa is not None and site.gpa != gpa & -PAGE:
                continue
            if site.mnemonics is not None and insn.mnemonic not in site.mnemonics:
                continue
            which = 0
            if site.immediate is not None and any(insn.op_kind(n) == OpKind.IMMEDIATE8 for n in range(insn.op_count)):
                if insn.immediate8 != site.immediate:
                    continue
                which = 1
            test = site.tests[which if site.immediate is not None else int(emitter.bits != 64)]
            distinct = list(dict.fromkeys(site.tests))
            record = site.breakpoint.records[distinct.index(test)]
            slot = layout.ZERO if test is None else test.slot
            source = PROBE_FILE if slot >= layout.HOT_END else PROBE_EQUAL if test and test.is_equality else PROBE_HOT
            lower = test.low & 0xFFFFFFFF if test and source == PROBE_EQUAL else layout.ZERO
            emitter.op(f"probe.{site.where}.{source}", d=int(emitter.bits == 64), a=slot, b=lower, imm=record.address)

