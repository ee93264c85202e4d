"""Runs one captured real-mode instruction on a bare engine: 16 MiB of RAM, no devices, one plane.

Memory that a capture does not mention holds HLT (F4), and the interrupt vector table points vector v at the HLT at
linear HANDLERS + 16 * v, so that an exception which the captured processor did not raise ends there and can be named.
"""

from __future__ import annotations

import numpy as np

from emu import boot
from emu.engine import Engine
from emu.load.model import SegmentRegister
from emu.mem.ram import PAGE, PhysicalMemory
from emu.plane import Plane
from jit import exits, layout
from tests.hardware.captures import Capture
from tests.hardware.deviations import UPPER_FLAGS, Outcome

RAM = 1 << 24
SPAN = 0x110000                 # what real mode reaches: FFFF:FFFF is 10FFEF
HANDLERS = 0xE0000
HLT = 0xF4
GENERAL = "ax cx dx bx sp bp si di".split()         # in the encoding's order
SEGMENTS = "es cs ss ds".split()
BUDGET = 1000


class RealMode:
    """An engine that is put into the state of one capture after the other, and run to HLT."""

    def __init__(self) -> None:
        memory = PhysicalMemory(RAM)
        block = memory.add_ram(0, RAM)
        self.engine = Engine(memory)
        self.plane = Plane(self.engine)
        self.ram = np.frombuffer(block.view, np.uint8)[:SPAN]
        self.background = np.full(SPAN, HLT, np.uint8)
        for vector in range(256):
            self.background[4 * vector:4 * vector + 4] = np.frombuffer(
                (HANDLERS >> 4 << 16 | 16 * vector).to_bytes(4, "little"), np.uint8)
        self._before = self.background.copy()
        self._changed = np.zeros(SPAN, bool)

    def memory_before(self, capture: Capture) -> np.ndarray:
        """Physical memory as the capture's instruction finds it; valid until the next call."""
        np.copyto(self._before, self.background)
        for address, value in capture["ram"]:
            self._before[address] = value
        return self._before

    def run(self, capture: Capture, before: np.ndarray) -> Outcome:
        """Execute a capture's instruction, and what follows it up to HLT. `before` is its `memory_before`."""
        self.ram[:] = before
        self._load(capture["regs"])
        end = self._to_halt()
        changed = np.flatnonzero(np.not_equal(self.ram, before, out=self._changed))
        return Outcome(self._registers(), {int(a): int(self.ram[a]) for a in changed}, end)

    def _load(self, registers: dict[str, int]) -> None:
        plane = self.plane
        self.engine.translator.flush()
        boot.reset(plane)
        plane.reset_fpu()
        for number, name in enumerate(GENERAL):
            plane.set(layout.gpr(number), registers[name])
        for number, name in enumerate(SEGMENTS):
            selector = registers[name]
            boot.set_segment(plane, number, SegmentRegister(selector, selector << 4, 0xFFFF, 0x93))
        plane.set(layout.IDTR_LIMIT, 0x3FF)
        plane.set(layout.RIP, registers["ip"])
        plane.rflags = registers["flags"] & ~UPPER_FLAGS
        plane.update_mode()

    def _registers(self) -> dict[str, int]:
        plane = self.plane
        values = {name: plane.get(layout.gpr(number)) for number, name in enumerate(GENERAL)}
        values |= {name: plane.get(layout.seg(number, layout.SEG_SELECTOR)) for number, name in enumerate(SEGMENTS)}
        return values | {"ip": plane.get(layout.RIP), "flags": plane.rflags}

    # --- running ------------------------------------------------------------------------------------------------------

    def _to_halt(self) -> str:
        plane, translator = self.plane, self.engine.translator
        plane.set(layout.BUDGET, BUDGET)
        for _ in range(10 * BUDGET):
            status = self.engine.run(plane.address)
            if status == exits.HALT:
                plane.set(layout.RIP, plane.get(layout.NEXT_RIP))
                return "HLT"
            if status == exits.DECODE:
                self._decode()
            elif status == exits.RUNTIME:
                self.engine.provide(plane.get(layout.IO_VALUE))
            elif status == exits.IO:
                self._port()
            elif status == exits.SMC:
                self._store_to_code()
            elif status == exits.SMC_DONE:
                self._forget_stored()
            elif status == exits.SHORT:
                translator.flush()
                plane.flush()
            elif status == exits.HOT:
                pass                        # worth compiling, for the interpreter's many exits; it need not be
            elif status == exits.EVENT:
                return "no HLT"
            elif status == exits.UNIMPLEMENTED:
                return "not implemented"
            elif status == exits.SHUTDOWN:
                return "shutdown"
            else:
                return f"exit {status}"
        return "no progress"

    def _decode(self) -> None:
        plane = self.plane
        gpa = plane.get(layout.WALK_GPA)
        next_page = (gpa & -PAGE) + PAGE            # no paging: the next page is the next one
        for page in self.engine.translator.decode(gpa, plane.get(layout.MODE), next_page):
            self.engine.withdraw_writes(plane.address, page)

    def _port(self) -> None:
        """Nothing answers: a read gives all ones, a write goes nowhere."""
        plane = self.plane
        done = plane.get(layout.IO_DONE)
        plane.set(layout.IO_LOG + 8 * done, (1 << 8 * plane.get(layout.IO_SIZE)) - 1)
        plane.set(layout.IO_DONE, done + 1)
        plane.set(layout.RESUME, 1)

    def _store_to_code(self) -> None:
        """Let the instruction's stores through."""
        for field, value in ((layout.SMC_PASS, 1), (layout.SMC_SECOND, 0), (layout.RESUME, 1)):
            self.plane.set(field, value)

    def _forget_stored(self) -> None:
        """It has ended: forget what was decoded."""
        self.plane.set(layout.SMC_PASS, 0)
        self.engine.translator.flush()
        self.plane.flush()

