"""The machine as Python programs use it: with registers and memory by name, breakpoints, hooks, and a past."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from types import TracebackType
from typing import Any

from emu import machine as plain
from emu.api.placing import Hooks, Placing
from emu.api.views import Memory, PlaneView, VCpuView
from emu.debug.breakpoint import Breakpoint, Callback
from emu.debug.condition import ConditionError
from emu.debug.debugger import Debugger
from emu.debug.event import Event
from emu.debug.steps import Step, steps
from emu.load.model import Image
from emu.snapshot import file
from emu.snapshot.snapshot import Snapshot, Snapshots
from emu.stop import Stop

__all__ = ["Breakpoint", "Callback", "ConditionError", "Event", "Machine", "Snapshot", "Step", "Stop"]


class Machine(Placing, plain.Machine):
    """An x86-64 PC that can be stepped, examined and taken back.

    Options are those of `emu.machine.Machine`, all by keyword; `memory` also as text ("64M"). `history`: whether
    execution can go back; `history_budget`: the bytes of memory that its snapshots may take. A machine is a context
    manager, which gives its threads and memory back.
    """

    def __init__(self, *, memory: int | str = 256 << 20, history: bool = True, history_budget: int | None = None,
                 **options: Any) -> None:
        super().__init__(memory=parse_size(memory) if isinstance(memory, str) else memory, **options)
        self.debugger = Debugger(self, history, history_budget)
        self.snapshots = self.debugger.history.snapshots if self.debugger.history else Snapshots(self)
        self.on = Hooks(self)
        self.view = cache(lambda vcpu, plane: PlaneView(self, vcpu, plane))
        self.physical = Memory(lambda at, size: self.memory.read(at, size) if self.memory.backed(at, size) else b"",
                               self._poke, self.note_change)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the compiling thread."""
        self.engine.regions.close()

    # --- looking -----------------------------------------------------------------------------------------------------

    @property
    def vcpu(self) -> list[VCpuView]:
        """The vCPUs, by index."""
        return [VCpuView(self, n) for n in range(len(self.vcpus))]

    @property
    def current(self) -> PlaneView:
        """The plane whose instruction is next."""
        return self.view(self.turn, self.vcpus[self.turn].group.active)

    def note_change(self) -> None:
        """Something was changed by hand: a register, memory, a device. The past stays, the future is another."""
        if self.debugger.history is not None:
            self.debugger.history.note_change()

    def _poke(self, gpa: int, data: bytes) -> int:
        self.poke(gpa, data)
        return len(data)

    def load(self, path: str | os.PathLike[str] | None, *args: Any, **options: Any) -> Image:
        """As `emu.machine.Machine.load`."""
        image = super().load(None if path is None else os.fspath(path), *args, **options)
        self.note_change()
        return image

    # --- running -----------------------------------------------------------------------------------------------------

    def run(self, max_insns: int | None = None, timeout: float | None = None) -> Stop:
        """Run to a breakpoint, or until the guest ends, `max_insns` more instructions have retired, or `timeout` host
        seconds are over. What a callback raises is raised here. Ctrl-C ends the run with reason "interrupted"."""
        return self.debugger.run(max_insns, timeout)

    def step(self, count: int = 1) -> Stop:
        """Execute `count` instructions."""
        return self.debugger.step(count)

    def steps(self, count: int | None = None) -> Iterator[Step]:
        """Execute instruction by instruction, `count` of them or until the guest ends; gives a Step before each."""
        return steps(self, count)

    def goto(self, icount: int) -> Stop:
        """Go to an instruction count, back or forth. LookupError: it is before the history's start."""
        return self.debugger.goto(icount)

    def reverse_step(self, count: int = 1) -> Stop:
        """Go back `count` instructions."""
        return self.debugger.reverse_step(count)

    def reverse_continue(self, *only: Breakpoint) -> Stop:
        """Go back to the last breakpoint, or the last of those given. See `Debugger.reverse_continue`."""
        return self.debugger.reverse_continue(only or None)

    def interrupt(self) -> None:
        """End a run that another thread waits for."""
        self.debugger.interrupt()

    # --- snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The machine as it is, as a value: equal machines give equal snapshots."""
        self.debugger.settle()
        return self.snapshots.take()

    def restore(self, snapshot: Snapshot) -> None:
        """Become what a snapshot holds: the history starts anew there. ValueError: it is of a machine with other
        options."""
        file.fits(self, snapshot)
        self.snapshots.restore(snapshot)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.frontier = self.clock.icount
        if self.debugger.history is not None:
            self.debugger.history.forget()

    def state_hash(self) -> str:
        """A digest of RAM and all other state, equal for equal machines; the id that a snapshot would have."""
        return self.snapshots.state_hash()

    def save(self, path: str | os.PathLike[str]) -> Snapshot:
        """Write a snapshot to a file. OSError: it cannot be written."""
        snapshot = self.snapshot()
        file.write(path, snapshot)
        return snapshot

    def restore_file(self, path: str | os.PathLike[str]) -> Snapshot:
        """Restore a snapshot from a file. SnapshotError: it is damaged, or of another machine."""
        snapshot = file.restore(path, self, self.snapshots)
        self._begin_anew()
        return snapshot


UNITS = {"": 1, "B": 1, "K": 1 << 10, "KIB": 1 << 10, "M": 1 << 20, "MIB": 1 << 20, "G": 1 << 30, "GIB": 1 << 30}


def parse_size(text: str) -> int:
    """Bytes of "64M", "64 MiB", "1G". ValueError: it is none of these."""
    digits = text.rstrip("BKMGIbkmgi ").strip()
    unit = text[len(digits):].strip().upper()
    if not digits.isdigit() or unit not in UNITS:
        raise ValueError(f"memory {text!r}: a number of bytes, or with K, M or G")
    return int(digits) * UNITS[unit]
