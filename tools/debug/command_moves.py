"""Commands that go somewhere, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from emu import Machine, Stop
from tools.debug import moves
from tools.debug.commands import Command
from tools.debug.expression import value
from tools.debug.front import Front

LAST = 5        # the stage at which one comes to a switch backwards


class Move(NamedTuple):
    """A way to go. `stages`: by how much it goes on among the stages of a switch before it moves, 0: not at all;
    `arrives`: the stage at which a switch is explained where it leads to one."""

    what: str
    go: Callable[[Machine], Stop]
    stages: int = 0
    arrives: int = 1


MOVES = {
    "continue": Move("running", lambda m: m.run()),
    "step": Move("stepping", lambda m: m.step(), 1),
    "next": Move("stepping over", moves.step_over, 1),
    "finish": Move("running to the return", moves.finish),
    "next-switch": Move("running to the next plane switch", moves.next_switch),
    "reverse-continue": Move("going back", lambda m: m.reverse_continue()),
    "reverse-step": Move("going back", lambda m: m.reverse_step(), -1, LAST),
    "reverse-next": Move("going back", moves.reverse_over, -1, LAST),
    "reverse-finish": Move("going back to the call", moves.reverse_finish),
    "previous-switch": Move("going back to the last plane switch", moves.previous_switch),
}


def move(front: Front, name: str, text: str = "") -> None:
    """Carry out one of MOVES, as often as the text says."""
    way, times = MOVES[name], int(text, 0) if text else 1
    if times < 1:
        raise ValueError(f"{times}: 1 or more")
    if not name.startswith(("reverse", "previous")):
        forwards(front)
    if name == "step" and times > 1:
        front.start(way.what, lambda m: m.step(times), way.arrives)
    elif name == "reverse-step" and times > 1:
        front.start(way.what, lambda m: m.reverse_step(times), way.arrives)
    elif times == 1 and way.stages and front.session.stage_on(way.stages):
        front.action_panel("switch")
        front.reload()
    else:
        front.start(way.what, partial(_repeated, way.go, times), way.arrives)


def forwards(front: Front) -> None:
    """RuntimeError: the guest has ended here."""
    if front.session.ended:
        raise RuntimeError("the guest has ended; S, N, C, [ and goto go back")


def _repeated(go: Callable[[Machine], Stop], times: int, machine: Machine) -> Stop:
    stop = go(machine)
    for _ in range(times - 1):
        if stop.reason in ("interrupted", "exit", "goto"):
            break
        stop = go(machine)
    return stop


def until(front: Front, text: str) -> None:
    """Run to an address."""
    address = value(front.session.machine, front.session.plane, text)
    forwards(front)
    front.start(f"running to {text}", lambda m: moves.run_to(m, address))


def goto(front: Front, text: str) -> None:
    """A count, or one relative to here."""
    machine, digits = front.session.machine, text.replace(",", "").replace("_", "")
    history = machine.debugger.history
    if digits == "start":
        where = history.start if history is not None else 0
    elif digits == "end":
        where = front.session.residency.end
    else:
        where = int(digits, 0) + (machine.icount if digits[:1] in ("+", "-") else 0)
    if where < 0:
        raise ValueError(f"{where}: before the start")
    front.start(f"going to instruction {where:,}", lambda m: m.goto(where))


def last(front: Front, text: str) -> None:
    """To before the last instruction that wrote memory."""
    where, _, size = text.partition(" ")
    address = value(front.session.machine, front.session.plane, where)
    width = int(size, 0) if size else 8
    front.start(f"looking for the last write of {where}", lambda m: m.goto(m.last(write=address, size=width)))


def who(front: Front, text: str) -> None:
    """Say which instruction wrote memory last, without going there."""
    where, _, size = text.partition(" ")
    address = value(front.session.machine, front.session.plane, where)
    width, listing = int(size, 0) if size else 8, front.session.listing

    def look(machine: Machine) -> str:
        here, found = machine.icount, machine.last(write=address, size=width)
        machine.goto(found)
        plane = machine.current
        said = (f"{where}: written last by instruction {found:,}, {plane.name} of vCPU {plane.vcpu}, at "
                f"{listing.name(plane.code_address) or f'{plane.rip:#x}'}")
        machine.goto(here)
        return said
    front.start(f"looking for the last write of {where}", look)


def restore(front: Front, text: str) -> None:
    """Become what a file holds."""
    if not text:
        raise ValueError

    def load(machine: Machine) -> Stop:
        machine.restore_file(text)
        return machine.debugger.here("goto", f"restored {text}")
    front.start(f"restoring {text}", load)


def _command(name: str, arguments: str, text: str, *names: str) -> Command:
    return Command(f"{name} {arguments}".strip(), text, lambda front, rest: move(front, name, rest), names=names)


COMMANDS = (
    _command("continue", "", "run to a breakpoint", "c", "run"),
    _command("step", "[N]", "N instructions; at a plane switch, its next stage", "s", "si", "stepi"),
    _command("next", "[N]", "the same, calls with all they do", "n", "ni", "nexti"),
    _command("finish", "", "to after the return of this function", "fin", "up"),
    Command("until ADDRESS", "run to an address", until, ("<symbol>", "<register>"), ("advance",)),
    _command("next-switch", "[N]", "to after the next plane switch", "ns"),
    _command("reverse-continue", "", "back to the last breakpoint", "rc"),
    _command("reverse-step", "[N]", "back N instructions, or a stage of a switch", "rs", "rsi", "reverse-stepi"),
    _command("reverse-next", "[N]", "back over calls", "rn", "rni", "reverse-nexti"),
    _command("reverse-finish", "", "back to before the call of this function", "rf"),
    _command("previous-switch", "[N]", "back to after the last plane switch", "ps"),
    Command("goto N", "to instruction N, +N, -N, start or end", goto, ("start", "end")),
    Command("last ADDRESS [SIZE]", "back to the last write of memory", last, ("<symbol>", "<register>")),
    Command("who ADDRESS [SIZE]", "which instruction wrote memory last", who, ("<symbol>", "<register>")),
    Command("restore FILE", "become what a snapshot's file holds", restore, ("<file>",)),
)
