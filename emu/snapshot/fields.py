"""State of objects by their attributes: plain data is state, everything else is wiring.

For models whose objects hold only data, references to each other and callbacks (a plane model's partition, VTLs,
synthetic interrupt controllers). Nothing has to be declared, so nothing can be forgotten. A class with `save` and
`load` answers for itself; attributes named in its NOT_STATE, and sets of what was reported, are left alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from emu.clock import Clock, Event

Plain = Any         # None, bool, int, str, bytes, and lists, tuples, deques, sets and dicts of these
SCALARS = (type(None), bool, int, float, str, bytes)
REPORTED = "_reported"


def is_plain(value: Any) -> bool:
    """Whether a value is data all the way down."""
    if isinstance(value, (*SCALARS, bytearray)):
        return True
    if isinstance(value, list | tuple | deque | set | frozenset):
        return all(is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(is_plain(key) and is_plain(item) for key, item in value.items())
    return False


def copy(value: Plain) -> Plain:
    """A copy that shares nothing that can change."""
    if isinstance(value, bytearray):
        return bytearray(value)
    if isinstance(value, list | deque):
        return type(value)(copy(item) for item in value)
    if isinstance(value, dict):
        return {key: copy(item) for key, item in value.items()}
    return set(value) if isinstance(value, set) else value


def _refill(old: Any, new: Plain) -> bool:
    """Give a container new contents in place, since others may hold it; False: it is not of that kind."""
    if type(old) is not type(new) or not isinstance(old, list | deque | dict | set | bytearray):
        return False
    old.clear()
    if isinstance(old, dict | set):
        old.update(copy(new))
    else:
        old.extend(copy(new))
    return True


class ObjectState:
    """The objects below a root, each under the path that leads to it. Objects of modules outside `package` are not
    entered."""

    def __init__(self, root: Any, package: str, clock: Clock) -> None:
        self.root, self.package, self.clock = root, package, clock

    def _objects(self) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        waiting: list[tuple[str, Any]] = [("", self.root)]
        while waiting:
            path, value = waiting.pop()
            if isinstance(value, dict):
                waiting += [(f"{path}[{key!r}]", item) for key, item in value.items() if is_plain(key)]
            elif is_plain(value):
                continue
            elif isinstance(value, list | tuple):
                waiting += [(f"{path}[{n}]", item) for n, item in enumerate(value)]
            elif type(value).__module__.startswith(self.package) and not callable(value) and id(value) not in seen:
                seen.add(id(value))
                yield path, value
                if not hasattr(value, "save"):
                    waiting += [(f"{path}.{name}", item) for name, item in vars(value).items()
                                if name not in getattr(value, "NOT_STATE", ())]

    def save(self) -> dict[str, Plain]:
        """Path -> data."""
        state: dict[str, Plain] = {}
        for path, value in self._objects():
            if hasattr(value, "save"):
                state[f"{path}()"] = value.save()
                continue
            for name, item in vars(value).items():
                if name == REPORTED or name in getattr(value, "NOT_STATE", ()):
                    continue
                if isinstance(item, Event):
                    state[f"{path}.{name}"] = ["event", item.at, item.callback.__name__, item.name, item.active]
                elif is_plain(item):
                    state[f"{path}.{name}"] = copy(item)
        return state

    def load(self, state: dict[str, Plain]) -> None:
        """Put data back. The objects exist already."""
        for path, value in list(self._objects()):
            if hasattr(value, "load"):
                value.load(state[f"{path}()"])
                continue
            for name, old in list(vars(value).items()):
                new = state.get(f"{path}.{name}", self)
                if new is self:
                    continue
                if isinstance(new, list) and new[:1] == ["event"]:
                    self._reschedule(value, name, new)
                elif not _refill(old, new) and old != new:
                    setattr(value, name, copy(new))

    def _reschedule(self, owner: Any, name: str, saved: list[Any]) -> None:
        """Schedule an event again: a method of the object that holds it."""
        _, at, callback, title, active = saved
        event = self.clock.schedule(at, getattr(owner, callback), title)
        event.active = active
        setattr(owner, name, event)
