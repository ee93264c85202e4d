"""What `monitor ...` in GDB can do: the machine's own commands."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from emu import Breakpoint, Machine
from emu.api.views import PlaneView
from emu.irq import lapic
from emu.snapshot.file import SnapshotError
from jit import pmap
from jit.guards import DENY_EXECUTE, DENY_USER_EXECUTE

Answer = tuple[str, bool]       # text, and whether the machine is elsewhere now
SHOWN = 20


def execute(machine: Machine, line: str, plane: PlaneView) -> Answer:
    """Carry out a command line; `plane` is the chosen thread's."""
    words = line.split()
    command = COMMANDS.get(words[0]) if words else None
    if command is None:
        return help_text(machine, plane, []), False
    try:
        answer = command[0](machine, plane, words[1:])
    except (ValueError, IndexError, LookupError, RuntimeError) as error:
        return f"{words[0]}: {error if str(error) else 'usage: ' + command[1]}\n", False
    except OSError as error:
        return f"{words[0]}: {error.filename}: {error.strerror}\n", False
    return answer, words[0] in MOVING


def number(words: list[str], machine: Machine) -> int:
    """The only argument, as a number or symbol. ValueError: it is neither."""
    if len(words) != 1:
        raise ValueError
    return machine.address_of(words[0])


def help_text(machine: Machine, plane: PlaneView, words: list[str]) -> str:
    """The commands."""
    return "".join(f"  {usage:<24}{what}\n" for _, usage, what in COMMANDS.values())


def planes(machine: Machine, plane: PlaneView, words: list[str]) -> str:
    """Every plane of every vCPU."""
    lines = []
    for vcpu in machine.vcpu:
        for each in vcpu.plane:
            mark = "*" if each.active else " "
            waits = ", ".join(name for name, yes in each.pending.items() if yes) or "nothing"
            state = "enabled" if each.enabled else "not enabled"
            lines.append(f"{mark} vCPU {vcpu.index} {each.name}: {state}, {each.bits}-bit, rip {each.rip:#x}, "
                         f"cr3 {each.regs.cr3:#x}, pending: {waits}\n")
    return "".join(lines)


def switches(machine: Machine, plane: PlaneView, words: list[str]) -> str:
    """The last plane switches before the present position."""
    found = [s for s in machine.switches if s["icount"] <= machine.icount][-SHOWN:]
    return "".join(f"{s['icount']:>12}  vCPU {s['vcpu']}  {machine.plane_name(s['from'])} -> "
                   f"{machine.plane_name(s['to'])}  {s['cause']:<12} {s['rip_from']:#x} -> {s['rip_to']:#x}\n"
                   for s in found) or "no plane switch yet\n"


