"""Scheduling policies that users write: a Python file with two functions, compiled for jit/selector.py.

    choose(active, present, runnable, events) -> the plane that goes on
    request(active, target, present, runnable, events) -> the plane to run when a guest asks for `target`; -1: refused

`present`, `runnable` and `events` are sets of planes, bit n for plane n: that have something to run; that were entered
and have not asked for another since; that have an event. FILTER says which interrupts are events: "injectable" those
that can be taken at once, "priority" those that TPR and PPR let through, "any" all in IRR; MARKER, a plane, tells
guests which one is to schedule.

A file is checked before it is used: what is in it (emu/planes/script_source.py), then its answers in every state of
three planes.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from emu.planes.policies import Policy
from emu.planes.script_source import MAX_BYTES, Program, parse
from jit import group_layout as g
from jit.group_layout import MAX_PLANES

if TYPE_CHECKING:
    from emu.group import Group

FILTERS = {"injectable": g.FILTER_INJECTABLE, "priority": g.FILTER_PRIORITY, "any": g.FILTER_ANY}
PARAMETERS = {"choose": ("active", "present", "runnable", "events"),
              "request": ("active", "target", "present", "runnable", "events")}
CHECKED_PLANES = 3
REFUSED = -1
NO_ANSWER = {g.FUEL_GONE: f"does not end within {g.SCRIPT_FUEL_LIMIT:,} steps", g.FUEL_DIVISION: "divides by zero",
             g.FUEL_SHIFT: "shifts by a negative number"}
_ANSWER = ctypes.CFUNCTYPE(*[ctypes.c_int64] * 7)


class Script(NamedTuple):
    """Addresses of the compiled functions; `keep` holds them in memory."""

    choose: int
    request: int
    keep: tuple[Any, ...]


def load(path: str) -> Policy:
    """The policy in a file. ValueError: one line that says what is wrong with it."""
    try:
        with open(path, encoding="utf-8") as source:
            program = parse(source.read(MAX_BYTES + 1))
        irq_filter, marker = _settings(program)
        script = _compile(path, program)
        _check(script)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"policy {path}: {_one_line(error)}") from error
    return Policy(path, g.MODE_SCRIPT, marker=marker, irq_filter=irq_filter, return_rule=g.RETURN_EXPLICIT,
                  script=script)


def _settings(program: Program) -> tuple[int, int | None]:
    """What the file's constants and the names of its functions and parameters say: FILTER and MARKER."""
    for name, parameters in PARAMETERS.items():
        given = program.parameters.get(name)
        if given is None:
            raise ValueError(f"it has no function {name}({', '.join(parameters)})")
        if given != parameters:
            raise ValueError(f"{name}({', '.join(given)}) must be {name}({', '.join(parameters)})")
    irq_filter, marker = program.constants.get("FILTER", "priority"), program.constants.get("MARKER")
    if irq_filter not in FILTERS:
        raise ValueError(f"FILTER is {irq_filter!r}, not one of {', '.join(FILTERS)}")
    if marker is not None and (type(marker) is not int or not 0 <= marker < MAX_PLANES):
        raise ValueError(f"MARKER is {marker!r}, not a plane from 0 to {MAX_PLANES - 1}")
    return FILTERS[irq_filter], marker


# --- compilation ---------------------------------------------------------------------------------------------------


def _compile(path: str, program: Program) -> Script:
    """Both functions with the same operands, as jit/script.py calls them."""
    import numba

    from jit import script_guard
    from jit.native import inline
    names: dict[str, Any] = {name: getattr(script_guard, name) for name in script_guard.NAMES}
    names |= {name: value for name, value in program.constants.items() if isinstance(value, int)}
    exec(compile(program.code, path, "exec"), names)        # definitions of functions that were checked, nothing else
    for name in program.parameters:
        names[name] = inline(names[name])
    choose, request = names["choose"], names["request"]

    def chooses(fuel: int, active: int, target: int, present: int, runnable: int, events: int) -> int:
        return choose(fuel, active, present, runnable, events)

    def requests(fuel: int, active: int, target: int, present: int, runnable: int, events: int) -> int:
        return request(fuel, active, target, present, runnable, events)

    made = []
    for name, function in (("choose", chooses), ("request", requests)):
        try:
            made.append(numba.cfunc(numba.int64(*(numba.int64,) * 6), nopython=True)(function))
        except Exception as error:          # whatever goes wrong in a compiler with a strange function
            raise ValueError(f"{name} cannot be compiled: {_one_line(error)}") from error
    return Script(made[0].address, made[1].address, (*made, names))


