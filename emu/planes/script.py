"""Scheduling policies that users write: a Python file with two functions, compiled for jit/selector.py.

    choose(active, present, runnable, events) -> the plane that goes on
    request(active, target, present, runnable, events) -> the plane to run when a guest asks for `target`; -1: refused

`present`, `runnable` and `events` are sets of planes, bit n for plane n: that have something to run; that were entered
and have not asked for another since; that have an event. FILTER says which interrupts are events: "injectable" those
that can be taken at once, "priority" those that TPR and PPR let through, "any" all in IRR; MARKER, a plane, tells
guests which one is to schedule.

A file is checked before it is used: both functions are run as plain Python for every state of three planes.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from emu.planes.policies import Policy
from jit import group_layout as g
from jit.group_layout import MAX_PLANES

if TYPE_CHECKING:
    from emu.group import Group

FILTERS = {"injectable": g.FILTER_INJECTABLE, "priority": g.FILTER_PRIORITY, "any": g.FILTER_ANY}
PARAMETERS = {"choose": ("active", "present", "runnable", "events"),
              "request": ("active", "target", "present", "runnable", "events")}
CHECKED_PLANES = 3
MAX_STEPS = 50_000              # Python instructions that a function may execute in one call
REFUSED = -1


class Script(NamedTuple):
    """Addresses of the compiled functions; `keep` holds them in memory."""

    choose: int
    request: int
    keep: tuple[Any, ...]


def load(path: str) -> Policy:
    """The policy in a file. ValueError: one line that says what is wrong with it."""
    try:
        with open(path, encoding="utf-8") as source:
            code = compile(source.read(), path, "exec")
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"policy {path}: {_one_line(error)}") from error
    plain = _execute(path, code)
    functions = {name: _function(path, plain, name) for name in PARAMETERS}
    irq_filter, marker = plain.get("FILTER", "priority"), plain.get("MARKER")
    if irq_filter not in FILTERS:
        raise ValueError(f"policy {path}: FILTER is {irq_filter!r}, not one of {', '.join(FILTERS)}")
    if marker is not None and (type(marker) is not int or not 0 <= marker < MAX_PLANES):
        raise ValueError(f"policy {path}: MARKER is {marker!r}, not a plane from 0 to {MAX_PLANES - 1}")
    _check(path, functions)
    return Policy(path, g.MODE_SCRIPT, marker=marker, irq_filter=FILTERS[irq_filter], return_rule=g.RETURN_EXPLICIT,
                  script=_compile(path, _execute(path, code)))


def _execute(path: str, code: CodeType) -> dict[str, Any]:
    """A module's names."""
    names: dict[str, Any] = {"__name__": "strata_policy", "__file__": path}
    try:
        _limited(lambda: exec(code, names))
    except Exception as error:          # whatever a user's file raises
        raise ValueError(f"policy {path}: {_one_line(error)}") from error
    return names


def _function(path: str, names: dict[str, Any], name: str) -> Callable[..., int]:
    found = names.get(name)
    found = getattr(found, "py_func", found)            # what numba.njit was applied to
    if not isinstance(found, FunctionType):
        raise ValueError(f"policy {path}: it has no function {name}({', '.join(PARAMETERS[name])})")
    given = found.__code__.co_varnames[:found.__code__.co_argcount]
    if given != PARAMETERS[name]:
        raise ValueError(f"policy {path}: {name}({', '.join(given)}) must be {name}({', '.join(PARAMETERS[name])})")
    return found


# --- the check -----------------------------------------------------------------------------------------------------


class TooLong(Exception):
    """A function does not come to an end."""


def _limited(call: Callable[[], Any]) -> Any:
    """Call something that may execute MAX_STEPS instructions. TooLong: they did not suffice."""
    left = MAX_STEPS

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        frame.f_trace_opcodes = True            # a loop may have one line
        left -= 1
        if left < 0:
            raise TooLong(f"it does not end within {MAX_STEPS} steps")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return call()
    finally:
        sys.settrace(before)


def _subsets(planes: int) -> Iterator[int]:
    return (chosen for chosen in range(1 << CHECKED_PLANES) if not chosen & ~planes)


