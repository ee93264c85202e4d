"""A machine about to begin a path, and stepping it with everything counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from iced_x86 import Decoder, Instruction, Mnemonic

from emu.walk import read_virtual
from jit import group_layout, layout
from jit import stepping_layout as rows
from tools.bench.switch.counts import Counts, switched
from tools.bench.switch.observe import Accesses, TlbView

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.vcpu import VCpu

LONGEST_PATH = 5_000            # instructions: more than any path, so that one that never ends is noticed
BY_INTERRUPT = group_layout.CAUSE_NAMES[group_layout.CAUSE_INTERRUPT]
X2APIC, SYNTHETIC = range(0x800, 0x900), range(0x4000_0070, 0x4000_0073)     # EOI, ICR, TPR of the TLFS
INTERCEPTED = {Mnemonic.VMCALL, Mnemonic.VMMCALL, Mnemonic.VMGEXIT, Mnemonic.CPUID, Mnemonic.HLT, Mnemonic.IN,
               Mnemonic.OUT, Mnemonic.MWAIT}


class GuestError(Exception):
    """The guest did not do what the scenario expects of it; one line."""


class Executed(NamedTuple):
    """An instruction that was executed: where, its text, and what it was in all."""

    plane: int
    rip: int
    place: str
    text: str
    counts: Counts


class Rig:
    """One vCPU and its planes. Subclasses say how an instruction is run and what happens at a path's beginning."""

    def __init__(self, machine: Machine, begin: str, end: str) -> None:
        self.machine = machine
        self.vcpu: VCpu = machine.vcpus[0]
        self.begin, self.end = self.symbol(begin), self.symbol(end)
        self.named: list[tuple[int, int]] = []      # switches that userspace made, which no record tells of
        self._row = np.zeros((1, rows.ROW_BYTES // 8), np.uint64)

    # --- what subclasses have ------------------------------------------------------------------------------------

    def run(self, instructions: int) -> None:
        """Execute so many instructions, with all that the VMM does meanwhile."""
        raise NotImplementedError

    def stimulate(self) -> bool:
        """Let happen what comes from outside at the path's beginning; whether anything does."""
        return self.from_outside

    @property
    def from_outside(self) -> bool:
        """Whether something happens from outside at the path's beginning."""
        return False

    @property
    def userspace_exits(self) -> int:
        """How often the VMM's userspace was asked so far."""
        return 0

    # --- the guest ------------------------------------------------------------------------------------------------

    def symbol(self, name: str) -> int:
        """Address of a label. GuestError: the image has none of that name."""
        found = self.machine.symbols.named(name)
        if found is None:
            raise GuestError(f"the guest has no symbol {name}")
        return found.address

    def poke(self, name: str, value: int, size: int = 8) -> None:
        """Set a variable of the guest's."""
        self.machine.memory.write(self.symbol(name), value.to_bytes(size, "little"))

    def place(self, rip: int) -> str:
        """An address as symbol+offset."""
        found = self.machine.symbols.nearest(rip)
        return f"{rip:#x}" if found is None else f"{found[0].name}+{found[1]:#x}" if found[1] else found[0].name

    def rip(self) -> int:
        """Where the active plane is."""
        return self.vcpu.plane.get(layout.RIP)

    # --- stepping -------------------------------------------------------------------------------------------------

    def single(self) -> tuple[int, int] | None:
        """Execute one instruction: plane and RIP of it, None where only time passed."""
        engine, usual = self.machine.engine, self.machine.engine.run_group
        self._row[0, rows.RIP_AT // 8] = 0
        engine.run_group = engine.stepper(self._row.ctypes.data, self.machine.clock.icount, 1)
        try:
            self.run(1)
        finally:
            engine.run_group = usual
        rip = int(self._row[0, rows.RIP_AT // 8])
        return (int(self._row[0, rows.PLANE_AT // 8]), rip) if rip else None

    def advance(self) -> None:
        """Execute up to the path's beginning. GuestError: it is not reached."""
        for _ in range(LONGEST_PATH):
            if self.rip() == self.begin:
                return
            self.single()
        raise GuestError(f"the guest is at {self.place(self.rip())} and does not come to {self.place(self.begin)}")

    def skip(self, rounds: int) -> None:
        """Go through the path so many times without counting."""
        for _ in range(rounds):
            self.advance()
            for _ in self._steps():
                pass

    def path(self, cold: bool = False) -> list[Executed]:
        """The next time through the path; `cold`: no plane holds a translation at its beginning. Accesses are not
        counted."""
        self.advance()
        planes = self.vcpu.planes
        if cold:
            for plane in planes:
                plane.flush()
        view = TlbView(self.machine, planes)
        found = []
        for executed, text, counts in self._steps():
            counts.tlb_fills, counts.walk_steps = view.fills()
            found.append(Executed(*executed, self.place(executed[1]), text, counts))
        return found

    def accesses(self) -> list[tuple[int, int]]:
        """Reads and writes of each instruction, the next time through the path."""
        self.advance()
        counter = Accesses(self.vcpu.planes)
        counter.switch(True)
        try:
            return [counter.taken() for _ in self._steps()]
        finally:
            counter.switch(False)

    def _steps(self) -> Iterator[tuple[tuple[int, int], str, Counts]]:
        """Execute the path, giving ((plane, RIP), text, counts) after each instruction."""
        group = self.vcpu.group
        self.named.clear()
        irr, isr = self._apics()
        left = self.stimulate()             # whether the hypervisor runs before the instruction anyway
        outside = int(left)
        for _ in range(LONGEST_PATH):
            switches, exits = group.switches, self.userspace_exits
            executed = self.single()
            counts = Counts(exits=outside, userspace_exits=self.userspace_exits - exits)
            outside = 0
            new_irr, new_isr = self._apics()
            for before, after, took, takes in zip(irr, new_irr, isr, new_isr, strict=True):
                counts.deliveries += (takes & ~took).bit_count()
                counts.routed += (after & ~before | takes & ~took & ~before).bit_count()
            irr, isr = new_irr, new_isr
            group.now = self.machine.clock.icount
            for record in group.records(group.switches - switches):
                switched(counts, self.vcpu, record.source, record.target)
                counts.exits += record.cause == BY_INTERRUPT and not left
            for source, target in self.named:
                switched(counts, self.vcpu, source, target)
            self.named.clear()
            text, left = "", False
            if executed is not None:
                insn = self._decode(*executed)
                text, counts.instructions = f"{insn}", 1
                left = insn.mnemonic in INTERCEPTED
                counts.exits += left
                counts.apic_accesses = self._reaches_apic(insn)
            counts.decisions = counts.exits
            yield executed or (group.active, self.rip()), text, counts
            if self.rip() == self.end and not self._event_first():
                return
        raise GuestError(f"the path from {self.place(self.begin)} does not come to {self.place(self.end)}")

    def _apics(self) -> tuple[list[int], list[int]]:
        return [lapic.irr for lapic in self.vcpu.lapics], [lapic.isr for lapic in self.vcpu.lapics]

    def _event_first(self) -> bool:
        """Whether an interrupt is delivered before the instruction at RIP."""
        plane = self.vcpu.plane
        return bool(plane.get(layout.FAULT_PENDING) or plane.get(layout.INTERRUPT) and plane.get(layout.RFL) >> 9 & 1)

    def _decode(self, number: int, rip: int) -> Instruction:
        plane: Plane = self.vcpu.planes[number]
        return Decoder(64, read_virtual(self.machine, plane, rip, 15), ip=rip).decode()

    def _reaches_apic(self, insn: Instruction) -> int:
        """1 for an access to an MSR of a local APIC, or of the hypervisor's that stands for one."""
        if insn.mnemonic not in (Mnemonic.RDMSR, Mnemonic.WRMSR):
            return 0
        index = int(self._row[0, rows.GPRS_AT // 8 + 1]) & 0xFFFF_FFFF
        return int(index in X2APIC or index in SYNTHETIC)