# --- the check -----------------------------------------------------------------------------------------------------


def _subsets(planes: int) -> Iterator[int]:
    return (chosen for chosen in range(1 << CHECKED_PLANES) if not chosen & ~planes)


def _check(script: Script) -> None:
    """Ask for every state: an answer is a plane that is there, and one that stays until something changes."""
    choose, request = _ANSWER(script.choose), _ANSWER(script.request)
    for active, present in itertools.product(range(CHECKED_PLANES), range(1 << CHECKED_PLANES)):
        if not present >> active & 1:
            continue
        for runnable, events in itertools.product(_subsets(present), _subsets(present)):
            _settle(choose, active, present, runnable, events)
            for target in range(CHECKED_PLANES):
                if present >> target & 1:
                    _ask("request", request, (active, target, present, runnable, events))


def _settle(choose: Callable[..., int], active: int, present: int, runnable: int, events: int) -> None:
    """Follow the choices from a state until one repeats."""
    way = [active]
    while True:
        chosen = _ask("choose", choose, (way[-1], way[-1], present, runnable, events))
        if chosen == way[-1]:
            return
        way.append(chosen)
        if len(way) > CHECKED_PLANES + 1:
            raise ValueError(f"choose gets nowhere with present={present:#b}, runnable={runnable:#b}, "
                             f"events={events:#b}: {' -> '.join(map(str, way))}")
        runnable |= 1 << chosen


def _ask(name: str, function: Callable[..., int], arguments: tuple[int, ...]) -> int:
    """One answer. ValueError: nonsense, with the state that led to it."""
    fuel = ctypes.c_int64(g.SCRIPT_FUEL_LIMIT)
    answer = function(ctypes.addressof(fuel), *arguments)
    why = NO_ANSWER.get(fuel.value) or _nonsense(name, answer, arguments[2])
    if why:
        shown = ", ".join(f"{parameter}={value if parameter in ('active', 'target') else bin(value)}"
                          for parameter, value in zip(PARAMETERS["request"], arguments, strict=True)
                          if parameter in PARAMETERS[name])
        raise ValueError(f"{name}({shown}) {why}")
    return answer


def _nonsense(name: str, answer: int, present: int) -> str:
    if name == "request" and answer == REFUSED or 0 <= answer < MAX_PLANES and present >> answer & 1:
        return ""
    return f"gave {answer}, and that plane is not present"


def fault(group: Group) -> str:
    """What was wrong with the script's last answer, in words."""
    kind, answer, fuel = (word - (1 << 64) if word >> 63 else word
                          for word in map(group.get, (g.SCRIPT_FAULT, g.SCRIPT_ANSWER, g.SCRIPT_FUEL)))
    if kind == g.SCRIPT_FAULT_STALLED:
        return f"choose changed planes {g.SCRIPT_IDLE_LIMIT} times without one instruction in between"
    name = "choose" if kind == g.SCRIPT_FAULT_CHOOSE else "request"
    return f"{name} {NO_ANSWER.get(fuel) or _nonsense(name, answer, 0)}"


def _one_line(error: Exception) -> str:
    """The part of a message that says what is wrong: the last line that numba writes about types is about where."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    useful = [line for line in lines if not line.startswith(("File ", "During:", "Failed in", "This error", "<"))]
    return (useful or lines or [type(error).__name__])[0]
