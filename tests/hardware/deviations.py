"""How a later processor differs from the captured one: rules as data (deviations_*.json), applied to what is expected.

A rule has a `name`, a `reason`, the opcode `forms` it is about (patterns of the captures' form names, less those of
`except`), and the conditions `when` it holds, all of which must be true:

    lock            the instruction has a LOCK prefix (true)
    operand         "register" or "memory": ModRM's r/m operand
    reg             ModRM's reg field is one of these
    count_from      a shift's masked count is at least this
    longer_than     the instruction has more than so many bytes
    exception       the captured processor raised this vector
    after           registers have these values afterwards

`expect` says what differs then:

    undefined       these flags may have any value
    fault           the processor raises this vector instead, changing nothing else
    completes       the instruction raises nothing; what of "flags" and "memory" it changes is not compared
    kept            these registers are not changed; "flags" means FLAGS in the exception's frame, too
    loaded_flags    IOPL and NT come from the word so many bytes above SS:SP
    ip_carry        IP is 65536 more
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.hardware import captures
from tests.hardware.captures import Capture

FLAGS = {"CF": 0x1, "PF": 0x4, "AF": 0x10, "ZF": 0x40, "SF": 0x80, "OF": 0x800}
LOADED = 0x7000                 # IOPL and NT
CLEARED = 0x300                 # TF and IF, cleared when a vector is taken
UPPER_FLAGS = 0xF000            # a 286 reads them as 0 in real mode, though the captures' loader could set them


class Outcome(NamedTuple):
    """What is left when the HLT has executed: all registers, and the bytes of memory that changed."""

    registers: dict[str, int]
    memory: dict[int, int]
    end: str = "HLT"            # or why the engine stopped instead


class Expected(NamedTuple):
    """What a test compares an outcome with."""

    registers: dict[str, int]
    memory: dict[int, int] | None       # None: not compared
    flags: int = 0xFFFF                 # the bits of FLAGS that are compared

    def differences(self, outcome: Outcome) -> list[str]:
        """What of an outcome is not as expected, as text."""
        found = [] if outcome.end == "HLT" else [f"ended with {outcome.end}"]
        for name, value in self.registers.items():
            mask = self.flags if name == "flags" else 0xFFFFFFFF
            if (value ^ outcome.registers[name]) & mask:
                found.append(f"{name} {outcome.registers[name]:04x}, not {value:04x}")
        if self.memory is not None and self.memory != outcome.memory:
            found.append(f"memory {_bytes(outcome.memory)}, not {_bytes(self.memory)}")
        return found


def _bytes(memory: dict[int, int]) -> str:
    return " ".join(f"{address:x}:{value:02x}" for address, value in sorted(memory.items())[:16]) or "unchanged"


def captured(capture: Capture, before: np.ndarray) -> Expected:
    """What the captured processor left. `before`: physical memory as the instruction found it."""
    registers = {name: capture["regs_after"].get(name, value) for name, value in capture["regs"].items()}
    memory = {address: value for address, value in capture["ram_after"] if before[address] != value}
    return Expected(registers, memory)


# --- conditions -------------------------------------------------------------------------------------------------------

CONDITIONS: dict[str, Callable[[Capture, Any], bool]] = {
    "lock": lambda capture, value: captures.locked(capture) == value,
    "operand": lambda capture, value: (captures.modrm(capture) >= 0xC0) == (value == "register"),
    "reg": lambda capture, value: captures.modrm(capture) >> 3 & 7 in value,
    "count_from": lambda capture, value: captures.shift_count(capture) >= value,
    "longer_than": lambda capture, value: len(captures.code(capture)) > value,
    "exception": lambda capture, value: capture.get("exception") == value,
    "after": lambda capture, value: all(capture["regs_after"].get(n, capture["regs"][n]) == v
                                        for n, v in value.items()),
}


# --- effects ----------------------------------------------------------------------------------------------------------

def _undefined(expected: Expected, capture: Capture, before: np.ndarray, names: list[str]) -> Expected:
    return expected._replace(flags=expected.flags & ~sum(FLAGS[name] for name in names))


def _word(memory: np.ndarray, segment: int, offset: int) -> int:
    return int(memory[(segment << 4) + (offset & 0xFFFF)]) | int(memory[(segment << 4) + (offset + 1 & 0xFFFF)]) << 8


def _fault(expected: Expected, capture: Capture, before: np.ndarray, vector: int) -> Expected:
    """Vector, frame of FLAGS, CS and IP, and the one byte of the handler (SDM Vol. 3B 20.1.4)."""
    registers = dict(capture["regs"])
    flags = registers["flags"] & ~UPPER_FLAGS
    memory = {}
    for value in (flags, registers["cs"], registers["ip"]):
        registers["sp"] = registers["sp"] - 2 & 0xFFFF
        for i in (0, 1):
            address = (registers["ss"] << 4) + (registers["sp"] + i & 0xFFFF)
            memory[address] = value >> 8 * i & 0xFF
    registers |= {"ip": _word(before, 0, 4 * vector) + 1, "cs": _word(before, 0, 4 * vector + 2),
                  "flags": flags & ~CLEARED}
    return Expected(registers, {a: v for a, v in memory.items() if before[a] != v})


def _completes(expected: Expected, capture: Capture, before: np.ndarray, changes: list[str]) -> Expected:
    registers = dict(capture["regs"])
    registers["ip"] += len(bytes.fromhex(capture["bytes"]))
    registers["flags"] &= ~UPPER_FLAGS
    compared = ~sum(FLAGS.values()) if "flags" in changes else -1
    return Expected(registers, None if "memory" in changes else {}, 0xFFFF & compared)


def _kept(expected: Expected, capture: Capture, before: np.ndarray, names: list[str]) -> Expected:
    old = capture["regs"]
    registers = expected.registers | {name: old[name] for name in names if name != "flags"}
    memory = expected.memory
    if "flags" in names:
        registers["flags"] = old["flags"] & ~UPPER_FLAGS
        assert memory is not None
        for i in (0, 1):                    # the frame's highest word
            address = (old["ss"] << 4) + (old["sp"] - 2 + i & 0xFFFF)
            value = registers["flags"] >> 8 * i & 0xFF
            memory = {a: v for a, v in memory.items() if a != address}
            if before[address] != value:
                memory[address] = value
    return expected._replace(registers=registers, memory=memory)


def _loaded_flags(expected: Expected, capture: Capture, before: np.ndarray, above: int) -> Expected:
    image = _word(before, capture["regs"]["ss"], capture["regs"]["sp"] + above)
    return expected._replace(registers=expected.registers | {"flags": expected.registers["flags"] | image & LOADED})


def _ip_carry(expected: Expected, capture: Capture, before: np.ndarray, value: bool) -> Expected:
    return expected._replace(registers=expected.registers | {"ip": expected.registers["ip"] + 0x10000})


EFFECTS: dict[str, Callable[[Expected, Capture, np.ndarray, Any], Expected]] = {
    "undefined": _undefined, "fault": _fault, "completes": _completes, "kept": _kept, "loaded_flags": _loaded_flags,
    "ip_carry": _ip_carry,
}


# --- rules ------------------------------------------------------------------------------------------------------------

class Rule(NamedTuple):
    """One deviation."""

    name: str
    reason: str
    forms: list[str]
    other_forms: list[str]              # patterns it is not about
    when: dict[str, Any]
    expect: dict[str, Any]

    def pattern(self, form: str) -> str | None:
        """The first pattern that an opcode form matches."""
        if any(fnmatchcase(form, pattern) for pattern in self.other_forms):
            return None
        return next((pattern for pattern in self.forms if fnmatchcase(form, pattern)), None)

    def holds(self, capture: Capture) -> bool:
        """Whether the rule is about this capture."""
        return (self.pattern(capture["file"]) is not None
                and all(CONDITIONS[name](capture, value) for name, value in self.when.items()))

    def apply(self, expected: Expected, capture: Capture, before: np.ndarray) -> Expected:
        """What is expected instead."""
        for name, value in self.expect.items():
            expected = EFFECTS[name](expected, capture, before, value)
        return expected

    def reduced(self) -> Iterator[tuple[str, Rule]]:
        """Each item of a list that the rule allows, and the rule without it."""
        for effect, value in self.expect.items():
            for item in value if isinstance(value, list) else ():
                yield item, self._replace(expect=self.expect | {effect: [other for other in value if other != item]})


def load(path: Path) -> list[Rule]:
    """The rules of a file; a condition, an effect or a key that does not exist is an error."""
    rules = []
    for entry in json.loads(path.read_text()):
        rule = Rule(entry.pop("name"), entry.pop("reason"), entry.pop("forms"), entry.pop("except", []),
                    entry.pop("when", {}), entry.pop("expect"))
        assert not entry and rule.when.keys() <= CONDITIONS.keys() and rule.expect.keys() <= EFFECTS.keys(), rule.name
        rules.append(rule)
    return rules


def apply(rules: Iterable[Rule], capture: Capture, before: np.ndarray) -> Expected:
    """What is expected of a capture's instruction under some rules, each of which is about it."""
    expected = captured(capture, before)
    for rule in rules:
        expected = rule.apply(expected, capture, before)
    return expected
