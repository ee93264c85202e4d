"""How breakpoints, watchpoints and hooks are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from iced_x86 import Mnemonic

from emu import state_names
from emu.debug import event as kinds
from emu.debug.breakpoint import Breakpoint, Callback
from emu.debug.condition import Condition
from emu.debug.debugger import Debugger
from emu.debug.event import Event
from emu.debug.probes import PAGE, Site
from emu.debug.table import Comparison
from jit import layout
from jit.probe_layout import LINEAR, PHYSICAL, READ_BIT, WRITE_BIT
from jit.semantics.wiring import PROBE_ANYWHERE, PROBE_LINEAR, PROBE_VIRTUAL

if TYPE_CHECKING:
    from emu.api.machine import Machine

RAX, RCX, RDX = layout.gpr(0), layout.gpr(1), layout.gpr(2)
MASK16, MASK32, MASK64 = 0xFFFF, 0xFFFFFFFF, (1 << 64) - 1
IN = frozenset((Mnemonic.IN, Mnemonic.INSB, Mnemonic.INSW, Mnemonic.INSD))
OUT = frozenset((Mnemonic.OUT, Mnemonic.OUTSB, Mnemonic.OUTSW, Mnemonic.OUTSD))
ACCESSES = {"r": READ_BIT, "w": WRITE_BIT, "rw": READ_BIT | WRITE_BIT}
When = str | Callable[[Event], bool] | None


class Placing:
    """The part of a machine that sets breakpoints. All methods take the same filters:

    plane, vcpu: only there. condition: an expression (emu/debug/condition.py) or a function of the Event.
    ignore: hits that only count. callback: is called with the Event instead of ending the run, which its returning True
    does. temporary: removed once it has ended a run. ValueError names an argument that cannot be.
    """

    @property
    def breakpoints(self) -> list[Breakpoint]:
        """All of them, hooks included, by number."""
        return list(self._debugger().probes.breakpoints.values())

    def address_of(self, where: int | str) -> int:
        """An address, or that of a symbol, or "symbol+number". ValueError: there is no such symbol."""
        if isinstance(where, int):
            return where
        name, _, offset = where.partition("+")
        symbol = self._machine().symbols.named(name.strip())
        try:
            base = symbol.address if symbol is not None else int(name, 0)
            return base + (int(offset, 0) if offset else 0)
        except ValueError:
            raise ValueError(f"there is no symbol {where!r}") from None

    def breakpoint(self, where: int | str | None = None, *, virtual: int | None = None, physical: int | None = None,
                   **filters: Any) -> Breakpoint:
        """Stop before the instruction at a linear address or symbol (`where`), at an offset in its code segment
        (`virtual`), or at a guest-physical address."""
        if sum(each is not None for each in (where, virtual, physical)) != 1:
            raise ValueError("a breakpoint needs one of: a linear address or symbol, virtual=, physical=")
        if physical is not None:
            found = self._make(kinds.EXECUTE, f"at guest-physical {physical:#x}", **filters)
            site = Site(found, PROBE_ANYWHERE, offset=physical % PAGE, gpa=physical & -PAGE)
        elif virtual is not None:
            found = self._make(kinds.EXECUTE, f"at RIP {virtual:#x}", **filters)
            site = Site(found, PROBE_VIRTUAL, offset=None, address=virtual & -PAGE & MASK64)
            site.offset, site.where = virtual % PAGE, PROBE_VIRTUAL
        else:
            assert where is not None
            address = self.address_of(where)
            label = f"{where} ({address:#x})" if isinstance(where, str) else f"{address:#x}"
            found = self._make(kinds.EXECUTE, f"at {label}", **filters)
            found.address = address & MASK64
            site = Site(found, PROBE_LINEAR, offset=address % PAGE, address=address & -PAGE & MASK64)
        site.tests = (found.native, found.native)
        return self._debugger().probes.add_site(site)

    def watch(self, where: int | str | None = None, size: int = 8, access: str = "w", *, physical: int | None = None,
              **filters: Any) -> Breakpoint:
        """Stop after an instruction that accesses any of `size` bytes at a linear address or symbol, or at a
        guest-physical one. `access`: "r", "w" or "rw"."""
        if access not in ACCESSES:
            raise ValueError(f"access {access!r}: r, w or rw")
        if (where is None) == (physical is None):
            raise ValueError("a watchpoint needs one of: a linear address or symbol, physical=")
        if not 0 < size <= 1 << 32:
            raise ValueError(f"size {size}: 1 to 2^32")
        address = physical if physical is not None else self.address_of(where or 0)
        what = f"{access} of {size} bytes at {'guest-physical ' if where is None else ''}{address:#x}"
        found = self._make(kinds.WRITE if access == "w" else kinds.READ, what, **filters)
        space = LINEAR if physical is None else PHYSICAL
        return self._debugger().probes.add_watch(found, address, size, ACCESSES[access], space)

    def watch_register(self, name: str, **filters: Any) -> Breakpoint:
        """Stop after an instruction that changes a register of a plane (that which runs, if none is given)."""
        register = state_names.REGISTERS.get(name)
        if register is None or register.offset is None or register.shift:
            raise ValueError(f"register {name!r} cannot be watched")
        machine = self._machine()
        filters = {"vcpu": machine.turn, "plane": machine.vcpus[machine.turn].group.active} | filters
        found = self._make(kinds.REGISTER, f"change of {name}", **filters)
        found.slot = register.offset
        test = Comparison(register.offset, (1 << register.bits) - 1, 0, 0, True)
        done = self._debugger().probes.add_site(Site(found, tests=(test, test)))
        self._debugger().probes.resync()
        return done

    def break_msr(self, index: int | None = None, access: str = "rw", **filters: Any) -> Breakpoint:
        """Stop before RDMSR ("r") or WRMSR ("w") of an MSR, or of any."""
        codes = [code for letter, code in (("r", Mnemonic.RDMSR), ("w", Mnemonic.WRMSR)) if letter in access]
        name = "any MSR" if index is None else f"MSR {index:#x}"
        return self._instructions(kinds.MSR, f"{access} of {name}", codes, equals(RCX, index), **filters)

    def break_port(self, port: int | None = None, access: str = "rw", **filters: Any) -> Breakpoint:
        """Stop before IN ("r") or OUT ("w") of a port, or of any."""
        codes = [code for letter, group in (("r", IN), ("w", OUT)) if letter in access for code in group]
        name = "any port" if port is None else f"port {port:#x}"
        return self._instructions(kinds.PORT, f"{access} of {name}", codes, equals(RDX, port, MASK16), immediate=port,
                                  index=port, **filters)

    def break_hypercall(self, code: int | None = None, **filters: Any) -> Breakpoint:
        """Stop before VMCALL or VMMCALL with a call code (bits 15:0 of the input value), or with any."""
        name = "any hypercall" if code is None else f"hypercall {code:#x}"
        return self._instructions(kinds.HYPERCALL, name, (Mnemonic.VMCALL, Mnemonic.VMMCALL),
                                  equals(RCX, code, MASK16), equals(RAX, code, MASK16), **filters)

    def break_cpuid(self, leaf: int | None = None, **filters: Any) -> Breakpoint:
        """Stop before CPUID of a leaf, or of any."""
        name = "CPUID" if leaf is None else f"CPUID {leaf:#x}"
        return self._instructions(kinds.CPUID, name, (Mnemonic.CPUID,), equals(RAX, leaf), **filters)

    def break_instruction(self, *mnemonics: str, **filters: Any) -> Breakpoint:
        """Stop before every instruction, or those of some mnemonics ("hlt", "iretq")."""
        known = {name.lower(): code for name, code in vars(Mnemonic).items() if isinstance(code, int)}
        for name in mnemonics:
            if name.lower() not in known:
                raise ValueError(f"there is no instruction {name!r}")
        codes = [known[name.lower()] for name in mnemonics] or None
        name = ", ".join(mnemonics) or "every instruction"
        return self._instructions(kinds.INSTRUCTION, name, codes, None, **filters)

    def break_interrupt(self, vectors: int | Iterable[int] | None = None, **filters: Any) -> Breakpoint:
        """Stop when an interrupt or exception was delivered, at its handler's first instruction: of a vector, of
        several, or of any."""
        wanted = frozenset(range(256) if vectors is None else (vectors,) if isinstance(vectors, int) else vectors)
        if not wanted <= frozenset(range(256)):
            raise ValueError("vectors are 0 to 255")
        name = "any vector" if vectors is None else "vector " + ", ".join(f"{v:#x}" for v in sorted(wanted))
        found = self._make(kinds.INTERRUPT, f"delivery of {name}", **filters)
        return self._debugger().probes.add_vectors(found, wanted)

    def break_plane_switch(self, **filters: Any) -> Breakpoint:
        """Stop after a plane switch, before the first instruction of the plane that was entered (which `plane=`
        names)."""
        return self._debugger().probes.add_switches(self._make(kinds.PLANE_SWITCH, "plane switch", **filters))

    def break_violation(self, **filters: Any) -> Breakpoint:
        """Stop when a plane's access to memory is denied by the protections that a more privileged one has set."""
        return self._debugger().probes.add_violations(self._make(kinds.VIOLATION, "permission violation", **filters))

    def last(self, *, write: int | str | None = None, size: int = 8, physical: int | None = None) -> int:
        """The instruction count before the last write of `size` bytes at a linear address or symbol, or at a
        guest-physical one, where the writing instruction is next; the machine stays where it is. LookupError: there
        was none since the history's start."""
        here = self._machine().icount
        with self.watch(write, size, physical=physical) as found:
            stop = self._debugger().reverse_continue([found])
            self._debugger().goto(here)
        if not stop.events:
            what = f"{write!r}" if physical is None else f"guest-physical {physical:#x}"
            raise LookupError(f"no write of {what} since the start of the history")
        return stop.icount

    # --- making them -------------------------------------------------------------------------------------------------

    def _machine(self) -> Machine:
        return self         # type: ignore[return-value]

    def _debugger(self) -> Debugger:
        return self._machine().debugger

    def _make(self, kind: str, what: str, *, plane: int | None = None, vcpu: int | None = None, condition: When = None,
              ignore: int = 0, callback: Callback | None = None, temporary: bool = False) -> Breakpoint:
        if plane is not None and not 0 <= plane < 16:
            raise ValueError(f"plane {plane}: 0 to 15")
        if vcpu is not None and not 0 <= vcpu < len(self._machine().vcpus):
            raise ValueError(f"vcpu {vcpu}: there are {len(self._machine().vcpus)}")
        if ignore < 0:
            raise ValueError(f"ignore {ignore}: not negative")
        parsed = (Condition(condition, lambda name: self._machine().symbols.named(name) is not None)
                  if isinstance(condition, str) else condition)
        return Breakpoint(self._debugger().probes, kind, what, plane=plane, vcpu=vcpu, condition=parsed, ignore=ignore,
                          callback=callback, temporary=temporary)

    def _instructions(self, kind: str, what: str, mnemonics: Iterable[int] | None, test: Comparison | None,
                      test32: Comparison | None = None, *, immediate: int | None = None, index: int | None = None,
                      **filters: Any) -> Breakpoint:
        found = self._make(kind, what, **filters)
        found.index = index
        tests = (test, test32 or test) if immediate is None else (test, None)
        if kind == kinds.INSTRUCTION:
            tests = (found.native, found.native)
        codes = None if mnemonics is None else frozenset(mnemonics)
        return self._debugger().probes.add_site(Site(found, mnemonics=codes, tests=tests, immediate=immediate))


