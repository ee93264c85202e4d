"""Regions that count the instructions they run, so that a test can tell that compiled code was really tested."""

from __future__ import annotations

import ctypes

from llvmlite import ir

from emu.engine import Engine
from emu.regions import Regions
from jit import uops
from jit.region import RegionBuilder
from jit.threaded import I32, I64, PTR

_ran = ctypes.c_int64(0)


class CountingBuilder(RegionBuilder):
    """Adds what a region took from the budget, less what it left undone, to one counter in host memory."""

    def _copy_out(self) -> ir.Value:
        at = super()._copy_out()
        b, (_, uop, left) = self.b, self.function.args
        charged = b.add(left, self.field(uops.REM, I32, uop))
        kept = self.left
        if b.block is self.interpret:           # the only way out in the middle of a block
            kept = b.add(kept, self.field(uops.REM, I32, b.inttoptr(at, PTR)))
        place = b.inttoptr(I64(ctypes.addressof(_ran)), I64.as_pointer())
        b.store(b.add(b.load(place), b.sub(charged, kept)), place)
        return at


class CountingRegions(Regions):
    """A block compiler whose regions count."""

    builder = CountingBuilder


def count(engine: Engine) -> None:
    """Make the regions of an engine that has none yet count what they run."""
    engine.regions = CountingRegions(engine)


def ran() -> int:
    """Instructions that counting regions have run in this process."""
    return _ran.value