def perm(machine: Machine, plane: PlaneView, words: list[str]) -> str:
    """What backs a guest-physical page, and what each plane may do with it."""
    gpa = number(words, machine)
    word = machine.memory.map[gpa // 4096] if gpa < machine.memory.top else 0
    if not word:
        kind = "no memory: a device, or nothing"
    elif word & pmap.GUARDED:
        kind = "a hypervisor's page, read-only"
    else:
        kind = "RAM" if word & pmap.WRITE else "ROM"
    code = ", instructions were decoded from it" if word & pmap.CODE else ""
    lines = [f"guest-physical {gpa & -4096:#x}: {kind}{code}\n"]
    for each in machine.vcpu[plane.vcpu].plane:
        denied = each.denied(gpa)
        rights = "".join(letter if not denied >> n & 1 else "-" for n, letter in enumerate("rwx"))
        user = ", user fetches denied" if denied & DENY_USER_EXECUTE and not denied & DENY_EXECUTE else ""
        lines.append(f"  {each.name}: {rights}{user}\n")
    return "".join(lines)


def walk(machine: Machine, plane: PlaneView, words: list[str]) -> str:
    """A linear address through the chosen plane's page tables."""
    linear = number(words, machine)
    found = plane.walk(linear)
    lines = [f"{level.name:<6} at {level.gpa:#x}: {level.entry:#018x} {level.flags()}\n" for level in found.levels]
    if found.gpa is None:
        return "".join(lines) + f"{linear:#x} is not mapped in {plane.name}\n"
    rights = ("r" + ("w" if found.writable else "-") + ("x" if found.executable else "-")
              + (", user" if found.user else ", supervisor"))
    return "".join(lines) + f"{linear:#x} is guest-physical {found.gpa:#x}, {found.page_size:#x}-byte page, {rights}\n"


def apic(machine: Machine, plane: PlaneView, words: list[str]) -> str:
    """The chosen plane's local APIC."""
    unit = plane.apic
    vectors = {name: [n for n in range(256) if getattr(unit, name) >> n & 1] for name in ("irr", "isr")}
    mode = "x2APIC" if unit.x2apic else "xAPIC" if unit.enabled else "disabled"
    lines = [f"{plane.name} of vCPU {plane.vcpu}: {mode}, base {unit.base & -4096:#x}, id {unit.apic_id}, "
             f"SVR {unit.svr:#x}, TPR {unit.tpr:#x}, ICR {unit.icr:#x}\n"]
    lines += [f"{name.upper()}: {' '.join(f'{n:#x}' for n in found) or 'none'}\n" for name, found in vectors.items()]
    lines.append(f"timer: LVT {unit.lvt[lapic.LVT_TIMER]:#x}, count {unit.timer.current()} of {unit.timer.initial}\n")
    return "".join(lines)


def goto(machine: Machine, plane: PlaneView, words: list[str]) -> str:
    """Go to an instruction count; GDB learns of it by `maintenance flush register-cache`."""
    stop = machine.goto(number(words, machine))
    return f"instruction {stop.icount}, {machine.current.name}, rip {stop.rip:#x}\n"


def snapshot(machine: Machine, plane: PlaneView, words: list[str]) -> str:
    """Take a snapshot, into a file if one is named."""
    taken = machine.save(words[0]) if words else machine.snapshot()
    return f"snapshot {taken.id} at instruction {taken.icount}{', written to ' + words[0] if words else ''}\n"


def restore(machine: Machine, plane: PlaneView, words: list[str]) -> str:
    """Become what a snapshot's file holds."""
    try:
        found = machine.restore_file(words[0])
    except SnapshotError as error:
        raise ValueError(str(error)) from None
    return f"snapshot {found.id} at instruction {found.icount}\n"


def catch(machine: Machine, plane: PlaneView, words: list[str]) -> str:
    """Stop at events that GDB has no command for; `catch off` forgets all of them."""
    caught = [found for found in machine.breakpoints if found.what in CAUGHT.get(machine, ())]
    if words == ["off"]:
        for found in caught:
            found.remove()
        return "nothing is caught\n"
    index = [machine.address_of(word) for word in words[1:]]
    kinds: dict[str, Callable[..., Breakpoint]] = {
        "switch": machine.break_plane_switch, "vector": machine.break_interrupt, "msr": machine.break_msr,
        "port": machine.break_port, "hypercall": machine.break_hypercall, "violation": machine.break_violation}
    if words:
        if words[0] not in kinds or len(index) > 1:
            raise ValueError(f"one of {', '.join(kinds)}, off")
        found = kinds[words[0]](*index)
        CAUGHT.setdefault(machine, set()).add(found.what)
        caught.append(found)
    return "".join(f"{found.number}: {found.what}, {found.hits} hits\n" for found in caught) or "nothing is caught\n"


CAUGHT: WeakKeyDictionary[Machine, set[str]] = WeakKeyDictionary()      # what `catch` made


def icount(machine: Machine, plane: PlaneView, words: list[str]) -> str:
    """Where the run is."""
    history = machine.debugger.history
    since = f", history since {history.start}" if history is not None else ""
    return f"instruction {machine.icount}, {machine.clock.now} ns{since}\n"


COMMANDS: dict[str, tuple[Callable[[Machine, PlaneView, list[str]], str], str, str]] = {
    "planes": (planes, "planes", "every plane of every vCPU; * runs"),
    "switches": (switches, "switches", "the last plane switches"),
    "perm": (perm, "perm GPA", "what a guest-physical page is, and what each plane may do with it"),
    "walk": (walk, "walk ADDRESS", "the page walk of a linear address in the chosen thread's plane"),
    "apic": (apic, "apic", "the chosen thread's local APIC"),
    "icount": (icount, "icount", "instructions executed, and virtual time"),
    "catch": (catch, "catch [KIND [N]]", "stop at: switch, vector, msr, port, hypercall, violation; or: off"),
    "goto": (goto, "goto N", "go to an instruction count, back or forth"),
    "snapshot": (snapshot, "snapshot [FILE]", "take a snapshot, into a file"),
    "restore": (restore, "restore FILE", "become what a snapshot's file holds"),
    "help": (help_text, "help", "these commands"),
}
MOVING = ("goto", "restore")
