"""Registers and memory as a vCPU's planes see them, for reading and writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emu import state_names
from emu.group import Group, Switch
from emu.irq.lapic import LocalApic
from emu.mem.ram import PAGE
from emu.planes.layers import Layer, denials
from emu.walk import Walk, read_virtual, walk, write_virtual
from jit import group_layout, layout

if TYPE_CHECKING:
    from emu.api.machine import Machine
    from emu.plane import Plane

GENERAL = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
           "rip", "rflags")


class Registers:
    """A plane's registers as attributes, by the names of the manuals: `regs.rax`, `regs.al`, `regs.cs_base`,
    `regs.cr3`, `regs.efer`, `regs.xmm0`. Values are unsigned integers. AttributeError: there is none of that name."""

    _plane: Callable[[], Plane]
    _changed: Callable[[], None]

    def __init__(self, plane: Callable[[], Plane], changed: Callable[[], None]) -> None:
        object.__setattr__(self, "_plane", plane)
        object.__setattr__(self, "_changed", changed)

    def __getattr__(self, name: str) -> int:
        try:
            return state_names.read(self._plane(), name)
        except KeyError:
            raise AttributeError(f"there is no register {name!r}") from None

    def __setattr__(self, name: str, value: int) -> None:
        try:
            state_names.write(self._plane(), name, value)
        except KeyError:
            raise AttributeError(f"there is no register {name!r}") from None
        self._changed()

    def __getitem__(self, name: str) -> int:
        return getattr(self, name)

    def __setitem__(self, name: str, value: int) -> None:
        setattr(self, name, value)

    def __iter__(self) -> Iterator[str]:
        return iter(state_names.REGISTERS)

    def dump(self, names: Sequence[str] = GENERAL) -> dict[str, int]:
        """Several registers at once, by name."""
        plane = self._plane()
        return {name: state_names.read(plane, name) for name in names}


class Memory:
    """Memory by address: `memory[a:b]` are bytes, `memory[a]` is one; both can be assigned to. `size` bytes can be read
    with `read(a, size)`. IndexError: not all of it is mapped to memory. Devices are not read."""

    def __init__(self, read: Callable[[int, int], bytes], write: Callable[[int, bytes], int],
                 changed: Callable[[], None]) -> None:
        self._read, self._write, self._changed = read, write, changed

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes."""
        data = self._read(address, size)
        if len(data) != size:
            raise IndexError(f"{address + len(data):#x} is not mapped to memory")
        return data

    def most(self, address: int, size: int) -> bytes:
        """As many of `size` bytes as are mapped to memory without a gap, from the first."""
        return self._read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Change bytes, read-only ones included. IndexError: nothing was changed."""
        self.read(address, len(data))
        self._write(address, bytes(data))
        self._changed()

    def integer(self, address: int, size: int = 8) -> int:
        """A little-endian unsigned integer of `size` bytes."""
        return int.from_bytes(self.read(address, size), "little")

    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return self.read(at.start, at.stop - at.start)
        return self.read(at, 1)[0]

    def __setitem__(self, at: int | slice, value: Any) -> None:
        if isinstance(at, slice):
            if len(value) != at.stop - at.start:
                raise ValueError(f"{len(value)} bytes for {at.stop - at.start}")
            self.write(at.start, value)
        else:
            self.write(at, bytes((value,)))


class PlaneView:
    """One plane of one vCPU, also across snapshots: a view, not a copy."""

    def __init__(self, machine: Machine, vcpu: int, number: int) -> None:
        self._machine, self.vcpu, self.number = machine, vcpu, number
        self.regs = Registers(self._plane, machine.note_change)
        self.memory = Memory(lambda at, size: read_virtual(machine, self._plane(), at, size),
                             lambda at, data: write_virtual(machine, self._plane(), at, data), machine.note_change)

    def __repr__(self) -> str:
        return f"<{self.name} of vCPU {self.vcpu}, rip={self.rip:#x}>"

    def _plane(self) -> Plane:
        planes = self._machine.vcpus[self.vcpu].planes
        if self.number >= len(planes):
            raise LookupError(f"vCPU {self.vcpu} has no plane {self.number} at instruction {self._machine.icount}")
        return planes[self.number]

    @property
    def name(self) -> str:
        """What the design calls it: VTL1."""
        return self._machine.plane_name(self.number)

    @property
    def exists(self) -> bool:
        """Whether the vCPU has the plane now."""
        return self.number < len(self._machine.vcpus[self.vcpu].planes)

    @property
    def active(self) -> bool:
        """Whether it is the vCPU's running plane."""
        return self._machine.vcpus[self.vcpu].group.active == self.number

    @property
    def enabled(self) -> bool:
        """Whether the guest has enabled it."""
        return self._machine.vcpus[self.vcpu].group.enabled(self.number)

    @property
    def runnable(self) -> bool:
        """Whether it would run if no higher plane did: it was entered and has not returned."""
        return bool(self._machine.vcpus[self.vcpu].group.get(group_layout.RUNNABLE) >> self.number & 1)

    @property
    def rip(self) -> int:
        """The next instruction's RIP."""
        return self._plane().get(layout.RIP)

    @property
    def bits(self) -> int:
        """Size of its code: 16, 32 or 64."""
        return (16, 32, 64)[self._plane().get(layout.MODE) & 3]

    @property
    def code_address(self) -> int:
        """Linear address of the next instruction."""
        plane = self._plane()
        linear = plane.get(layout.RIP) + plane.get(layout.CS_BASE)
        return linear if self.bits == 64 else linear & 0xFFFFFFFF

    @property
    def halted(self) -> bool:
        """Whether it waits for an interrupt."""
        return self._plane().get(layout.ACTIVITY) != 0

    @property
    def pending(self) -> dict[str, bool]:
        """Events that wait: `interrupt` (its APIC asserts INTR), `nmi`."""
        plane = self._plane()
        return {"interrupt": bool(plane.get(layout.INTERRUPT)), "nmi": bool(plane.get(layout.NMI))}

    @property
    def apic(self) -> LocalApic:
        """Its local APIC."""
        self._plane()
        return self._machine.vcpus[self.vcpu].lapics[self.number]

    def denied(self, gpa: int) -> int:
        """What higher planes deny it of a guest-physical page: DENY_* of jit/guards.py, 0 for nothing."""
        return next(iter(self.denials(gpa // PAGE, 1)), 0) if gpa >= 0 else 0

    def denials(self, first: int, count: int) -> bytes:
        """The same for `count` pages from page number `first` on, a byte for each; fewer where memory ends."""
        return denials(self._machine, self._plane(), first, count)

    def layers(self, gpa: int) -> Sequence[Layer]:
        """Who decides about its accesses to a guest-physical page, what each denies, and which instruction said so."""
        model = self._machine.plane_model
        return () if model is None else model.layers(self._machine.vcpus[self.vcpu], self._plane(), gpa)

    def walk(self, linear: int) -> Walk:
        """The page walk of a linear address, entry by entry; changes nothing."""
        return walk(self._machine, self._plane(), linear)


class VCpuView:
    """One vCPU: `plane[n]`, and the plane that runs."""

    def __init__(self, machine: Machine, index: int) -> None:
        self._machine, self.index = machine, index

    def __repr__(self) -> str:
        return f"<vCPU {self.index}, {self.active.name} runs, {self.icount} instructions>"

    @property
    def plane(self) -> list[PlaneView]:
        """Its planes, by number."""
        return [self._machine.view(self.index, n) for n in range(len(self._machine.vcpus[self.index].planes))]

    @property
    def active(self) -> PlaneView:
        """The plane that runs."""
        return self._machine.view(self.index, self._machine.vcpus[self.index].group.active)

    @property
    def last_switch(self) -> Switch | None:
        """The last plane switch before the present position."""
        group = self._group()
        return next(iter(group.records(1)), None)

    def switch_table(self) -> np.ndarray[Any, Any]:
        """The switches before the present position as rows of numbers: see `emu.group.Group.table`."""
        return self._group().table()

    def _group(self) -> Group:
        group = self._machine.vcpus[self.index].group
        group.now = self._machine.clock.icount
        return group

    @property
    def suspended(self) -> tuple[int, ...]:
        """Planes beside the active one that are runnable, the lowest first: what calls and interrupts have put aside,
        and where the design says so what else may run."""
        group = self._group()
        others = group.get(group_layout.RUNNABLE) & ~(1 << group.active)
        return tuple(n for n in range(others.bit_length()) if others >> n & 1)

    @property
    def shared(self) -> frozenset[str]:
        """Registers that its planes share: what a switch carries over instead of putting it aside."""
        return state_names.within(self._machine.vcpus[self.index].group.shared)

    @property
    def icount(self) -> int:
        """Instructions that it has retired."""
        return self._machine.vcpus[self.index].retired()

    @property
    def regs(self) -> Registers:
        """Registers of the plane that runs."""
        return self.active.regs

    @property
    def memory(self) -> Memory:
        """Memory as the plane that runs sees it."""
        return self.active.memory

    @property
    def rip(self) -> int:
        """RIP of the plane that runs."""
        return self.active.rip
