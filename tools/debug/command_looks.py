"""Commands that look at the machine, or change it by hand."""

from __future__ import annotations

from collections.abc import Callable

from emu import Machine
from emu.state_names import REGISTERS
from tools.debug.command_breaks import plane_number
from tools.debug.commands import Command
from tools.debug.expression import value
from tools.debug.front import Front

PLACES = ("<symbol>", "<register>")
PANELS = ("code", "registers", "memory", "walk", "planes", "apic", "map", "console", "breaks", "switch", "log",
          "timeline")


def _address(front: Front, text: str) -> int:
    return value(front.session.machine, front.session.plane, text)


def mem(front: Front, text: str) -> None:
    """The memory panel to an address."""
    front.session.memory_physical = text.startswith("gpa ")
    front.session.memory_at = _address(front, text.removeprefix("gpa ")) if text else None
    front.action_panel("memory")
    front.reload()


def walk(front: Front, text: str) -> None:
    """The walk panel to an address."""
    front.session.walk_physical = text.startswith("gpa ")
    front.session.walk_at = _address(front, text.removeprefix("gpa ")) if text else None
    front.action_panel("walk")
    front.reload()


def listing(front: Front, text: str) -> None:
    """The code panel to an address."""
    front.session.code_at = _address(front, text) if text else None
    front.action_panel("code")
    front.reload()


def plane(front: Front, text: str) -> None:
    """Another plane of this vCPU."""
    front.session.choose(front.session.plane.vcpu, plane_number(front, text))
    front.reload()


def vcpu(front: Front, text: str) -> None:
    """Another vCPU."""
    index = int(text, 0)
    machine = front.session.machine
    front.session.choose(index, machine.vcpu[index].active.number if 0 <= index < len(machine.vcpu) else 0)
    front.reload()


def show(front: Front, text: str) -> None:
    """What an expression is worth."""
    found = _address(front, text)
    name = front.session.listing.name(found)
    front.say(f"{text} = {found:#x} = {found:,}" + (f" <{name}>" if name else ""))


def assign(front: Front, text: str) -> None:
    """A register, or memory of 1, 2, 4 or 8 bytes."""
    left, equals, right = (part.strip() for part in text.partition("="))
    if not equals:
        raise ValueError
    looked_at, number = front.session.plane, _address(front, right)
    if left in REGISTERS:
        looked_at.regs[left] = number & (1 << REGISTERS[left].bits) - 1
    elif left[:1] == "u" and left.partition("(")[0] in ("u8", "u16", "u32", "u64") and left.endswith(")"):
        size = int(left.partition("(")[0][1:]) // 8
        looked_at.memory.write(_address(front, left[left.index("(") + 1:-1]), number.to_bytes(8, "little")[:size])
    else:
        raise ValueError("set REGISTER = VALUE, or set u64(ADDRESS) = VALUE (u8, u16, u32)")
    front.say(f"{left} = {number:#x}; the future is another from here")
    front.changed()


def snapshot(front: Front, text: str) -> None:
    """The machine into a file, or only its digest."""
    def take(machine: Machine) -> str:
        taken = machine.save(text) if text else machine.snapshot()
        return f"snapshot {taken.id} at instruction {taken.icount:,}" + (f", in {text}" if text else "")
    front.start("taking a snapshot", take)


def send(front: Front, text: str) -> None:
    """A line for the guest."""
    front.session.machine.feed_serial(text.encode() + b"\r", more=True)
    front.say(f"sent: {text}")


def staging(front: Front, text: str) -> None:
    """Whether plane switches are taken apart."""
    if text not in ("on", "off"):
        raise ValueError
    front.session.staging = text == "on"
    front.session.stage = front.session.stage if front.session.staging else 0
    front.say(f"stages of plane switches: {text}")
    front.reload()


def panel(front: Front, text: str) -> None:
    """A panel to the front."""
    if text not in PANELS:
        raise ValueError(f"one of {', '.join(PANELS)}")
    front.action_panel(text)


def theme(front: Front, text: str) -> None:
    """Colours."""
    if text not in ("dark", "light"):
        raise ValueError
    front.set_theme(text)


def _plain(act: Callable[[Front], None]) -> Callable[[Front, str], None]:
    return lambda front, text: act(front)


COMMANDS = (
    Command("mem [gpa] ADDRESS", "show memory", mem, (*PLACES, "gpa"), ("x", "memory")),
    Command("walk [gpa] ADDRESS", "explain a page walk, and who denies what", walk, (*PLACES, "gpa")),
    Command("list ADDRESS", "show code", listing, PLACES, ("l", "disassemble")),
    Command("plane P", "look at another plane", plane, ("<plane>",)),
    Command("vcpu N", "look at another vCPU", vcpu),
    Command("panel NAME", "bring a panel to the front", panel, PANELS),
    Command("print EXPRESSION", "registers, symbols, u64(ADDRESS), arithmetic", show, PLACES, ("p",)),
    Command("set WHAT = VALUE", "change a register or memory: the future is another", assign, PLACES),
    Command("snapshot [FILE]", "take one, into a file", snapshot, ("<file>",)),
    Command("send TEXT", "a line for the guest's serial port", send),
    Command("stages on|off", "take plane switches apart while stepping", staging, ("on", "off")),
    Command("theme dark|light", "colours", theme, ("dark", "light")),
    Command("screenshot FILE", "the screen as SVG", lambda f, t: f.say(f"written: {f.picture(t)}"), ("<file>",)),
    Command("help", "keys and commands", _plain(lambda front: front.action_help()), names=("h",)),
    Command("quit", "end", _plain(lambda front: front.end()), names=("q", "exit")),
)