def _check(path: str, functions: dict[str, Callable[..., int]]) -> None:
    """Ask for every state: an answer is a plane that is there, and one that stays until something changes."""
    for active, present in itertools.product(range(CHECKED_PLANES), range(1 << CHECKED_PLANES)):
        if not present >> active & 1:
            continue
        for runnable, events in itertools.product(_subsets(present), _subsets(present)):
            _settle(path, functions["choose"], active, present, runnable, events)
            for target in range(CHECKED_PLANES):
                if present >> target & 1:
                    _ask(path, "request", functions["request"], (active, target, present, runnable, events),
                         REFUSED)


def _settle(path: str, choose: Callable[..., int], active: int, present: int, runnable: int, events: int) -> None:
    """Follow the choices from a state until one repeats."""
    way = [active]
    while True:
        chosen = _ask(path, "choose", choose, (way[-1], present, runnable, events), None)
        if chosen == way[-1]:
            return
        way.append(chosen)
        if len(way) > CHECKED_PLANES + 1:
            raise ValueError(f"policy {path}: choose gets nowhere with present={present:#b}, runnable={runnable:#b}, "
                             f"events={events:#b}: {' -> '.join(map(str, way))}")
        runnable |= 1 << chosen


def _ask(path: str, name: str, function: Callable[..., int], arguments: tuple[int, ...], also: int | None) -> int:
    """One answer. ValueError: nonsense, with the state that led to it."""
    present = arguments[-3]
    shown = ", ".join(f"{parameter}={value if parameter in ('active', 'target') else bin(value)}"
                      for parameter, value in zip(PARAMETERS[name], arguments, strict=True))
    try:
        answer = _limited(lambda: function(*arguments))
    except Exception as error:          # whatever a user's function raises
        raise ValueError(f"policy {path}: {name}({shown}): {_one_line(error)}") from error
    if type(answer) is not int:
        raise ValueError(f"policy {path}: {name}({shown}) gave {answer!r}, which is not an integer")
    if answer != also and not (0 <= answer < MAX_PLANES and present >> answer & 1):
        raise ValueError(f"policy {path}: {name}({shown}) gave {answer}, and that plane is not present")
    return answer


# --- compilation ---------------------------------------------------------------------------------------------------


def _compile(path: str, names: dict[str, Any]) -> Script:
    """Both functions with the same five operands, as jit/script.py calls them."""
    import numba
    for name, value in list(names.items()):
        if isinstance(value, FunctionType):
            names[name] = numba.njit(value)
    choose, request = names["choose"], names["request"]

    def chooses(active: int, target: int, present: int, runnable: int, events: int) -> int:
        return choose(active, present, runnable, events)

    def requests(active: int, target: int, present: int, runnable: int, events: int) -> int:
        return request(active, target, present, runnable, events)

    signature = numba.int64(*(numba.int64,) * 5)
    made = []
    for name, function in (("choose", chooses), ("request", requests)):
        try:
            made.append(numba.cfunc(signature, nopython=True)(function))
        except numba.core.errors.NumbaError as error:
            raise ValueError(f"policy {path}: {name} cannot be compiled: {_one_line(error)}") from error
    return Script(made[0].address, made[1].address, (*made, names))


def fault(group: Group) -> str:
    """What was wrong with the script's last answer, in words."""
    kind, answer = group.get(g.SCRIPT_FAULT), group.get(g.SCRIPT_ANSWER)
    if kind == g.SCRIPT_FAULT_STALLED:
        return f"choose changed planes {g.SCRIPT_IDLE_LIMIT} times without one instruction in between"
    name = "choose" if kind == g.SCRIPT_FAULT_CHOOSE else "request"
    return f"{name} gave {answer - (1 << 64) if answer >> 63 else answer}, and that plane is not present"


def _one_line(error: Exception) -> str:
    """The part of a message that says what is wrong: the last line that numba writes about types is about where."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    useful = [line for line in lines if not line.startswith(("File ", "During:", "Failed in", "This error", "<"))]
    return (useful or lines or [type(error).__name__])[0]
