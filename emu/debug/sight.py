"""Makes events of what compiled code found, and gives conditions the names that they may use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from emu import state_names
from emu.debug import event as kinds
from emu.debug.breakpoint import Breakpoint
from emu.debug.event import Event
from emu.debug.table import Table
from emu.walk import read_virtual
from jit import layout, probe_layout

if TYPE_CHECKING:
    from emu.machine import Machine
    from emu.plane import Plane
    from emu.vcpu import VCpu

RAX, RCX, RDX = layout.gpr(0), layout.gpr(1), layout.gpr(2)
MASK32 = 0xFFFFFFFF


class Names(Mapping[str, Any]):
    """What a condition's names mean at an event."""

    def __init__(self, machine: Machine, event: Event) -> None:
        self.event, self.machine = event, machine
        self.plane = machine.vcpus[event.vcpu].planes[event.plane]

    def __getitem__(self, name: str) -> Any:
        if name in ("u8", "u16", "u32", "u64"):
            size = int(name[1:]) // 8
            return lambda at: int.from_bytes(read_virtual(self.machine, self.plane, at, size), "little")
        if name == "hits":
            return self.event.breakpoint.hits
        if name in state_names.REGISTERS and name != "rip":
            return state_names.read(self.plane, name)
        symbol = self.machine.symbols.named(name)
        if symbol is not None:
            return symbol.address
        return getattr(self.event, name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Sight:
    """Looks at one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def names(self, event: Event) -> Names:
        """Names for a condition."""
        return Names(self.machine, event)

    def _event(self, kind: str, found: Breakpoint, vcpu: VCpu, plane: Plane, **more: Any) -> Event:
        return Event(kind, found, vcpu.index, plane.number, self.machine.clock.icount, plane.get(layout.RIP), **more)

    def before_instruction(self, found: Breakpoint, vcpu: VCpu, plane: Plane) -> Event:
        """A probe in front of the next instruction."""
        more: dict[str, Any] = {}
        wide = plane.get(layout.MODE) & 3 == layout.MODE_64
        if found.kind == kinds.MSR:
            more = {"index": plane.get(RCX) & MASK32,
                    "value": plane.get(RAX) & MASK32 | (plane.get(RDX) & MASK32) << 32}
        elif found.kind == kinds.PORT:
            more = {"value": plane.get(RAX) & MASK32, "index": found.index}
        elif found.kind == kinds.HYPERCALL:
            value = plane.get(RCX) if wide else plane.get(RAX) & MASK32
            more = {"index": value & 0xFFFF, "value": value}
        elif found.kind == kinds.CPUID:
            more = {"index": plane.get(RAX) & MASK32, "value": plane.get(RCX) & MASK32}
        elif found.kind == kinds.REGISTER:
            record = found.records[0]
            old, value = record[probe_layout.LOW], plane.get(found.slot) & record[probe_layout.MASK]
            record[probe_layout.LOW] = value
            more = {"old": old, "value": value}
        return self._event(found.kind, found, vcpu, plane, **more)

    def access(self, found: Breakpoint, vcpu: VCpu, plane: Plane, table: Table) -> Event:
        """A watchpoint; the access is made."""
        written = table.get(probe_layout.HIT_KIND) == probe_layout.WRITE_BIT
        size = table.get(probe_layout.HIT_SIZE)
        mask = (1 << 8 * min(size, 8)) - 1
        return self._event(kinds.WRITE if written else kinds.READ, found, vcpu, plane,
                           linear=table.get(probe_layout.HIT_LINEAR), gpa=table.get(probe_layout.HIT_GPA), size=size,
                           value=table.get(probe_layout.HIT_VALUE) & mask if written else None,
                           old=table.get(probe_layout.HIT_OLD) & mask)

    def delivery(self, found: Breakpoint, vcpu: VCpu, plane: Plane, vector: int) -> Event:
        """An interrupt or exception was delivered."""
        return self._event(kinds.INTERRUPT, found, vcpu, plane, index=vector)

    def switch(self, found: Breakpoint, vcpu: VCpu, plane: Plane) -> Event:
        """A plane switch has happened; `plane` is the one entered."""
        vcpu.group.now = self.machine.clock.icount
        last = next(iter(vcpu.group.records(1)), None)
        source, cause = (None, None) if last is None else (last.source, last.cause)
        return self._event(kinds.PLANE_SWITCH, found, vcpu, plane, source=source, target=plane.number, cause=cause)

    def violation(self, found: Breakpoint, vcpu: VCpu, plane: Plane) -> Event:
        """An access was denied."""
        return self._event(kinds.VIOLATION, found, vcpu, plane, gpa=plane.get(layout.DENIED_GPA),
                           cause=("read", "write", "execute")[plane.get(layout.DENIED_ACCESS)])
