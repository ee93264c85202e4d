"""Commands about breakpoints, watchpoints, and other things that end a run."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from emu import Breakpoint, Machine
from tools.debug.commands import Command
from tools.debug.expression import value
from tools.debug.front import Front

OPTION = re.compile(r"\s(plane|vcpu|ignore)\s+(\S+)\s*$")
CAUGHT: dict[str, Callable[..., Breakpoint]] = {
    "switch": Machine.break_plane_switch, "violation": Machine.break_violation, "vector": Machine.break_interrupt,
    "msr": Machine.break_msr, "port": Machine.break_port, "hypercall": Machine.break_hypercall,
    "cpuid": Machine.break_cpuid}


def plane_number(front: Front, text: str) -> int:
    """A plane by number or name. ValueError: there is none such."""
    if text.isdecimal():
        return int(text)
    machine = front.session.machine
    for number in range(16):
        if machine.plane_name(number).lower() == text.lower():
            return number
    raise ValueError(f"{text!r} is no plane")


def split(front: Front, text: str) -> tuple[str, dict[str, Any]]:
    """What is looked for, and `plane P`, `vcpu N`, `ignore N`, `if CONDITION` after it."""
    what, found, condition = f" {text} ".partition(" if ")
    filters: dict[str, Any] = {"condition": condition.strip()} if found else {}
    what = what.rstrip()
    while (option := OPTION.search(what)) is not None:
        name, given = option.groups()
        filters[name] = plane_number(front, given) if name == "plane" else int(given, 0)
        what = what[:option.start()]
    return what.strip(), filters


def _tell(front: Front, found: Breakpoint) -> None:
    front.say(f"{found.number}: {found.what}")
    front.reload()


def set_break(front: Front, text: str, temporary: bool = False) -> None:
    """An instruction, the code panel's or the plane's if none is named."""
    what, filters = split(front, text)
    session = front.session
    machine, plane = session.machine, session.plane
    if what.startswith("gpa "):
        found = machine.breakpoint(physical=value(machine, plane, what[4:]), temporary=temporary, **filters)
    else:
        at = session.code_at if session.code_at is not None else plane.code_address
        where: int | str = at if not what else value(machine, plane, what)
        if machine.symbols.named(what) is not None:
            where = what
        found = machine.breakpoint(where, temporary=temporary, **filters)
    _tell(front, found)


def set_watch(front: Front, text: str, access: str) -> None:
    """Memory, or a register by name."""
    what, filters = split(front, text)
    machine, plane = front.session.machine, front.session.plane
    if what in plane.regs:
        if access != "w":
            raise ValueError(f"{what} is a register: only changes of it can be watched")
        _tell(front, machine.watch_register(what, **{"plane": plane.number, "vcpu": plane.vcpu} | filters))
        return
    physical = what.startswith("gpa ")
    words = what.removeprefix("gpa ").rsplit(" ", 1)
    size = int(words.pop(), 0) if len(words) == 2 and words[1].isdecimal() else 8
    address = value(machine, plane, words[0])
    where = {"physical": address} if physical else {"where": address}
    _tell(front, machine.watch(size=size, access=access, **where, **filters))


def catch(front: Front, text: str) -> None:
    """Events."""
    what, filters = split(front, text)
    words = what.split()
    if not words or words[0] not in CAUGHT or len(words) > 2 or len(words) == 2 and words[0] in ("switch", "violation"):
        raise ValueError(f"one of {', '.join(CAUGHT)}, the latter five with a number if wanted")
    machine = front.session.machine
    index = [value(machine, front.session.plane, word) for word in words[1:]]
    _tell(front, CAUGHT[words[0]](machine, *index, **filters))


def each(front: Front, text: str, act: Callable[[Breakpoint], None]) -> None:
    """Do something with breakpoints by number, or with all."""
    wanted = [int(word, 0) for word in text.replace(",", " ").split()]
    found = [point for point in front.session.breakpoints if not wanted or point.number in wanted]
    if len(found) < len(wanted):
        raise ValueError(f"there is no breakpoint {min(set(wanted) - {point.number for point in found})}")
    for point in found:
        act(point)
    front.reload()


def _enable(point: Breakpoint, on: bool) -> None:
    point.enabled = on


FILTERED = "[plane P] [vcpu N] [ignore N] [if CONDITION]"
PLACES = ("<symbol>", "<register>", "<plane>", "plane", "vcpu", "ignore", "if", "gpa")
COMMANDS = (
    Command(f"break [WHERE] {FILTERED}", "stop before an instruction; `gpa A`: guest-physical", set_break,
            PLACES, ("b",)),
    Command("tbreak [WHERE] ...", "the same, once", partial(set_break, temporary=True), PLACES, ("tb",)),
    Command("watch ADDRESS|REGISTER [SIZE] ...", "stop after a write or change", partial(set_watch, access="w"),
            PLACES),
    Command("rwatch ADDRESS [SIZE] ...", "stop after a read", partial(set_watch, access="r"), PLACES),
    Command("awatch ADDRESS [SIZE] ...", "stop after a read or write", partial(set_watch, access="rw"), PLACES),
    Command("catch KIND [NUMBER] ...", f"stop at: {', '.join(CAUGHT)}", catch, (*CAUGHT, "plane", "if")),
    Command("delete [N...]", "forget breakpoints, or all", lambda f, t: each(f, t, Breakpoint.remove), names=("del",)),
    Command("disable [N...]", "look for them no more", lambda f, t: each(f, t, partial(_enable, on=False))),
    Command("enable [N...]", "look for them again", lambda f, t: each(f, t, partial(_enable, on=True))),
)
