"""Executing instruction by instruction, fast: batches run in compiled code, which writes down each instruction."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emu import stop as reasons
from emu.plane import GPR_NAMES, flags_of
from jit import stepping_layout as layout

if TYPE_CHECKING:
    from emu.api.machine import Machine

FIRST_BATCH, BATCH = 16, 8192
WORDS = layout.ROW_BYTES // 8


class Step(NamedTuple):
    """An instruction about to be executed: number `icount` of the run, at RIP `rip` of a plane. `rows`, `row`: where
    its registers were written down."""

    icount: int
    vcpu: int
    plane: int
    rip: int
    rows: Any
    row: int

    @property
    def regs(self) -> dict[str, int]:
        """General registers and RFLAGS before it."""
        words = self.rows[self.row].tolist()
        found = dict(zip(GPR_NAMES, words[layout.GPRS_AT // 8:], strict=False))
        found["rflags"] = flags_of(*words[layout.FLAGS_AT // 8:])
        return found


def steps(machine: Machine, count: int | None) -> Iterator[Step]:
    """Execute `count` instructions, or all until the guest ends. Breakpoints end nothing. A consumer that stops early
    leaves the machine before the instruction of the last step, if there is a history."""
    debugger = machine.debugger
    debugger._begin()
    debugger.settle()
    end = None if count is None else machine.clock.icount + count
    size, last = FIRST_BATCH, machine.clock.icount
    try:
        while end is None or machine.clock.icount < end:
            first = machine.clock.icount
            rows = np.zeros((size if end is None else min(size, end - first), WORDS), np.uint64)
            reason = _run_batch(machine, rows, first)
            done = machine.clock.icount - first
            columns = rows[:done, :layout.GPRS_AT // 8].T.tolist()
            for step in map(Step._make, zip(range(first, first + done), *columns, repeat(rows), range(done),
                                            strict=False)):
                last = step.icount
                yield step
            if reason != reasons.MAX_INSNS:
                return
            size = min(2 * size, BATCH)
        last = machine.clock.icount
    finally:
        if debugger.history is not None and last < machine.clock.icount and machine.stopping is not None \
                and machine.stopping.reason == reasons.MAX_INSNS:
            debugger.goto(last)


def _run_batch(machine: Machine, rows: np.ndarray[Any, Any], first: int) -> str:
    engine, debugger = machine.engine, machine.debugger
    usual = engine.run_group
    engine.run_group = engine.stepper(rows.ctypes.data, first, len(rows))
    debugger.probes.suspend(False)
    try:
        reason = machine.run_plain(len(rows)).reason
    finally:
        engine.run_group = usual
        debugger.probes.suspend(True)
    debugger.settle()
    return reason
