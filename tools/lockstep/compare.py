"""Runs a program in two engines, stops both at the same random counts, and compares their whole states there."""

from __future__ import annotations

import random
from typing import NamedTuple

from tools.lockstep.program import Program
from tools.lockstep.world import World


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
    return instructions // 50 if program.changes_itself else instructions


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
            states = a.state(), b.state()
            ran = left - a.bare.left()
            done += ran
            left -= ran
            if how != other or states[0] != states[1]:
                fields: dict[str, tuple[object, object]] = {"exit": (how, other)} if how != other else {}
                fields |= {name: (value, states[1][name]) for name, value in states[0].items()
                           if value != states[1][name]}
                return Result(Difference(done, fields), done, stops, faults)
            if how == "EVENT":
                break
            faults += 1
            a.go_on(how)
            b.go_on(how)
            if stops > instructions:                        # hardly anything but faults
                return Result(None, done, stops, faults)
    return Result(None, done, stops, faults)


def agree_at_end(program: Program, a: World, b: World, instructions: int) -> Difference | None:
    """Run each world by itself, without common stops, and compare once the instructions have run."""
    instructions = worthwhile(program, instructions)
    states = []
    for world in (a, b):
        world.start(program)
        left = instructions
        for _ in range(instructions):        # at a fault, none need have run
            how = world.go(left)
            left = world.bare.left()
            if left <= 0:
                break
            world.go_on(how)
        states.append(world.state())
    fields = {name: (value, states[1][name]) for name, value in states[0].items() if value != states[1][name]}
    return Difference(instructions, fields) if fields else None
