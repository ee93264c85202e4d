"""Runs a program in two engines, stops both at the same random counts, and compares their whole states there."""

from __future__ import annotations

import random
from typing import NamedTuple

from jit import layout
from tools.lockstep.program import Program
from tools.lockstep.world import World

MAX_STOPS = 4000            # after which a program that does little but fault is given up

SLICE = 20_000              # in which a world with a background compiler runs, so that it can put regions in place


class Difference(NamedTuple):
    """Where two runs part: instructions run before the stop, and the fields that differ with both values."""

    after: int
    fields: dict[str, tuple[object, object]]

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {_text(a)} and {_text(b)}" for name, (a, b) in self.fields.items())
        return f"after {self.after} instructions: {shown}"


class Result(NamedTuple):
    """What a run came to."""

    difference: Difference | None
    instructions: int
    stops: int
    faults: int


def _text(value: object) -> str:
    return hex(value) if isinstance(value, int) else str(value)[:16]


def worthwhile(program: Program, instructions: int) -> int:
    """How many of the instructions to run of a program whose compiled code is short-lived."""
    return instructions // 100 if program.changes_itself else instructions


def differences(a: World, b: World, whole: bool = True) -> dict[str, tuple[object, object]]:
    """The fields in which two worlds differ, with both values. Not the whole state is looked at unless asked for, or
    unless a part of it differs."""
    if not whole and a.brief() == b.brief():
        return {}
    first, second = a.state(), b.state()
    found: dict[str, tuple[object, object]] = {name: (value, second[name]) for name, value in first.items()
                                               if value != second[name]}
    if not a.same_memory(b):
        at = next(n for n, (x, y) in enumerate(zip(a.bare.ram.view, b.bare.ram.view, strict=True)) if x != y)
        found[f"memory at {at:#x}"] = a.bare.ram.view[at], b.bare.ram.view[at]
    return found


def lockstep(program: Program, a: World, b: World, instructions: int, slices: int = 2000) -> Result:
    """Run up to `instructions` in slices of at most `slices`, until the program ends or the worlds differ."""
    rng = random.Random(program.seed ^ 0x5EED)
    instructions = worthwhile(program, instructions)
    a.start(program)
    b.start(program)
    done = stops = faults = 0
    while done < instructions:
        budget = rng.choice((1, rng.randrange(1, 8), rng.randrange(1, 100), rng.randrange(1, slices)))
        left, how = budget, ""
        while left > 0:
            how, other = a.go(left), b.go(left)
            stops += 1
            ran = left - a.bare.left()
            done += ran
            left -= ran
            if how != other or differences(a, b, how == "EVENT"):
                fields = {"exit": (how, other)} if how != other else {}
                return Result(Difference(done, fields | differences(a, b)), done, stops, faults)
            if how == "EVENT":
                break
            faults += 1
            a.go_on(how)
            b.go_on(how)
            if stops > MAX_STOPS:
                return Result(None, done, stops, faults)
    return Result(None, done, stops, faults)


def agree_at_end(program: Program, a: World, b: World, instructions: int) -> Difference | None:
    """Run each world by itself, in slices of its own, and compare once the instructions have run."""
    instructions = worthwhile(program, instructions)
    for world, slice_length in ((a, instructions), (b, SLICE)):
        world.start(program)
        left, faults = instructions, 0
        while left > 0 and faults < MAX_STOPS:
            budget = min(left, slice_length)
            how = world.go(budget)
            left -= budget - world.bare.left()
            if how != "EVENT":
                faults += 1
                world.go_on(how)
        world.bare.plane.set(layout.BUDGET, left)          # how far it came counts, not how the slices fell
    fields = differences(a, b)
    return Difference(instructions - left, fields) if fields else None