def equals(slot: int, value: int | None, mask: int = MASK32) -> Comparison | None:
    """Compiled code's test that a register has a value; None for any."""
    return None if value is None else Comparison(slot, mask, value & mask, 0)


class Hooks:
    """`machine.on`: callbacks by event. Each method takes the same arguments as the breakpoint of its kind, then a
    callback, and gives an object with `remove()`; without a callback it is a decorator."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def _hook(self, place: Callable[..., Breakpoint], args: tuple[Any, ...], filters: dict[str, Any]) -> Any:
        if args and callable(args[-1]):
            return place(*args[:-1], callback=args[-1], **filters)

        def decorate(callback: Callback) -> Breakpoint:
            return place(*args, callback=callback, **filters)
        return decorate

    def execute(self, *args: Any, **filters: Any) -> Any:
        """Before the instruction at an address."""
        return self._hook(self._machine.breakpoint, args, filters)

    def instruction(self, *args: Any, **filters: Any) -> Any:
        """Before every instruction, or those of some mnemonics."""
        return self._hook(self._machine.break_instruction, args, filters)

    def read(self, *args: Any, **filters: Any) -> Any:
        """After a read of memory."""
        return self._hook(self._machine.watch, args, {"access": "r"} | filters)

    def write(self, *args: Any, **filters: Any) -> Any:
        """After a write of memory."""
        return self._hook(self._machine.watch, args, {"access": "w"} | filters)

    def register(self, *args: Any, **filters: Any) -> Any:
        """After a register's change."""
        return self._hook(self._machine.watch_register, args, filters)

    def msr(self, *args: Any, **filters: Any) -> Any:
        """Before RDMSR or WRMSR."""
        return self._hook(self._machine.break_msr, args, filters)

    def port(self, *args: Any, **filters: Any) -> Any:
        """Before IN or OUT."""
        return self._hook(self._machine.break_port, args, filters)

    def hypercall(self, *args: Any, **filters: Any) -> Any:
        """Before VMCALL or VMMCALL."""
        return self._hook(self._machine.break_hypercall, args, filters)

    def cpuid(self, *args: Any, **filters: Any) -> Any:
        """Before CPUID."""
        return self._hook(self._machine.break_cpuid, args, filters)

    def interrupt(self, *args: Any, **filters: Any) -> Any:
        """After the delivery of an interrupt or exception."""
        return self._hook(self._machine.break_interrupt, args, filters)

    def plane_switch(self, *args: Any, **filters: Any) -> Any:
        """After a plane switch."""
        return self._hook(self._machine.break_plane_switch, args, filters)

    def violation(self, *args: Any, **filters: Any) -> Any:
        """After a denied access to memory."""
        return self._hook(self._machine.break_violation, args, filters)
