"""A snapshot: everything that a machine is at one instruction count, as a value."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from emu.snapshot import encoding, state
from emu.snapshot.pages import RamImage, RamTracker
from emu.snapshot.registers import layout_digest

if TYPE_CHECKING:
    from emu.machine import Machine


class Snapshot:
    """State and RAM of a machine before its instruction number `icount` (counted from 0). It never changes, and equals
    another that holds the same; `id` is a digest of it as a hexadecimal number."""

    def __init__(self, options: dict[str, Any], icount: int, saved: dict[str, Any], ram: RamImage) -> None:
        self.options, self.icount, self.state, self.ram = options, icount, saved, ram
        self._id = ""

    @property
    def id(self) -> str:
        """A digest of state and RAM."""
        if not self._id:
            self._id = digest(self.state, self.ram)
        return self._id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Snapshot icount={self.icount} id={self.id[:12]}>"


def digest(saved: dict[str, Any], ram: RamImage) -> str:
    """What two equal machines share."""
    return hashlib.blake2b(encoding.encode(saved) + ram.digest(), digest_size=16).hexdigest()


def options(machine: Machine) -> dict[str, Any]:
    """What a machine must have in common with the one whose snapshot it takes over."""
    return {**machine.options, "layout": layout_digest()}


class Snapshots:
    """Takes snapshots of one machine and goes back to them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.tracker = RamTracker(machine.memory)

    def take(self) -> Snapshot:
        """The machine as it is: `Machine.settled` was true."""
        machine = self.machine
        machine.flush_all()
        return Snapshot(options(machine), machine.clock.icount, state.save(machine), self.tracker.take())

    def state_hash(self) -> str:
        """A digest of the machine as it is; that of a snapshot taken here is the same."""
        return digest(state.save(self.machine), self.tracker.now())

    def restore(self, snapshot: Snapshot) -> None:
        """Go to a snapshot of a machine with the same options."""
        machine = self.machine
        state.load(machine, snapshot.state)
        for gpa in self.tracker.restore(snapshot.ram):
            machine.engine.translator.invalidate(gpa)
        machine.flush_all()
        machine.stopping = None
