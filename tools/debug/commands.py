"""The command line: which commands there are, how a line is taken apart, and how it is completed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from emu.state_names import REGISTERS
from tools.debug.front import Front


class Command(NamedTuple):
    """`usage`: name, then arguments; `names`: further ones; `run` gets the text after the name. `completes`: what an
    argument may be: <symbol>, <register>, <plane>, <file>, or a word itself."""

    usage: str
    help: str
    run: Callable[[Front, str], None]
    completes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The first word of the usage."""
        return self.usage.split()[0]


def table() -> dict[str, Command]:
    """Every command by each of its names, in the order of the help screen."""
    from tools.debug import command_breaks, command_looks, command_moves
    found: dict[str, Command] = {}
    for command in (*command_moves.COMMANDS, *command_breaks.COMMANDS, *command_looks.COMMANDS):
        found[command.name] = command
        found.update(dict.fromkeys(command.names, command))
    return found


def find(word: str) -> Command:
    """The command of a name, or of the beginning of one if it is that of one only. ValueError: there is none."""
    known = table()
    if word in known:
        return known[word]
    matches = {known[name].name: known[name] for name in known if name.startswith(word)}
    if len(matches) == 1:
        return next(iter(matches.values()))
    if matches:
        raise ValueError(f"{word}: could be {', '.join(sorted(matches))}")
    raise ValueError(f"{word}: no such command; ? shows all")


def execute(front: Front, line: str) -> None:
    """Carry out a line; what is wrong with it is said in one."""
    word, _, rest = line.strip().partition(" ")
    if not word:
        return
    try:
        command = find(word)
        try:
            command.run(front, rest.strip())
        except (ValueError, LookupError, RuntimeError) as error:
            text = error.args[0] if error.args else ""
            raise ValueError(f"{command.name}: {text or 'usage: ' + command.usage}") from None
        except OSError as error:
            raise ValueError(f"{command.name}: {error.filename or ''}: {error.strerror}") from None
    except ValueError as error:
        front.say(" ".join(str(error).split()), error=True)


def complete(front: Front, line: str) -> list[str]:
    """What the last word of a line may become, best first."""
    before, _, word = line.rpartition(" ")
    if not before:
        return sorted(name for name in table() if name.startswith(word))
    try:
        command = find(before.split()[0])
    except ValueError:
        return []
    found: list[str] = []
    for kind in command.completes:
        found += [name for name in _candidates(front, kind, word) if name.startswith(word)]
    return found


def _candidates(front: Front, kind: str, word: str) -> Iterable[str]:
    machine = front.session.machine
    if kind == "<symbol>":
        return machine.symbols.names(word)
    if kind == "<register>":
        return REGISTERS
    if kind == "<plane>":
        return (plane.name for plane in front.session.planes)
    if kind == "<file>":
        folder, _, start = word.rpartition("/")
        try:
            names = sorted(os.listdir(folder or ("/" if word.startswith("/") else ".")))
        except (OSError, ValueError):
            return ()
        return (f"{folder}/{name}" if "/" in word else name for name in names if name.startswith(start))
    return (kind,)
